//! Reads CBOR piece by piece and borrows from it. Made for the plain form of one request: a caller that meets
//! anything else decodes the whole document instead.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

use crate::document::Unreadable;

impl From<Error> for Unreadable {
    fn from(_: Error) -> Self {
        Self
    }
}

/// A position in a body.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    pub(super) decoder: Decoder<'a>,
}

/// The parts of a structure or list that are still to come; `None`: up to a break.
#[derive(Debug)]
pub struct Parts(Option<u64>);

impl<'a> Reader<'a> {
    /// At the beginning of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(body) }
    }

    /// Enters a structure; each of its parts is a name and a value.
    ///
    /// # Errors
    /// [`Unreadable`] when something else comes.
    pub fn map(&mut self) -> Result<Parts, Unreadable> {
        Ok(Parts(self.decoder.map()?))
    }

    /// Enters a list.
    ///
    /// # Errors
    /// [`Unreadable`] when something else comes.
    pub fn list(&mut self) -> Result<Parts, Unreadable> {
        Ok(Parts(self.decoder.array()?))
    }

    /// Whether another part follows; when none does the structure or list has been left.
    ///
    /// # Errors
    /// [`Unreadable`] at the end of the body.
    pub fn follows(&mut self, parts: &mut Parts) -> Result<bool, Unreadable> {
        match &mut parts.0 {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.decoder.datatype()? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// A text in one piece.
    ///
    /// # Errors
    /// [`Unreadable`] when something else comes.
    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        Ok(self.decoder.str()?)
    }

    /// Bytes in one piece.
    ///
    /// # Errors
    /// [`Unreadable`] when something else comes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        Ok(self.decoder.bytes()?)
    }

    /// Makes sure that all has been read.
    ///
    /// # Errors
    /// [`Unreadable`] when more comes.
    pub fn end(&self) -> Result<(), Unreadable> {
        if self.decoder.position() == self.decoder.input().len() { Ok(()) } else { Err(Unreadable) }
    }
}
