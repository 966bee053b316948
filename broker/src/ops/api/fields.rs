//! Reading a request's members by their table. Types are checked before anything else, as AWS does, and leniently where
//! AWS is: null is absent, unknown members are ignored, fractions are floored, integers saturate.
//!
//! Where the codecs differ: a number for an instant counts seconds in JSON and milliseconds in CBOR, where the SDKs
//! mark instants and nothing is known about a number that is not marked; bytes are base64 in JSON only.

use std::borrow::Cow;
use std::iter::repeat;

use tidelog_proto::{Codec, Document};

use super::shape::{Kind, Member};
use super::value::{Blob, MemberValue, TextMap, Timestamp, Value, base64_length};
use crate::ops::fault::{Fault, NotBase64, WrongType};

/// The members of a request, or of a structure inside it, in the order of their table; `None` for an absent member. A
/// structure without any members takes no memory: a small body can have very many of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<Option<Value>>);

/// A member is missing or has a value that its table does not allow. A request that was checked has none such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

impl Fields {
    /// Converts the members of `document`, decoded from `codec`, to the types that the table declares.
    ///
    /// # Errors
    /// [`Fault::Serialization`] for the first member of another type.
    pub fn read(document: Document, members: &'static [Member], codec: Codec) -> Result<Self, Fault> {
        let found = match document {
            Document::Map(found) => found,
            Document::List(_) => return Err(Fault::Serialization(WrongType::List)),
            _ => return Err(Fault::Serialization(WrongType::NoStructure)),
        };
        let mut fields = Self::default();
        for (name, value) in found {
            let Some(position) = members.iter().position(|member| member.name == name) else { continue };
            fields.0.resize(members.len(), None);
            fields.0[position] = match value {
                Document::Null => None,
                value => Some(read_value(value, &members[position].kind, codec)?),
            };
        }
        Ok(fields)
    }

    /// The members' values in the order of the table, and `None` without end after them.
    pub fn values(&self) -> impl Iterator<Item = Option<&Value>> {
        self.0.iter().map(Option::as_ref).chain(repeat(None))
    }

    /// Takes the value of the member at that position of the table.
    ///
    /// # Errors
    /// [`Mismatch`] when the member is absent or has a value of another type.
    pub fn required<T: MemberValue>(&mut self, position: usize) -> Result<T, Mismatch> {
        self.optional(position)?.ok_or(Mismatch)
    }

    /// Takes the value of the member at that position of the table, if it is there.
    ///
    /// # Errors
    /// [`Mismatch`] when the member has a value of another type.
    pub fn optional<T: MemberValue>(&mut self, position: usize) -> Result<Option<T>, Mismatch> {
        self.0.get_mut(position).and_then(Option::take).map(T::from_value).transpose()
    }
}

fn read_value(document: Document, kind: &Kind, codec: Codec) -> Result<Value, Fault> {
    match kind {
        Kind::Text(_) => match document {
            Document::Text(text) => Ok(Value::Text(text)),
            other => Err(scalar_expected(&other, "an String", codec)),
        },
        Kind::Integer { .. } => match document {
            Document::Integer(value) => {
                let clamped = value.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
                Ok(Value::Integer(clamped as i32))
            }
            Document::Double(value) => Ok(Value::Integer(value.floor() as i32)),
            other => Err(scalar_expected(&other, "an Integer", codec)),
        },
        Kind::Boolean => match document {
            Document::Bool(value) => Ok(Value::Boolean(value)),
            other => Err(scalar_expected(&other, "an Boolean", codec)),
        },
        Kind::Timestamp => match document {
            Document::Timestamp(time_ms) => Ok(Value::Timestamp(Timestamp(time_ms))),
            Document::Integer(number) => {
                Ok(Value::Timestamp(Timestamp(number.saturating_mul(number_ms(codec)))))
            }
            Document::Double(number) => {
                Ok(Value::Timestamp(Timestamp((number * number_ms(codec) as f64).round() as i64)))
            }
            other => Err(scalar_expected(&other, "milliseconds since epoch", codec)),
        },
        Kind::Blob { .. } => read_blob(document, codec),
        Kind::Structure(members) => Fields::read(document, members, codec).map(Value::Structure),
        Kind::List { element, .. } => match document {
            Document::List(found) => read_list(found, element, codec),
            Document::Map(_) => Err(Fault::Serialization(WrongType::Map)),
            _ => Err(Fault::Serialization(WrongType::NoList)),
        },
        Kind::TextMap { .. } => match document {
            Document::Map(found) => read_text_map(found, codec),
            Document::List(_) => Err(Fault::Serialization(WrongType::List)),
            _ => Err(Fault::Serialization(WrongType::NoMap)),
        },
    }
}

/// Milliseconds in the unit of a number that stands for an instant.
fn number_ms(codec: Codec) -> i64 {
    match codec {
        Codec::Json => 1_000,
        Codec::Cbor => 1,
    }
}

/// A null element stays an element, an empty one, so that it is missed and not skipped.
fn read_list(found: Vec<Document>, element: &Kind, codec: Codec) -> Result<Value, Fault> {
    let read = |document| match (document, element) {
        (Document::Null, Kind::Structure(_)) => Ok(Value::Structure(Fields::default())),
        (document, element) => read_value(document, element, codec),
    };
    found.into_iter().map(read).collect::<Result<_, _>>().map(Value::List)
}

fn read_text_map(found: Vec<(Cow<'static, str>, Document)>, codec: Codec) -> Result<Value, Fault> {
    let read = |(key, document): (Cow<'static, str>, Document)| match document {
        Document::Text(text) => Ok((key.into_owned(), text)),
        other => Err(scalar_expected(&other, "an String", codec)),
    };
    found.into_iter().map(read).collect::<Result<_, _>>().map(|entries| Value::TextMap(TextMap(entries)))
}

fn read_blob(document: Document, codec: Codec) -> Result<Value, Fault> {
    match document {
        Document::Blob(bytes) => Ok(Value::Blob(Blob::Raw(bytes))),
        Document::Text(text) if codec == Codec::Json => match base64_length(&text) {
            Some(decoded_len) => Ok(Value::Blob(Blob::Base64 { text, decoded_len })),
            None => Err(Fault::Serialization(not_base64(text))),
        },
        other => Err(scalar_expected(&other, "a Blob", codec)),
    }
}

/// Why a text is not base64. The text itself is shown only when it is short.
fn not_base64(text: String) -> WrongType {
    let is_foreign = |character: &char| !character.is_ascii_alphanumeric() && !"+/=".contains(*character);
    let reason = if !text.len().is_multiple_of(4) {
        NotBase64::Length(text.len())
    } else if let Some(character) = text.chars().find(is_foreign) {
        NotBase64::Character(character)
    } else {
        NotBase64::Last
    };
    WrongType::NotBase64 { text: Some(text).filter(|text| text.len() <= 1_024), reason }
}

fn scalar_expected(found: &Document, target: &'static str, codec: Codec) -> Fault {
    let class = match found {
        // The class that AWS's JSON reader gives every number (recorded).
        Document::Integer(_) | Document::Double(_) if codec == Codec::Json => {
            "com.amazon.coral.value.json.numbers.TruncatingBigNumber"
        }
        Document::List(_) => return Fault::Serialization(WrongType::List),
        Document::Map(_) => return Fault::Serialization(WrongType::Map),
        Document::Bool(_) => "java.lang.Boolean",
        Document::Integer(value) if i32::try_from(*value).is_ok() => "java.lang.Integer",
        Document::Integer(_) => "java.lang.Long",
        Document::Double(_) => "java.lang.Double",
        Document::Timestamp(_) => "java.util.Date",
        Document::Blob(_) => "java.nio.HeapByteBuffer",
        Document::Null | Document::Text(_) => "java.lang.String",
    };
    Fault::Serialization(WrongType::Class { found: class.into(), target: target.into() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const MEMBERS: &[Member] = &[
        Member { name: "Timestamp", required: false, kind: Kind::Timestamp },
        Member { name: "Data", required: false, kind: Kind::Blob { max: 10 } },
    ];

    fn read(member: &'static str, document: Document, codec: Codec) -> Option<Value> {
        let fields = Fields::read(Document::structure([(member, document)]), MEMBERS, codec);
        fields
            .ok()
            .map(|fields| fields.values().take(MEMBERS.len()).flatten().next().cloned().expect("the member"))
    }

    #[test]
    fn numbers_are_seconds_in_json_and_milliseconds_in_cbor() {
        for (document, json_ms, cbor_ms) in [
            (Document::Timestamp(1_700_000_000_007), 1_700_000_000_007, 1_700_000_000_007),
            (Document::Integer(7), 7_000, 7),
            (Document::Double(7.25), 7_250, 7),
            (Document::Integer(i64::MAX), i64::MAX, i64::MAX),
            (Document::Double(f64::NAN), 0, 0),
        ] {
            assert_eq!(
                read("Timestamp", document.clone(), Codec::Json),
                Some(Value::Timestamp(Timestamp(json_ms)))
            );
            assert_eq!(read("Timestamp", document, Codec::Cbor), Some(Value::Timestamp(Timestamp(cbor_ms))));
        }
    }

    #[test]
    fn text_is_base64_in_json_only() {
        assert!(read("Data", "aGk=".into(), Codec::Json).is_some());
        assert_eq!(read("Data", "aGk=".into(), Codec::Cbor), None);
        let raw = Bytes::from_static(b"hi");
        assert_eq!(read("Data", Document::Blob(raw.clone()), Codec::Cbor), Some(Value::Blob(Blob::Raw(raw))));
    }
}
