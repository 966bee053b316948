//! A body of the Kinesis protocol, free of how it was written.
//!
//! Every codec reads into and writes from this one type, so that an operation never sees the text of a request. A
//! document keeps only the distinctions that its codec has: JSON yields neither [`Document::Blob`] nor
//! [`Document::Timestamp`], and a reader of documents accepts their JSON forms (text and numbers) as well.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// Structures and lists inside one another that a codec reads. The deepest request of the service model has 5.
pub const DEPTH_MAX: usize = 32;

/// Members of one structure that a codec reads; far above any request of the service model, and few enough to be
/// found by name quickly.
pub const MEMBERS_MAX: usize = 10_000;

/// Values of one document, those inside others included, that a codec reads. A value takes many times more memory than
/// the byte or two that can announce it. A PutRecords has 2,500 at most; some lists of the service model may have
/// 10,000 structures.
pub const VALUES_MAX: usize = 400_000;

/// A body that is not one document of its codec, or passes one of the bounds above. The type carries no reason,
/// because the protocol has no words for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the body is not one document")
    }
}

impl std::error::Error for Unreadable {}

/// One value of a request or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Present without a value; the protocol treats it as absent.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, or one too large for [`Self::Integer`].
    Double(f64),
    /// An instant in milliseconds since the epoch.
    Timestamp(i64),
    /// Text.
    Text(String),
    /// Bytes, not base64.
    Blob(Bytes),
    /// Values in order.
    List(Vec<Document>),
    /// Members in order. When a name comes twice the last one counts.
    Map(Vec<(Cow<'static, str>, Document)>),
}

impl Document {
    /// A structure with these members.
    pub fn structure<const N: usize>(members: [(&'static str, Document); N]) -> Self {
        Self::Map(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// Adds a member to a structure when there is a value: absent members are left out, never null.
    ///
    /// # Panics
    /// When this is not [`Document::Map`], which is an error of the program.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Option<impl Into<Document>>) -> Self {
        let Self::Map(members) = &mut self else { panic!("only a structure has members") };
        if let Some(value) = value {
            members.push((Cow::Borrowed(name), value.into()));
        }
        self
    }

    /// The member of that name, when this is a structure that has it.
    pub fn get(&self, name: &str) -> Option<&Document> {
        let Self::Map(members) = self else { return None };
        members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

impl From<bool> for Document {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Document {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<i64> for Document {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Document {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Document {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<Document>> for Document {
    fn from(value: Vec<Document>) -> Self {
        Self::List(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out() {
        let document = Document::structure([("A", true.into())]).with("B", None::<u32>).with("C", Some(7u32));
        assert_eq!(document, Document::structure([("A", true.into()), ("C", Document::Integer(7))]));
        assert_eq!(document.get("B"), None);
        assert_eq!(document.get("C"), Some(&Document::Integer(7)));
    }

    #[test]
    fn the_last_of_two_members_counts() {
        let document = Document::structure([("A", 1u32.into()), ("A", 2u32.into())]);
        assert_eq!(document.get("A"), Some(&Document::Integer(2)));
    }
}
