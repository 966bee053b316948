//! The gRPC API at the wire, by tonic's clients.

mod calls;
mod put_and_read;
mod put_stream;
mod streams;
mod subscribe;

pub use calls::*;
