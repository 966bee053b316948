//! Tidelog's messages: stored ones, those between nodes, and the codecs of the Kinesis protocol.
//!
//! The codecs need the feature `codecs`; clients of the gRPC API do without it.

#[cfg(feature = "codecs")]
pub mod cbor;
#[cfg(feature = "codecs")]
pub mod document;
#[cfg(feature = "codecs")]
pub mod event_stream;
#[cfg(feature = "codecs")]
pub mod json;

#[cfg(feature = "codecs")]
use bytes::Bytes;

#[cfg(feature = "codecs")]
pub use document::{Document, Unreadable};

/// Commands and state as stored in the log and in checkpoints (`stored.proto`).
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; documented in stored.proto")]
pub mod stored {
    include!(concat!(env!("OUT_DIR"), "/tidelog.stored.v1.rs"));
}

/// Messages between nodes (`peer.proto`).
#[allow(
    missing_docs,
    rust_2018_idioms,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated; documented in peer.proto"
)]
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/tidelog.peer.v1.rs"));
}

/// Administration of a cluster (`cluster.proto`).
#[allow(
    missing_docs,
    rust_2018_idioms,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated; documented in cluster.proto"
)]
pub mod cluster {
    include!(concat!(env!("OUT_DIR"), "/tidelog.cluster.v1.rs"));
}

/// The public API, version 1 (`tidelog/v1/*.proto`).
#[allow(
    missing_docs,
    rust_2018_idioms,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated; documented in tidelog/v1"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tidelog.v1.rs"));

    /// The files of the API as an encoded `google.protobuf.FileDescriptorSet`, for reflection.
    pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tidelog.v1.bin"));
}

/// How the body of a request and of its answer is written. Chosen by the request's content type.
#[cfg(feature = "codecs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `application/x-amz-json-1.1`
    Json,
    /// `application/x-amz-cbor-1.1`
    Cbor,
}

#[cfg(feature = "codecs")]
impl Codec {
    /// Reads one document that fills the whole of `body`. Bytes of it may be shared with `body`.
    ///
    /// # Errors
    /// [`Unreadable`] when it is anything else.
    pub fn decode(self, body: &Bytes) -> Result<Document, Unreadable> {
        match self {
            Self::Json => json::decode(body),
            Self::Cbor => cbor::decode(body),
        }
    }

    /// Writes a document.
    pub fn encode(self, document: &Document) -> Vec<u8> {
        match self {
            Self::Json => json::encode(document),
            Self::Cbor => cbor::encode(document),
        }
    }
}
