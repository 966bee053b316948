//! The gRPC API at the wire, by tonic's clients.

mod calls;
mod groups;
mod put_and_read;
mod put_stream;
mod streams;
mod subscribe;
mod three_nodes;

pub use calls::*;
