//! The service model of 2013-12-02 in Rust: its operations, the types of their requests and answers, and the bounds of
//! every member.
//!
//! A wire decodes a body to a [`Document`], and [`read`] makes the request of it: types first, then bounds, as AWS
//! does. The gRPC API fills in a request itself and has it judged by [`check`]. An operation is given a request that
//! keeps every bound of the model.
//!
//! The build generates types and tables from `service-model.json`, which holds the facts of AWS's model. Their names
//! are those of the model, so that a shape of AWS's documentation is found here.

mod fields;
mod operation;
pub mod shape;
pub mod validate;
mod value;

use std::borrow::Cow;

use bytes::Bytes;
use tidelog_proto::{Codec, Document};

use super::fault::Fault;
pub use fields::{Fields, Mismatch};
pub use operation::{Properties, RunsOn, State, WithoutLeader};
use shape::{Kind, Member, Pattern, Text};
use value::choose;
pub use value::{Blob, Choice, MemberValue, TextMap, Timestamp, Value, base64_length, list};

include!(concat!(env!("OUT_DIR"), "/service_model.rs"));

/// A structure of the service model.
pub trait Structure: Sized {
    /// The table of its members, in the order of [`Fields`].
    const MEMBERS: &'static [Member];

    /// Takes the members out of `fields`.
    ///
    /// # Errors
    /// [`Mismatch`] for fields that break the table.
    fn read(fields: Fields) -> Result<Self, Mismatch>;

    /// Writes the members that are there.
    fn write(&self) -> Document;
}

/// The request of one operation.
pub trait Input: Structure + Into<Request> {
    /// The answer's members; `()` when there are none, or when the answer is made of records or events.
    type Output: Output;
}

/// The members by which a request may name its subject. The build writes one implementation for each request.
pub trait Targets: Sync {
    /// `StreamName`.
    fn stream_name(&self) -> Option<&str> {
        None
    }

    /// `StreamARN`.
    fn stream_arn(&self) -> Option<&str> {
        None
    }

    /// `ConsumerARN`.
    fn consumer_arn(&self) -> Option<&str> {
        None
    }

    /// `ResourceARN`.
    fn resource_arn(&self) -> Option<&str> {
        None
    }

    /// `ShardId`.
    fn shard_id(&self) -> Option<&str> {
        None
    }
}

/// The answer of some operation.
pub trait Output: Sized {
    /// Takes an answer of this type.
    ///
    /// # Errors
    /// [`Mismatch`] for an answer of another type.
    fn from_answer(answer: Answer) -> Result<Self, Mismatch>;

    /// Reads an answer that another node wrote.
    ///
    /// # Errors
    /// [`Mismatch`] for a body that is none.
    fn from_body(body: &Bytes, codec: Codec) -> Result<Self, Mismatch>;
}

impl Output for () {
    fn from_answer(answer: Answer) -> Result<Self, Mismatch> {
        if answer == Answer::Empty { Ok(()) } else { Err(Mismatch) }
    }

    /// A later version may answer something: the operation succeeded all the same.
    fn from_body(_: &Bytes, _: Codec) -> Result<Self, Mismatch> {
        Ok(())
    }
}

impl<T: Structure + TryFrom<Answer, Error = Mismatch>> Output for T {
    fn from_answer(answer: Answer) -> Result<Self, Mismatch> {
        answer.try_into()
    }

    fn from_body(body: &Bytes, codec: Codec) -> Result<Self, Mismatch> {
        let document = codec.decode(body).map_err(|_| Mismatch)?;
        Self::read(Fields::read(document, Self::MEMBERS, codec).map_err(|_| Mismatch)?)
    }
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl Answer {
    /// The body of the answer; empty for an answer without members.
    #[must_use]
    pub fn encode(&self, codec: Codec) -> Bytes {
        self.write().map(|document| codec.encode(&document).into()).unwrap_or_default()
    }
}

impl Operation {
    /// The operation of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.binary_search_by_key(&name, |operation| operation.name());
        found.ok().map(|position| Self::ALL[position])
    }
}

/// Makes a request of a document that came in `codec`.
///
/// # Errors
/// [`Fault::Serialization`] for a member of another type, [`Fault::Validation`] for the bounds that it breaks.
pub fn read(operation: Operation, document: Document, codec: Codec) -> Result<Request, Fault> {
    let fields = checked(operation.members(), document, codec)?;
    Ok(Request::read(operation, fields).expect("a request that was checked is as its table says"))
}

/// Checks a request that was not read from a body. It comes out as if it had been: numbers saturate.
///
/// # Errors
/// [`Fault::Validation`] for the bounds that it breaks.
pub fn check(request: &Request) -> Result<Request, Fault> {
    read(request.operation(), request.write(), Codec::Cbor)
}

fn checked(members: &'static [Member], document: Document, codec: Codec) -> Result<Fields, Fault> {
    let fields = Fields::read(document, members, codec)?;
    validate::check(&fields, members)?;
    Ok(fields)
}

/// The members of a document that is written.
#[derive(Default)]
struct Members(Vec<(Cow<'static, str>, Document)>);

impl Members {
    /// Adds a member, if it is there.
    fn member<T: MemberValue>(mut self, name: &'static str, value: Option<&T>) -> Self {
        self.0.extend(value.map(|value| (name.into(), value.to_document())));
        self
    }
}

impl From<Members> for Document {
    fn from(members: Members) -> Self {
        Self::Map(members.0)
    }
}

/// Takes a structure out of a value.
fn structure<T: Structure>(value: Value) -> Result<T, Mismatch> {
    if let Value::Structure(fields) = value { T::read(fields) } else { Err(Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name() {
        assert!(Operation::ALL.is_sorted_by_key(|operation| operation.name()));
        assert!(Operation::ALL.iter().all(|own| Operation::named(own.name()) == Some(*own)));
        assert!(Operation::named("ListStreams2").is_none());
    }
}
