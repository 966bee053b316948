//! Domain types that cannot exist invalid. No serialization, no IO, no async: the constructor is the check.

pub mod stream;
