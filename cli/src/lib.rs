//! The command line of Tidelog.

pub mod command;
