//! The Rust client, and its example programs, against real brokers: processes, killed as `kill -9` does it.

mod alone;
mod failover;
mod group;
mod node;
mod programs;
mod records;
