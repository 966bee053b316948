//! JSON as the Kinesis protocol writes it: instants are seconds with a fraction, bytes are base64.
//!
//! Decoding is bounded in depth and number of values, so that no body can exhaust stack or memory. The writers of
//! single values are also used by the two operations that write their answers without building a [`Document`].

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::Write as _;

use base64_simd::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::document::{DEPTH_MAX, Document, MEMBERS_MAX, Unreadable, VALUES_MAX};

/// Reads one document that fills the whole of `body`.
///
/// # Errors
/// [`Unreadable`] when it is anything else.
pub fn decode(body: &[u8]) -> Result<Document, Unreadable> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let document = Room { depth: DEPTH_MAX, values: &Cell::new(VALUES_MAX) }
        .deserialize(&mut reader)
        .map_err(|_| Unreadable)?;
    reader.end().map_err(|_| Unreadable)?;
    Ok(document)
}

/// Writes a document as one line without spaces.
pub fn encode(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_document(&mut out, document);
    out
}

fn write_document(out: &mut Vec<u8>, document: &Document) {
    match document {
        Document::Null => out.extend_from_slice(b"null"),
        Document::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Document::Integer(value) => write_number(out, value),
        Document::Double(value) if value.is_finite() => write_number(out, value),
        Document::Double(_) => out.extend_from_slice(b"null"),
        Document::Timestamp(value_ms) => write_timestamp(out, *value_ms),
        Document::Text(value) => write_text(out, value),
        Document::Blob(value) => write_blob(out, value),
        Document::List(elements) => {
            write_sequence(out, [b'[', b']'], elements, write_document);
        }
        Document::Map(members) => write_sequence(out, [b'{', b'}'], members, |out, (name, value)| {
            write_text(out, name);
            out.push(b':');
            write_document(out, value);
        }),
    }
}

fn write_sequence<T>(out: &mut Vec<u8>, braces: [u8; 2], parts: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(braces[0]);
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(out, part);
    }
    out.push(braces[1]);
}

/// Writes a number as `Display` does, which is JSON for every integer and every finite float.
pub fn write_number(out: &mut Vec<u8>, value: impl fmt::Display) {
    write!(out, "{value}").expect("writing to memory cannot fail");
}

/// Writes an instant, given in milliseconds, as seconds with three decimals.
pub fn write_timestamp(out: &mut Vec<u8>, value_ms: i64) {
    let sign = if value_ms < 0 { "-" } else { "" };
    let (seconds, millis) = (value_ms.unsigned_abs() / 1_000, value_ms.unsigned_abs() % 1_000);
    write!(out, "{sign}{seconds}.{millis:03}").expect("writing to memory cannot fail");
}

/// Writes text in quotes with everything escaped that has to be.
pub fn write_text(out: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(out, value).expect("text in memory can always be written");
}

/// Writes bytes as base64 in quotes.
pub fn write_blob(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    STANDARD.encode_append(value, out);
    out.push(b'"');
}

/// Reads one value, while there is room for it and for its contents.
#[derive(Clone, Copy)]
struct Room<'a> {
    depth: usize,
    /// Shared by all values of the document.
    values: &'a Cell<usize>,
}

impl Room<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Room<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        let left = self.values.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.values.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Room<'_> {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Document, E> {
        Ok(i64::try_from(value).map_or_else(|_| Document::Double(value as f64), Document::Integer))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Document, E> {
        Ok(Document::Double(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Document, E> {
        Ok(Document::Text(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Document, E> {
        Ok(Document::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Document, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Document::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((Cow::Owned(name), map.next_value_seed(inner)?));
        }
        if members.len() > MEMBERS_MAX {
            return Err(A::Error::custom("too many members"));
        }
        Ok(Document::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn text_of(document: &Document) -> String {
        String::from_utf8(encode(document)).unwrap()
    }

    #[test]
    fn every_kind_is_written_as_the_protocol_does() {
        let document = Document::structure([
            ("Bool", false.into()),
            ("Integer", Document::Integer(-7)),
            ("Double", Document::Double(0.5)),
            ("Timestamp", Document::Timestamp(1_700_000_000_007)),
            ("Before", Document::Timestamp(-1)),
            ("Text", "a\"\u{1}é\n".into()),
            ("Blob", Document::Blob(Bytes::from_static(b"\xff\x00"))),
            ("List", vec![Document::Null, Document::List(vec![])].into()),
        ]);
        let expected = r#"{"Bool":false,"Integer":-7,"Double":0.5,"Timestamp":1700000000.007,"Before":-0.001,"Text":"a\"\u0001é\n","Blob":"/wA=","List":[null,[]]}"#;
        assert_eq!(text_of(&document), expected);
    }

    #[test]
    fn numbers_keep_their_kind() {
        for (text, expected) in [
            ("1", Document::Integer(1)),
            ("-9223372036854775808", Document::Integer(i64::MIN)),
            ("9223372036854775807", Document::Integer(i64::MAX)),
            ("9223372036854775808", Document::Double(9_223_372_036_854_775_808.0)),
            ("100000000000000000000", Document::Double(1e20)),
            ("1.5", Document::Double(1.5)),
        ] {
            assert_eq!(decode(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_body_that_is_not_one_document_is_refused() {
        for text in ["", " ", "{", "{}x", "{} {}", "{'a':1}", "[1,]", "nul", "\"\\ud800\"", "1e999"] {
            assert_eq!(decode(text.as_bytes()), Err(Unreadable), "{text}");
        }
        assert_eq!(decode(b"\"\xff\""), Err(Unreadable));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(decode(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(decode(nested(DEPTH_MAX + 1).as_bytes()), Err(Unreadable));
        assert_eq!(decode("[".repeat(1_000_000).as_bytes()), Err(Unreadable));
        assert_eq!(decode("{\"a\":".repeat(1_000_000).as_bytes()), Err(Unreadable));
    }

    #[test]
    fn values_are_bounded() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(decode(list(VALUES_MAX - 1).as_bytes()).is_ok());
        assert_eq!(decode(list(VALUES_MAX).as_bytes()), Err(Unreadable));
        let members = |count: usize| format!("{{{}\"a\":0}}", "\"a\":0,".repeat(count - 1));
        assert!(decode(members(MEMBERS_MAX).as_bytes()).is_ok());
        assert_eq!(decode(members(MEMBERS_MAX + 1).as_bytes()), Err(Unreadable));
    }
}
