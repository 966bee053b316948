//! The whole broker in a simulated network, on simulated disks, by simulated clocks: faults and calls by a seed, then
//! an audit of every promise.
//!
//! Each run is a process of its own, because two runs in one would share the runtime's counters, and the second would
//! not be the same as the first. Without arguments this program is a test like any other; `tests/simulation` runs
//! thousands of seeds with it, and `--run SEED` runs one and tells all about it.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod audit;
mod checker;
mod checker_tests;
mod client;
mod dice;
mod entropy;
mod history;
mod loss;
mod medium;
mod nemesis;
mod network;
mod node;
mod plan;
mod planted;
mod reader;
mod run;
mod runs;
mod suite;
mod trace;
mod workload;
mod world;

use std::process::ExitCode;

use plan::{Plan, Planted};
use tracing_subscriber::EnvFilter;

/// The task that the program's arguments name.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// All tests whose name has that in it.
    Tests { filter: String },
    /// One run, in this process.
    Run { seed: u64, planted: Option<Planted>, honest: bool, trace: Option<String> },
    /// Runs of many seeds, each in a process of its own.
    Runs { first: u64, count: u64 },
}

fn main() -> ExitCode {
    let is_good = match read(std::env::args().skip(1)) {
        Ok(Task::Tests { filter }) => suite::run(&filter),
        Ok(Task::Runs { first, count }) => runs::run_many(first, count),
        Ok(Task::Run { seed, planted, honest, trace }) => {
            tell_by_environment();
            entropy::begin(seed);
            // A new thread has drawn nothing from the seed yet.
            let running =
                std::thread::spawn(move || run::run(Plan::new(seed, planted, honest), trace.as_deref()));
            let Ok(report) = running.join() else {
                println!("violation the simulation panicked: {:?}", run::take_panics());
                return ExitCode::FAILURE;
            };
            print!("{report}");
            report.violations.is_empty()
        }
        Err(words) => {
            eprintln!("{words}");
            return ExitCode::from(2);
        }
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the broker's log to standard error, if TIDELOG_LOG asks for it.
fn tell_by_environment() {
    let filter = EnvFilter::new(std::env::var("TIDELOG_LOG").unwrap_or_else(|_| "off".into()));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Reads the command line. Arguments that it does not know are taken for a test runner's and passed over.
fn read(arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut arguments = arguments.peekable();
    let (mut filter, mut run, mut count, mut first) = (String::new(), None, None, 1);
    let (mut planted, mut honest, mut trace) = (None, false, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match argument.as_str() {
            "--run" => run = Some(number(value()?)?),
            "--seeds" => count = Some(number(value()?)?),
            "--first" => first = number(value()?)?,
            "--honest" => honest = true,
            "--trace" => trace = Some(value()?),
            "--planted" => {
                let name = value()?;
                let known = Planted::ALL.iter().find(|(known, _)| *known == name);
                planted = Some(known.ok_or_else(|| format!("{name} is not among {:?}", Planted::ALL))?.1);
            }
            option if option.starts_with('-') => {}
            text => filter = text.to_owned(),
        }
    }
    Ok(match (run, count) {
        (Some(seed), _) => Task::Run { seed, planted, honest, trace },
        (None, Some(count)) => Task::Runs { first, count },
        (None, None) => Task::Tests { filter },
    })
}
