//! The types that openraft is configured with: commands and their bytes in the log, and the outcomes of applying them.

pub mod command;
pub mod config;
pub mod outcome;
pub mod runtime;
