//! Decisions of an operator on the data directory of a broker that is stopped, under its lock. Nothing is removed.
//!
//! `tidelog log give-up` and `tidelog segment give-up` are made of it.

pub mod log;
pub mod segment;
