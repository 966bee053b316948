//! The record that is made of a piece of the input: its data, its key, and perhaps its hash key.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::{self, KeySource};
use crate::command::tail::from_base64;

/// The form of a piece of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// The data as it is.
    #[default]
    Plain,
    /// The data in base64.
    Base64,
    /// An object as `tail --json` writes it, with key and data.
    JsonRecord,
}

/// A record to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct NewRecord {
    pub(in crate::command) key: String,
    pub(in crate::command) hash_key: Option<String>,
    pub(in crate::command) data: Bytes,
}

/// The members of an object of `tail --json` that make a record.
#[derive(Deserialize)]
struct Written<'a> {
    key: Option<String>,
    explicit_hash_key: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

impl Content {
    /// How many bytes a piece may have whose record has at most `record_max`.
    pub(super) fn piece_max(self, record_max: usize) -> usize {
        match self {
            Self::Plain => record_max,
            // A third more, and white space.
            Self::Base64 => record_max.saturating_mul(2).saturating_add(1024),
            // Up to six bytes for one that is escaped, and the other members.
            Self::JsonRecord => record_max.saturating_mul(6).saturating_add(4096),
        }
    }

    /// Whether a piece is more than the data of its record.
    pub(super) fn is_encoded(self) -> bool {
        self != Self::Plain
    }

    /// The record of a piece.
    ///
    /// # Errors
    /// Why there is none, in words that are the same for all pieces with that fault.
    pub(super) fn record(self, piece: &Bytes, keys: &KeySource) -> Result<NewRecord, String> {
        let data = match self {
            Self::Plain => piece.clone(),
            Self::Base64 => from_base64(piece)?,
            Self::JsonRecord => return restored(piece),
        };
        Ok(NewRecord { key: keys.of(&data)?, hash_key: None, data })
    }
}

fn restored(piece: &[u8]) -> Result<NewRecord, String> {
    let no_record = || "not an object as `tail --json` writes it".to_owned();
    let text = std::str::from_utf8(piece).map_err(|_| no_record())?;
    let written: Written<'_> = serde_json::from_str(text).map_err(|_| no_record())?;
    let key = written.key.ok_or("no member key")?;
    let key = key::fixed(&key).map_err(|_| "the member key is empty or longer than 256 characters")?;
    let is_hash_key = |text: &String| text.parse::<u128>().is_ok_and(|number| number.to_string() == *text);
    if !written.explicit_hash_key.as_ref().is_none_or(is_hash_key) {
        return Err("the member explicit_hash_key is no number below 2^128".into());
    }
    let data = match (written.data, written.data_base64) {
        (Some(_), Some(_)) => return Err("both members data and data_base64".into()),
        (None, None) => return Err("neither member data nor data_base64".into()),
        (None, Some(base64)) => from_base64(base64.as_bytes())?,
        (Some(data), None) => data_of(data.get())?,
    };
    Ok(NewRecord { key, hash_key: written.explicit_hash_key, data })
}

/// The bytes of a member `data`: the text of an object or an array, or of a string.
fn data_of(written: &str) -> Result<Bytes, String> {
    match written.as_bytes().first() {
        Some(b'{' | b'[') => Ok(Bytes::copy_from_slice(written.as_bytes())),
        Some(b'"') => {
            let text: String = serde_json::from_str(written).map_err(|_| "the member data is no text")?;
            Ok(text.into())
        }
        _ => Err("the member data is neither text, an object nor an array".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tail::show::{Form, Shown, written};
    use tidelog_kinesis::Timestamp;

    #[test]
    fn records_of_tail_are_restored_byte_for_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let data: [&[u8]; 10] = [
            b"",
            b"text",
            b"{\"b\": 1e400, \"a\":[]}",
            b"[1.0, 2]",
            b" {}",
            b"{\"a\":\n1}",
            b"\"x\"",
            b"null",
            "\u{1}\u{2028}\u{7f}é".as_bytes(),
            &all,
        ];
        for data in data {
            for hash_key in [None, Some(u128::MAX.to_string())] {
                let shown = Shown {
                    stream: Some("clicks".into()),
                    shard: "shardId-000000000000".into(),
                    sequence_number: "1".into(),
                    part: Some(1),
                    arrival: Timestamp(0),
                    key: "a\"\u{1}é".into(),
                    hash_key: hash_key.clone(),
                    data: Bytes::copy_from_slice(data),
                };
                let line = Bytes::from(written(&shown, &Form::Json));
                let line = line.slice(..line.len() - 1);
                let record = Content::JsonRecord.record(&line, &KeySource::Random);
                let expected = NewRecord { key: shown.key, hash_key, data: shown.data };
                assert_eq!(record, Ok(expected), "{}", String::from_utf8_lossy(&line));
            }
        }
    }

    #[test]
    fn a_piece_that_is_no_record_says_why() {
        let cases = [
            ("x", "not an object as `tail --json` writes it"),
            ("[]", "not an object as `tail --json` writes it"),
            ("{\"data\":\"x\"}", "no member key"),
            ("{\"key\":\"\",\"data\":\"x\"}", "the member key is empty or longer than 256 characters"),
            ("{\"key\":\"k\"}", "neither member data nor data_base64"),
            ("{\"key\":\"k\",\"data\":\"\",\"data_base64\":\"\"}", "both members data and data_base64"),
            ("{\"key\":\"k\",\"data_base64\":\"?\"}", "not base64"),
            ("{\"key\":\"k\",\"data\":7}", "the member data is neither text, an object nor an array"),
            (
                "{\"key\":\"k\",\"data\":\"\",\"explicit_hash_key\":\"01\"}",
                "the member explicit_hash_key is no number below 2^128",
            ),
        ];
        for (piece, expected) in cases {
            let record = Content::JsonRecord.record(&Bytes::from(piece), &KeySource::Random);
            assert_eq!(record, Err(expected.into()), "{piece}");
        }
        let record = Content::Base64.record(&Bytes::from_static(b"AP\n8="), &KeySource::Fixed("k".into()));
        assert_eq!(record.map(|record| record.data), Ok(Bytes::from_static(b"\0\xff")));
    }
}
