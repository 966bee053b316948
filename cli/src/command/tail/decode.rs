//! The encodings that `tail --decode` takes off the data of a record before it is searched and printed.

use std::io::Read;

use base64_simd::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// Bound of the inflated data of a record, in bytes: a record of 10 MiB can inflate to many GiB.
const INFLATED_MAX: u64 = 64 << 20;
/// The first bytes of compressed data.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The form in which data was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Decoding {
    /// Inflate data that begins as gzip or zstd does, and leave other data as it is.
    Auto,
    /// Every record is compressed by gzip.
    Gzip,
    /// Every record is compressed by zstd.
    Zstd,
    /// Every record is base64.
    Base64,
    /// Every record is hexadecimal digits.
    Hex,
}

impl Decoding {
    /// The data behind the encoding.
    ///
    /// # Errors
    /// Why it cannot be decoded, as the end of a sentence.
    pub(super) fn decoded(self, data: &Bytes) -> Result<Bytes, String> {
        match self {
            Self::Auto if data.starts_with(GZIP) => gunzipped(data),
            Self::Auto if data.starts_with(ZSTD) => unzstd(data),
            Self::Auto => Ok(data.clone()),
            Self::Gzip => gunzipped(data),
            Self::Zstd => unzstd(data),
            Self::Base64 => from_base64(data),
            Self::Hex => from_hex(data),
        }
    }
}

/// Bytes of base64 text; white space in it counts for nothing.
pub(in crate::command) fn from_base64(text: &[u8]) -> Result<Bytes, String> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode_to_vec(text).map(Bytes::from).map_err(|_| "not base64".into())
}

fn from_hex(text: &[u8]) -> Result<Bytes, String> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err("not hexadecimal".into()),
    }
}

fn gunzipped(data: &[u8]) -> Result<Bytes, String> {
    inflated(MultiGzDecoder::new(data)).map_err(|why| format!("not gzip: {why}"))
}

fn unzstd(data: &[u8]) -> Result<Bytes, String> {
    let decoder = StreamingDecoder::new(data).map_err(|error| format!("not zstd: {error}"))?;
    inflated(decoder).map_err(|why| format!("not zstd: {why}"))
}

fn inflated(source: impl Read) -> Result<Bytes, String> {
    let mut inflated = Vec::new();
    source.take(INFLATED_MAX + 1).read_to_end(&mut inflated).map_err(|error| error.to_string())?;
    if inflated.len() as u64 > INFLATED_MAX {
        return Err(format!("it inflates to more than {} MiB", INFLATED_MAX >> 20));
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn gzip(data: impl Read) -> Bytes {
        let mut packed = Vec::new();
        GzEncoder::new(data, Compression::fast()).read_to_end(&mut packed).expect("bytes in memory");
        packed.into()
    }

    /// `tidelog` as `zstd --no-check` packs it.
    const ZSTD_PACKED: &[u8] = b"\x28\xb5\x2f\xfd\x00\x58\x39\x00\x00\x74\x69\x64\x65\x6c\x6f\x67";

    #[test]
    fn each_encoding_gives_the_data_behind_it() {
        let text = Bytes::from_static(b"tidelog");
        let zstd = Bytes::from_static(ZSTD_PACKED);
        let cases = [
            (Decoding::Auto, text.clone(), Ok(text.clone())),
            (Decoding::Auto, gzip(&text[..]), Ok(text.clone())),
            (Decoding::Gzip, gzip(&text[..]), Ok(text.clone())),
            (Decoding::Auto, zstd.clone(), Ok(text.clone())),
            (Decoding::Zstd, zstd, Ok(text.clone())),
            (Decoding::Base64, Bytes::from_static(b"dGlk\nZWxvZw=="), Ok(text.clone())),
            (Decoding::Hex, Bytes::from_static(b"74 69 64 65 6C 6f 67"), Ok(text.clone())),
            (Decoding::Hex, Bytes::from_static(b"746"), Err("not hexadecimal")),
            (Decoding::Hex, Bytes::from_static(b"7x"), Err("not hexadecimal")),
            (Decoding::Base64, Bytes::from_static(b"?"), Err("not base64")),
            (Decoding::Gzip, text.clone(), Err("not gzip")),
            (Decoding::Zstd, text, Err("not zstd")),
        ];
        for (decoding, data, expected) in cases {
            match (decoding.decoded(&data), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{decoding:?}"),
                (Err(why), Err(expected)) => assert!(why.starts_with(expected), "{decoding:?}: {why}"),
                (found, expected) => panic!("{decoding:?}: {found:?}, {expected:?}"),
            }
        }
    }

    #[test]
    fn data_that_inflates_beyond_the_bound_is_refused() {
        let why =
            Decoding::Gzip.decoded(&gzip(std::io::repeat(0).take(INFLATED_MAX + 1))).expect_err("too much");
        assert!(why.contains("more than 64 MiB"), "{why}");
    }
}
