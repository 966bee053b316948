//! The Rust client of Tidelog, and the code of its command line.

pub mod bench;
pub mod kinesis;
