//! The gRPC API at the wire, by tonic's clients.

mod calls;
mod groups;
mod many_shards;
mod put_and_read;
mod put_stream;
mod raw;
mod streams;
mod subscribe;
mod three_nodes;
mod unpolled;

pub use calls::*;
