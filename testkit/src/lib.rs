//! Fixtures that the tests of several crates share. For development only: no crate depends on it but for its
//! tests.

pub mod certificates;
pub mod kinesis_endpoint;
pub mod lease_tables;
pub mod node;
pub mod process;
pub mod subscriber;
