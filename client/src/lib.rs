//! The Rust client of Tidelog, and the code of its command line.

pub mod aggregation;
pub mod bench;
pub mod command;
pub mod kinesis;
