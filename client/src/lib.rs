//! The Rust client of Tidelog, and the code of its command line.

pub mod aggregation;
pub mod command;
pub mod kinesis;
