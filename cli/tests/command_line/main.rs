//! The command line by its real binary, against a broker of its own: what it prints, and how it ends.
//!
//! `recorded.rs` holds whole sessions to files of expected output; `TIDELOG_RECORD=1` writes them anew. What is in
//! `behaviour.rs` could not be told from a recording: order, lost brokers, signals, closed pipes.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod behaviour;
mod bench;
mod broker;
mod documents;
mod give_up;
mod give_up_log;
mod group;
mod recorded;
