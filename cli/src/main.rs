//! The `tidelog` binary: one broker, or one of the small commands beside it.
//!
//! Exit codes: 0 after a clean stop, 1 when the broker could not start or stop, 2 for wrong arguments, 130 when a
//! signal interrupted the start, or a second one the stop. The commands of the client have their own, which their
//! help lists.

mod serve;
mod service_manager;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;
use tidelog::config::DataLocation;
use tidelog::observability::logs;
use tidelog::offline::segment::{self, GiveUp};
use tidelog::tls;
use tidelog_cli::command;
use tidelog_cli::command::cluster::{self, ClusterCommand, Outcome};
use tidelog_cli::command::log::{self, GiveUpLog};
use tidelog_cli::settings::{self, Command, ConfigError};

// The system's allocator cost a seventh of the broker's CPU at one record a request: blocks are made on one thread
// and freed on another. Without transparent huge pages, which doubled the memory of an idle broker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of `tidelog cluster status` for a cluster with which something is wrong.
const DEGRADED: u8 = 3;
/// How long threads that still run after a stop are waited for.
const LEFTOVERS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match settings::load(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(Command::Serve(settings)) => serve::run(&settings),
        Ok(Command::Authority { data, hashed }) => hand_out_authority(&data, hashed.as_deref()),
        Ok(Command::Config(command)) => {
            settings::unknown_variables(variables())
                .iter()
                .for_each(|warning| eprintln!("tidelog: {warning}"));
            command::config::run(&command)
        }
        Ok(Command::Cluster(command)) => administer(&command),
        Ok(Command::GiveUp(wanted)) => give_up(&wanted),
        Ok(Command::GiveUpLog(wanted)) => give_up_log(&wanted),
        Ok(Command::Client(command)) => command::run(&command, settings::declared),
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => failed(&error),
    }
}

/// The environment, as far as it is text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text)
}

/// One line to standard error, and the exit code of a failure.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    logs::print(&format!("tidelog: {error}"));
    ExitCode::FAILURE
}

/// `tidelog ca`: to standard output, so that it can be sent into a file; or into a directory, with the name of the file
/// to standard output.
fn hand_out_authority(data: &DataLocation, hashed: Option<&Path>) -> ExitCode {
    let pem = match tls::authority::exported(data) {
        Ok(pem) => pem,
        Err(error) => return failed(&error),
    };
    let printed = match hashed.map(|directory| tls::hashed::write(&pem, directory)) {
        None => io::stdout().lock().write_all(pem.as_bytes()),
        Some(Ok(path)) => writeln!(io::stdout(), "{}", path.display()),
        Some(Err(error)) => return failed(&error),
    };
    printed.map_or_else(
        |error| failed(&format!("cannot print the certificate: {error}")),
        |()| ExitCode::SUCCESS,
    )
}

/// `tidelog segment give-up`: reports the result.
fn give_up(wanted: &GiveUp) -> ExitCode {
    let done = match segment::give_up(wanted) {
        Ok(done) => done,
        Err(error) => return failed(&error),
    };
    match writeln!(io::stdout(), "{done}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write the result: {error}")),
    }
}

/// `tidelog log give-up`: shows the loss, asks, and goes on without it.
fn give_up_log(wanted: &GiveUpLog) -> ExitCode {
    umask(Mode::RWXG | Mode::RWXO);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let done = log::give_up(wanted, &mut io::stdin().lock(), &mut io::stdout(), &runtime);
    runtime.shutdown_timeout(LEFTOVERS);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// `tidelog cluster`: asks a running cluster.
fn administer(command: &ClusterCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(cluster::run(command, &mut io::stdout(), &mut io::stderr())) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Degraded) => ExitCode::from(DEGRADED),
        Err(error) => failed(&error),
    }
}
