//! The values of members: as a body has them, and as the types of requests and answers have them.

use base64_simd::STANDARD;
use bytes::Bytes;
use tidelog_proto::Document;

use super::fields::{Fields, Mismatch};
use crate::service::Payload;

/// A member's value, of the type that the table of members gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number of 32 bits.
    Integer(i32),
    /// True or false.
    Boolean(bool),
    /// An instant.
    Timestamp(Timestamp),
    /// Bytes.
    Blob(Blob),
    /// Members.
    Structure(Fields),
    /// Values in order.
    List(Vec<Value>),
    /// Texts by text.
    TextMap(TextMap),
}

/// Milliseconds since the epoch; an instant of a request may lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant that many milliseconds after the epoch.
    pub fn from_ms(time_ms: u64) -> Self {
        Self(i64::try_from(time_ms).unwrap_or(i64::MAX))
    }
}

/// Texts by text, in the order in which they came; a key may come twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextMap(pub Vec<(String, String)>);

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

/// A Rust type that a member of a request or an answer can have.
pub trait MemberValue: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// [`Mismatch`] for a value that the table of members does not allow.
    fn from_value(value: Value) -> Result<Self, Mismatch>;

    /// Writes the value.
    fn to_document(&self) -> Document;
}

impl MemberValue for String {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Text(text) = value { Ok(text) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        self.as_str().into()
    }
}

impl MemberValue for i32 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Integer(number) = value { Ok(number) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        i64::from(*self).into()
    }
}

impl MemberValue for u32 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        i32::from_value(value).and_then(|number| Self::try_from(number).map_err(|_| Mismatch))
    }

    fn to_document(&self) -> Document {
        (*self).into()
    }
}

impl MemberValue for bool {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Boolean(value) = value { Ok(value) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        (*self).into()
    }
}

impl MemberValue for Timestamp {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Timestamp(timestamp) = value { Ok(timestamp) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        Document::Timestamp(self.0)
    }
}

impl MemberValue for Blob {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Blob(blob) = value { Ok(blob) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        match self {
            Self::Base64 { text, .. } => text.as_str().into(),
            Self::Raw(bytes) => Document::Blob(bytes.clone()),
        }
    }
}

impl MemberValue for TextMap {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::TextMap(map) = value { Ok(map) } else { Err(Mismatch) }
    }

    fn to_document(&self) -> Document {
        let entry = |(key, text): &(String, String)| (key.clone().into(), text.as_str().into());
        Document::Map(self.0.iter().map(entry).collect())
    }
}

impl<T: MemberValue> MemberValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let Value::List(elements) = value else { return Err(Mismatch) };
        elements.into_iter().map(T::from_value).collect()
    }

    fn to_document(&self) -> Document {
        list(self)
    }
}

/// Writes the elements of a list.
pub fn list<T: MemberValue>(elements: &[T]) -> Document {
    elements.iter().map(T::to_document).collect::<Vec<_>>().into()
}

/// An enumeration of the service model.
pub trait Choice: Copy + 'static {
    /// All values, in the order of the model.
    const ALL: &'static [Self];

    /// The value as the model writes it, such as `ON_DEMAND`.
    fn name(self) -> &'static str;
}

/// Reads the value of an enumeration.
///
/// # Errors
/// [`Mismatch`] for a value that the enumeration does not have.
pub fn choose<T: Choice>(value: Value) -> Result<T, Mismatch> {
    let Value::Text(text) = value else { return Err(Mismatch) };
    T::ALL.iter().copied().find(|choice| choice.name() == text).ok_or(Mismatch)
}
