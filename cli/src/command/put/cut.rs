//! Where an input is cut into records: at the ends of its lines, at a delimiter, or nowhere.

use std::io::{self, BufRead, Read};

/// The cuts of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Lines, which end with `\n` or `\r\n`.
    Lines,
    /// Pieces with this text between them, which is not empty.
    Delimiter(Vec<u8>),
    /// The input is one record.
    Whole,
}

/// One piece of an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl Cut {
    /// The bytes between two pieces.
    pub(super) fn delimiter(&self) -> &[u8] {
        match self {
            Self::Lines => b"\n",
            Self::Delimiter(delimiter) => delimiter,
            Self::Whole => b"",
        }
    }

    /// The next piece; `None` at the end. A piece above the bound is read to its end and not kept.
    pub(super) fn next(
        &self,
        source: &mut impl BufRead,
        piece_max: usize,
        number: u64,
    ) -> io::Result<Option<Line>> {
        match self {
            Self::Lines => {
                // One more than the bound for a carriage return, which is cut off.
                let piece = piece_of(source, b"\n", piece_max + 1)?;
                Ok(piece.map(|piece| without_return(piece, piece_max, number)))
            }
            Self::Delimiter(delimiter) => piece_of(source, delimiter, piece_max),
            Self::Whole if number > 1 => Ok(None),
            Self::Whole => whole(source, piece_max).map(Some),
        }
    }
}

/// A delimiter of the command line: text in which `\n`, `\r`, `\t`, `\0`, `\\` and `\xFF` stand for bytes.
pub(super) fn delimiter(text: &str) -> Result<String, String> {
    let bytes = unescaped(text)?;
    if bytes.is_empty() { Err("a delimiter has at least one byte".into()) } else { Ok(text.into()) }
}

/// The bytes of a delimiter that [`delimiter`] has accepted.
pub(super) fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        bytes.push(match letters.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                byte.ok_or("after \\x stand two hexadecimal digits, as in \\x1e")?
            }
            _ => return Err("a backslash stands before n, r, t, 0, x or another backslash".into()),
        });
    }
    Ok(bytes)
}

fn whole(source: &mut impl BufRead, piece_max: usize) -> io::Result<Line> {
    let mut bytes = Vec::new();
    source.take(piece_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > piece_max { Line::TooLong } else { Line::Whole(bytes) })
}

fn piece_of(source: &mut impl BufRead, delimiter: &[u8], piece_max: usize) -> io::Result<Option<Line>> {
    let last = *delimiter.last().unwrap_or(&b'\n');
    let mut piece = Vec::new();
    let (mut is_any, mut is_too_long) = (false, false);
    loop {
        let part = match source.fill_buf() {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if part.is_empty() {
            break;
        }
        is_any = true;
        let end = part.iter().position(|byte| *byte == last).map(|end| end + 1);
        let used = end.unwrap_or(part.len());
        piece.extend_from_slice(&part[..used]);
        source.consume(used);
        if end.is_some() && piece.ends_with(delimiter) {
            piece.truncate(piece.len() - delimiter.len());
            break;
        }
        if piece.len() > piece_max + delimiter.len() {
            is_too_long = true;
            // Enough to recognize a delimiter that is read in parts.
            piece.drain(..piece.len() + 1 - delimiter.len());
        }
    }
    let is_too_long = is_too_long || piece.len() > piece_max;
    Ok(is_any.then_some(if is_too_long { Line::TooLong } else { Line::Whole(piece) }))
}

/// A line without a carriage return at its end, and without the byte order mark that some programs put before the
/// first line of UTF-8.
fn without_return(line: Line, line_max: usize, number: u64) -> Line {
    let Line::Whole(mut bytes) = line else { return line };
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if bytes.len() > line_max { Line::TooLong } else { Line::Whole(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn pieces(cut: &Cut, text: &[u8], capacity: usize) -> Vec<Vec<u8>> {
        let mut source = BufReader::with_capacity(capacity, text);
        let mut pieces = Vec::new();
        for number in 1.. {
            match cut.next(&mut source, 7, number).expect("bytes at hand") {
                Some(Line::Whole(bytes)) => pieces.push(bytes),
                Some(Line::TooLong) => pieces.push(b"too long".to_vec()),
                None => break,
            }
        }
        pieces
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(pieces(&Cut::Lines, b"\xef\xbb\xbf{}\n\xef\xbb\xbf", 64), [&b"{}"[..], b"\xef\xbb\xbf"]);
    }

    #[test]
    fn lines_end_where_they_end_and_long_ones_are_passed_over() {
        let text = b"one\r\n\n\xff\n1234567\n12345678\n1234567\r\n123456789012345678901234567890\nlast";
        for capacity in [1, 3, 64] {
            let expected: [&[u8]; 8] =
                [b"one", b"", b"\xff", b"1234567", b"too long", b"1234567", b"too long", b"last"];
            assert_eq!(pieces(&Cut::Lines, text, capacity), expected, "{capacity}");
        }
    }

    #[test]
    fn a_delimiter_of_several_bytes_is_found_wherever_it_is_read() {
        let text = b"one--two-three---four\n--123456789012345-8--1234567--last-";
        for capacity in [1, 2, 3, 64] {
            let cut = Cut::Delimiter(b"--".to_vec());
            let expected: [&[u8]; 6] = [b"one", b"too long", b"-four\n", b"too long", b"1234567", b"last-"];
            assert_eq!(pieces(&cut, text, capacity), expected, "{capacity}");
        }
        assert_eq!(pieces(&Cut::Delimiter(vec![0]), b"a\nb\0\0c", 2), [&b"a\nb"[..], b"", b"c"]);
    }

    #[test]
    fn a_whole_input_is_one_piece() {
        assert_eq!(pieces(&Cut::Whole, b"a\nb\r\n", 2), [b"a\nb\r\n"]);
        assert_eq!(pieces(&Cut::Whole, b"", 2), [b""]);
        assert_eq!(pieces(&Cut::Whole, b"12345678", 64), [b"too long"]);
    }

    #[test]
    fn delimiters_have_escapes() {
        assert_eq!(unescaped("\\n\\r\\t\\0\\\\\\x1eé"), Ok(b"\n\r\t\0\\\x1e\xc3\xa9".to_vec()));
        for wrong in ["", "\\", "\\q", "\\x1", "\\xzz"] {
            assert!(delimiter(wrong).is_err(), "{wrong}");
        }
    }
}
