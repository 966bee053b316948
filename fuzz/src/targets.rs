//! The targets. Each takes any bytes and panics when its promise does not hold.

mod aggregate;
mod documents;
mod event_stream;
mod grpc;
mod leases;
pub mod peer;
mod token;

pub use aggregate::aggregate;
pub use documents::{cbor, json};
pub use event_stream::event_stream;
pub use grpc::grpc;
pub use leases::{lease_bytes, lease_call};
pub use peer::peer;
pub use token::token;

/// A target, by the name of its directory of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("json", json),
    ("cbor", cbor),
    ("token", token),
    ("event_stream", event_stream),
    ("grpc", grpc),
    ("peer", peer),
    ("aggregate", aggregate),
    ("lease_call", lease_call),
    ("lease_bytes", lease_bytes),
];

/// Takes numbers off the front of an input; zeros once it is used up.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> u64 {
        let (taken, rest) = self.0.split_at(self.0.len().min(8));
        self.0 = rest;
        taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
