//! Tidelog's messages: what is stored (prost), and the codecs of the Kinesis protocol.

/// Commands and state as stored in the log and in checkpoints (`stored.proto`).
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; documented in stored.proto")]
pub mod stored {
    include!(concat!(env!("OUT_DIR"), "/tidelog.stored.v1.rs"));
}
