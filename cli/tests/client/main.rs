//! The Rust client, and its example programs, against real brokers: processes, killed as `kill -9` does it.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod alone;
mod examples;
mod failover;
mod group;
mod node;
mod programs;
mod records;
