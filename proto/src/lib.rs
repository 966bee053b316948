//! Tidelog's messages: what is stored (prost), and the codecs of the Kinesis protocol.

pub mod document;
pub mod event_stream;
pub mod json;

pub use document::Document;

/// Commands and state as stored in the log and in checkpoints (`stored.proto`).
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; documented in stored.proto")]
pub mod stored {
    include!(concat!(env!("OUT_DIR"), "/tidelog.stored.v1.rs"));
}

/// How the body of a request and of its answer is written. Chosen by the request's content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `application/x-amz-json-1.1`
    Json,
}
