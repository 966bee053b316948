//! What the tests of several crates share. For development only: no crate depends on it but for its tests.

pub mod kinesis_endpoint;
