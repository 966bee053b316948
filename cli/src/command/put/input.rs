//! Lines of files and of standard input, read on a thread of its own into a bounded queue.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::CommandError;

/// How many lines wait to be taken, at most.
const LINES_MAX: usize = 1024;
/// Bytes by which a file is read.
const BUFFER: usize = 256 * 1024;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The number of the input, from 0.
    pub(super) input: usize,
    /// The number of the line, from 1.
    pub(super) line: u64,
}

/// An item of the inputs.
#[derive(Debug)]
pub(super) enum Read {
    /// A line without its end.
    Line(Spot, Bytes),
    /// A line of more bytes than a record may have; they were passed over.
    TooLong(Spot),
    /// An input could not be read from that line on.
    Broken(Spot, io::Error),
}

/// The inputs, opened.
pub(super) struct Input {
    names: Arc<[String]>,
    lines: mpsc::Receiver<Read>,
    bytes: Option<u64>,
}

impl Input {
    /// Opens all files before anything is read, so that a wrong name is reported before anything is put.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub(super) fn open(files: &[PathBuf], line_max: usize) -> Result<Self, CommandError> {
        let stdin = [PathBuf::from("-")];
        let files = if files.is_empty() { &stdin } else { files };
        let mut sources: Vec<Box<dyn io::Read + Send>> = Vec::new();
        let mut bytes = Some(0);
        for path in files {
            let (source, size) =
                open(path).map_err(|error| CommandError::File { path: path.clone(), error })?;
            sources.push(source);
            bytes = bytes.zip(size).map(|(all, own)| all + own);
        }
        let names = files.iter().map(|path| path.display().to_string()).collect();
        let (sender, lines) = mpsc::channel(LINES_MAX);
        // A plain thread: it may wait for standard input for ever, and nothing waits for it.
        thread::spawn(move || read(sources, line_max, &sender));
        Ok(Self { names, lines, bytes })
    }

    /// Size of all inputs, if all are files.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Names of the inputs, as given.
    pub(super) fn names(&self) -> Arc<[String]> {
        self.names.clone()
    }

    /// The next; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.lines.recv().await
    }

    /// Returns the item that [`Self::next`] would, if there is one already.
    pub(super) fn next_at_hand(&mut self) -> Option<Read> {
        self.lines.try_recv().ok()
    }
}

fn open(path: &Path) -> io::Result<(Box<dyn io::Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

fn read(sources: Vec<Box<dyn io::Read + Send>>, line_max: usize, sender: &mpsc::Sender<Read>) {
    for (input, source) in sources.into_iter().enumerate() {
        let mut source = BufReader::with_capacity(BUFFER, source);
        for line in 1.. {
            let spot = Spot { input, line };
            let read = match line_of(&mut source, line_max) {
                Ok(None) => break,
                Ok(Some(Line::Whole(bytes))) => match without_mark(bytes, line) {
                    bytes if bytes.is_empty() => continue,
                    bytes => Read::Line(spot, bytes.into()),
                },
                Ok(Some(Line::TooLong)) => Read::TooLong(spot),
                Err(error) => Read::Broken(spot, error),
            };
            let is_broken = matches!(read, Read::Broken(..));
            if sender.blocking_send(read).is_err() {
                return;
            }
            if is_broken {
                break;
            }
        }
    }
}

/// A line without the byte order mark that some programs put before the first line of UTF-8.
fn without_mark(bytes: Vec<u8>, line: u64) -> Vec<u8> {
    match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if line == 1 => rest.to_vec(),
        _ => bytes,
    }
}

/// One line of an input.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line without `\n` or `\r\n`; `None` at the end. A line above the bound is read to its end and not kept.
fn line_of(source: &mut impl BufRead, line_max: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
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
        let end = part.iter().position(|byte| *byte == b'\n');
        let own = &part[..end.unwrap_or(part.len())];
        // One more than the bound for a carriage return, which is cut off.
        is_too_long |= line.len() + own.len() > line_max + 1;
        if is_too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(own);
        }
        let used = end.map_or(part.len(), |end| end + 1);
        source.consume(used);
        if end.is_some() {
            break;
        }
    }
    if !is_any {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let is_too_long = is_too_long || line.len() > line_max;
    Ok(Some(if is_too_long { Line::TooLong } else { Line::Whole(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(without_mark(b"\xef\xbb\xbf{}".to_vec(), 1), b"{}");
        assert_eq!(without_mark(b"\xef\xbb\xbf{}".to_vec(), 2), b"\xef\xbb\xbf{}");
        assert_eq!(without_mark(b"{}".to_vec(), 1), b"{}");
    }

    #[test]
    fn lines_end_where_they_end_and_long_ones_are_passed_over() {
        let text = b"one\r\n\n\xff\n1234567\n12345678\n1234567\r\n123456789012345678901234567890\nlast";
        for capacity in [1, 3, 64] {
            let mut source = BufReader::with_capacity(capacity, &text[..]);
            let mut lines = Vec::new();
            while let Some(line) = line_of(&mut source, 7).expect("bytes at hand") {
                lines.push(match line {
                    Line::Whole(bytes) => bytes,
                    Line::TooLong => b"too long".to_vec(),
                });
            }
            let expected: [&[u8]; 8] =
                [b"one", b"", b"\xff", b"1234567", b"too long", b"1234567", b"too long", b"last"];
            assert_eq!(lines, expected, "{capacity}");
        }
    }
}
