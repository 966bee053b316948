//! A request's members with the types of its table. Types are checked before anything else, as AWS does, and
//! leniently where AWS is: null is absent, unknown members are ignored, fractions are floored, integers saturate.
//!
//! Where the codecs differ: a number that is to be an instant counts seconds in JSON and milliseconds in CBOR, where the
//! SDKs mark it as an instant and nothing is known about one that is not marked; bytes are base64 in JSON only.

use base64_simd::STANDARD;
use bytes::Bytes;
use tidelog_proto::{Codec, Document};

use super::fault::{Fault, NotBase64, WrongType};
use super::shape::{Kind, Member};
use crate::service::Payload;

/// The members of a request, or of a structure inside it, that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input(Vec<(&'static str, Value)>);

/// A member's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number of 32 bits.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// Bytes.
    Blob(Blob),
    /// Members.
    Structure(Input),
    /// Values in order.
    List(Vec<Value>),
    /// Texts by text.
    TextMap(Vec<(String, String)>),
}

/// Bytes as they came.
#[derive(Clone, Debug, PartialEq)]
pub enum Blob {
    /// Checked base64.
    Base64 {
        /// With padding.
        text: String,
        /// Bytes it stands for.
        decoded_len: usize,
    },
    /// The bytes themselves.
    Raw(Bytes),
}

impl Blob {
    /// Bytes, decoded.
    pub fn decoded_len(&self) -> usize {
        match self {
            Self::Base64 { decoded_len, .. } => *decoded_len,
            Self::Raw(bytes) => bytes.len(),
        }
    }

    /// For the service.
    pub fn payload(&self) -> Payload<'_> {
        match self {
            Self::Base64 { text, decoded_len } => Payload::Base64 { text, decoded_len: *decoded_len },
            Self::Raw(bytes) => Payload::Raw(bytes),
        }
    }
}

/// Bytes that `text` stands for; `None` when it is not base64 that can be decoded without a check.
pub fn base64_length(text: &str) -> Option<usize> {
    STANDARD.check(text.as_bytes()).ok()?;
    STANDARD.decoded_length(text.as_bytes()).ok()
}

impl Input {
    /// Gives the members of `document`, which came in `codec`, the types of the table.
    ///
    /// # Errors
    /// [`Fault::Serialization`] for the first member of another type.
    pub fn read(document: Document, members: &'static [Member], codec: Codec) -> Result<Self, Fault> {
        let found = match document {
            Document::Map(found) => found,
            Document::List(_) => return Err(Fault::Serialization(WrongType::List)),
            _ => return Err(Fault::Serialization(WrongType::NoStructure)),
        };
        let mut input = Self::default();
        for (name, value) in found {
            let Some(member) = members.iter().find(|member| member.name == name) else { continue };
            input.0.retain(|(earlier, _)| *earlier != member.name);
            if value != Document::Null {
                input.0.push((member.name, read_value(value, &member.kind, codec)?));
            }
        }
        Ok(input)
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(member, _)| *member == name).map(|(_, value)| value)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            other => panic!("{name} is no text: {other:?}"),
        }
    }

    /// A text that the table requires.
    pub fn required_text(&self, name: &str) -> &str {
        self.text(name).expect("a required member is there once the request is checked")
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(value) => Some(*value),
            other => panic!("{name} is no integer: {other:?}"),
        }
    }

    /// A whole number that the table bounds below by zero or more.
    pub fn whole(&self, name: &str) -> Option<u32> {
        self.integer(name).map(|value| u32::try_from(value).expect("the table's bounds are not negative"))
    }

    /// Whether a boolean is there and true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Boolean(true))
    }

    /// An instant in milliseconds since the epoch, which may lie before it.
    pub fn timestamp_ms(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Timestamp(value_ms) => Some(*value_ms),
            other => panic!("{name} is no timestamp: {other:?}"),
        }
    }

    /// Bytes.
    pub fn blob(&self, name: &str) -> Option<&Blob> {
        match self.get(name)? {
            Value::Blob(blob) => Some(blob),
            other => panic!("{name} is no blob: {other:?}"),
        }
    }

    /// A structure.
    pub fn structure(&self, name: &str) -> Option<&Input> {
        match self.get(name)? {
            Value::Structure(input) => Some(input),
            other => panic!("{name} is no structure: {other:?}"),
        }
    }

    /// The texts of a list of them; none when it is absent.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let elements = match self.get(name) {
            None => &[],
            Some(Value::List(elements)) => elements.as_slice(),
            Some(other) => panic!("{name} is no list: {other:?}"),
        };
        let text = |element: &Value| match element {
            Value::Text(text) => text.clone(),
            other => panic!("an element is no text: {other:?}"),
        };
        elements.iter().map(text).collect()
    }

    /// The entries of a map, in the order they came; none when it is absent.
    pub fn text_map(&self, name: &str) -> &[(String, String)] {
        match self.get(name) {
            None => &[],
            Some(Value::TextMap(entries)) => entries,
            Some(other) => panic!("{name} is no map: {other:?}"),
        }
    }

    /// The structures of a list of them; none when it is absent.
    pub fn structures(&self, name: &str) -> impl Iterator<Item = &Input> {
        let elements = match self.get(name) {
            None => &[],
            Some(Value::List(elements)) => elements.as_slice(),
            Some(other) => panic!("{name} is no list: {other:?}"),
        };
        elements.iter().map(|element| match element {
            Value::Structure(input) => input,
            other => panic!("an element is no structure: {other:?}"),
        })
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
                Ok(Value::Integer(value.clamp(i64::from(i32::MIN), i64::from(i32::MAX))))
            }
            Document::Double(value) => Ok(Value::Integer(i64::from(value.floor() as i32))),
            other => Err(scalar_expected(&other, "an Integer", codec)),
        },
        Kind::Boolean => match document {
            Document::Bool(value) => Ok(Value::Boolean(value)),
            other => Err(scalar_expected(&other, "an Boolean", codec)),
        },
        Kind::Timestamp => match document {
            Document::Timestamp(value_ms) => Ok(Value::Timestamp(value_ms)),
            Document::Integer(number) => Ok(Value::Timestamp(number.saturating_mul(number_ms(codec)))),
            Document::Double(number) => {
                Ok(Value::Timestamp((number * number_ms(codec) as f64).round() as i64))
            }
            other => Err(scalar_expected(&other, "milliseconds since epoch", codec)),
        },
        Kind::Blob { .. } => read_blob(document, codec),
        Kind::Structure(members) => Input::read(document, members, codec).map(Value::Structure),
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

/// What a number that is to be an instant counts, milliseconds.
fn number_ms(codec: Codec) -> i64 {
    match codec {
        Codec::Json => 1_000,
        Codec::Cbor => 1,
    }
}

/// A null element stays an element, an empty one, so that it is missed and not skipped.
fn read_list(found: Vec<Document>, element: &Kind, codec: Codec) -> Result<Value, Fault> {
    let read = |document| match (document, element) {
        (Document::Null, Kind::Structure(_)) => Ok(Value::Structure(Input::default())),
        (document, element) => read_value(document, element, codec),
    };
    found.into_iter().map(read).collect::<Result<_, _>>().map(Value::List)
}

fn read_text_map(
    found: Vec<(std::borrow::Cow<'static, str>, Document)>,
    codec: Codec,
) -> Result<Value, Fault> {
    let read = |(key, document): (std::borrow::Cow<'static, str>, Document)| match document {
        Document::Text(text) => Ok((key.into_owned(), text)),
        other => Err(scalar_expected(&other, "an String", codec)),
    };
    found.into_iter().map(read).collect::<Result<_, _>>().map(Value::TextMap)
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
mod codec_tests {
    use super::*;

    const MEMBERS: &[Member] = &[
        Member { name: "Timestamp", required: false, kind: Kind::Timestamp },
        Member { name: "Data", required: false, kind: Kind::Blob { max: 10 } },
    ];

    fn read(member: &'static str, document: Document, codec: Codec) -> Option<Value> {
        let input = Input::read(Document::structure([(member, document)]), MEMBERS, codec);
        input.ok().map(|input| input.get(member).cloned().expect("the member"))
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
            assert_eq!(read("Timestamp", document.clone(), Codec::Json), Some(Value::Timestamp(json_ms)));
            assert_eq!(read("Timestamp", document, Codec::Cbor), Some(Value::Timestamp(cbor_ms)));
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
