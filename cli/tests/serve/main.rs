//! The binary as a broker: its settings, its output, its signals, its files, its log, and the port for other nodes.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod data_directory;
mod lease_tables;
mod log;
mod metrics;
mod peer_port;
mod process;
mod reload;
mod request_log;
mod service_manager;
mod settings;
mod stopping;
mod subscriptions;

use tidelog_testkit::process::Program;

/// The binary under test.
const TIDELOG: Program = Program::new(env!("CARGO_BIN_EXE_tidelog"));

fn tidelog() -> std::process::Command {
    TIDELOG.command()
}
