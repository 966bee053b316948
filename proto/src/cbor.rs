//! CBOR (RFC 8949) as the Kinesis protocol writes it: instants are tag 1 and whole milliseconds since the epoch, bytes
//! are byte strings.
//!
//! The AWS SDKs for Java, which speak it, open every structure and list without a length and cut long texts into
//! chunks; this encoder writes lengths. Decoding is bounded in depth and number of values and sets nothing aside
//! for a length that is only announced, so that no body can exhaust stack or memory. [`Reader`] and the writers of
//! single values are for the operations that do without a [`Document`].

mod reader;
mod writer;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use minicbor::data::{Tag, Type};
use minicbor::decode::Decoder;

use crate::document::{DEPTH_MAX, Document, MEMBERS_MAX, Unreadable, VALUES_MAX};

pub use reader::{Parts, Reader};
pub use writer::{
    write_blob, write_bool, write_double, write_integer, write_list, write_map, write_null, write_text,
    write_text_head, write_timestamp,
};

/// Marks a number as an instant (RFC 8949, section 3.4.2, which counts seconds where AWS counts milliseconds).
const TAG_TIMESTAMP: Tag = Tag::new(1);

/// Reads one document that fills the whole of `body`. Its byte strings share the memory of `body`.
///
/// # Errors
/// [`Unreadable`] when it is anything else.
pub fn decode(body: &Bytes) -> Result<Document, Unreadable> {
    let mut decoding = Decoding { body, reader: Reader::new(body), values_left: VALUES_MAX };
    let document = decoding.value(DEPTH_MAX)?;
    decoding.reader.end()?;
    Ok(document)
}

/// Writes a document with definite lengths.
pub fn encode(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_document(&mut out, document);
    out
}

/// Appends a document.
pub fn write_document(out: &mut Vec<u8>, document: &Document) {
    match document {
        Document::Null => write_null(out),
        Document::Bool(value) => write_bool(out, *value),
        Document::Integer(value) => write_integer(out, *value),
        Document::Double(value) => write_double(out, *value),
        Document::Timestamp(value_ms) => write_timestamp(out, *value_ms),
        Document::Text(value) => write_text(out, value),
        Document::Blob(value) => write_blob(out, value),
        Document::List(elements) => {
            write_list(out, elements.len());
            elements.iter().for_each(|element| write_document(out, element));
        }
        Document::Map(members) => {
            write_map(out, members.len());
            for (name, value) in members {
                write_text(out, name);
                write_document(out, value);
            }
        }
    }
}

struct Decoding<'a> {
    body: &'a Bytes,
    reader: Reader<'a>,
    values_left: usize,
}

impl<'a> Decoding<'a> {
    /// The next value, which may contain values only while depth is left. A tag counts as a level.
    fn value(&mut self, depth: usize) -> Result<Document, Unreadable> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Unreadable)?;
        let inner = || depth.checked_sub(1).ok_or(Unreadable);
        match self.decoder().datatype()? {
            Type::Map | Type::MapIndef => self.map(inner()?),
            Type::Array | Type::ArrayIndef => self.list(inner()?),
            Type::Tag => self.tagged(inner()?),
            Type::String => Ok(Document::Text(self.reader.text()?.to_owned())),
            Type::StringIndef => self.text().map(Document::Text),
            Type::Bytes => {
                let bytes = self.reader.bytes()?;
                Ok(Document::Blob(self.body.slice_ref(bytes)))
            }
            Type::BytesIndef => self.chunks().map(Document::Blob),
            _ => self.plain(),
        }
    }

    fn decoder(&mut self) -> &mut Decoder<'a> {
        &mut self.reader.decoder
    }

    /// A value that contains no others. Simple values beside those with a name mean nothing here.
    fn plain(&mut self) -> Result<Document, Unreadable> {
        let decoder = self.decoder();
        Ok(match decoder.datatype()? {
            Type::Null => decoder.null().map(|()| Document::Null)?,
            Type::Undefined => decoder.undefined().map(|()| Document::Null)?,
            Type::Bool => Document::Bool(decoder.bool()?),
            Type::F16 | Type::F32 | Type::F64 => Document::Double(decoder.f64()?),
            _ => {
                let number = i128::from(decoder.int()?);
                i64::try_from(number).map_or_else(|_| Document::Double(number as f64), Document::Integer)
            }
        })
    }

    /// Tags other than that of instants do not change the value behind them.
    fn tagged(&mut self, depth: usize) -> Result<Document, Unreadable> {
        let tag = self.decoder().tag()?;
        Ok(match self.value(depth)? {
            Document::Integer(value_ms) if tag == TAG_TIMESTAMP => Document::Timestamp(value_ms),
            Document::Double(value_ms) if tag == TAG_TIMESTAMP => {
                Document::Timestamp(value_ms.round() as i64)
            }
            other => other,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Document, Unreadable> {
        let mut parts = self.reader.list()?;
        let mut elements = Vec::new();
        while self.reader.follows(&mut parts)? {
            elements.push(self.value(depth)?);
        }
        Ok(Document::List(elements))
    }

    fn map(&mut self, depth: usize) -> Result<Document, Unreadable> {
        let mut parts = self.reader.map()?;
        let mut members = Vec::new();
        while self.reader.follows(&mut parts)? {
            if members.len() == MEMBERS_MAX {
                return Err(Unreadable);
            }
            let name = self.text()?;
            members.push((Cow::Owned(name), self.value(depth)?));
        }
        Ok(Document::Map(members))
    }

    /// A text, whole or in chunks.
    fn text(&mut self) -> Result<String, Unreadable> {
        Ok(self.decoder().str_iter()?.collect::<Result<String, _>>()?)
    }

    fn chunks(&mut self) -> Result<Bytes, Unreadable> {
        let mut whole = BytesMut::new();
        for chunk in self.decoder().bytes_iter()? {
            whole.extend_from_slice(chunk?);
        }
        Ok(whole.freeze())
    }
}

#[cfg(test)]
mod tests;
