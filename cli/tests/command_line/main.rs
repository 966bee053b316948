//! The command line by its real binary, against a broker of its own: its output, and its exit codes.
//!
//! `recorded.rs` compares sessions with files of expected output; `TIDELOG_RECORD=1` writes them anew.
//! `behaviour.rs` checks behaviour that no recording shows: order, lost brokers, signals, closed pipes.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod behaviour;
mod bench;
mod broker;
mod config;
mod documents;
mod give_up;
mod give_up_log;
mod group;
mod recorded;
mod records;
