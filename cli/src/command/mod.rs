//! The command line: streams, records and shards by the Kinesis protocol, of Tidelog, AWS or an emulator; consumer
//! groups and the doctor by gRPC, of Tidelog only.
//!
//! Each command is a file that declares its arguments and carries them out. The binary of the broker takes
//! [`Commands`] among its own and calls [`run`]. Results go to standard output, everything else to standard error.

mod clock;
pub mod cluster;
mod completions;
pub mod config;
mod doctor;
mod error;
mod figures;
mod get;
mod group;
mod health;
pub mod log;
mod man;
mod native;
mod output;
mod put;
mod shards;
mod stream;
mod tail;
mod time;

use std::process::ExitCode;

use clap::Subcommand;

pub use error::CommandError;
pub(crate) use error::similar;
pub use output::Output;
use tidelog_kinesis::{Client, ConnectionArguments, Settings};
use tidelog_load::BenchArguments;

/// The commands.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Commands {
    /// Create, show and change streams.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Stream(stream::StreamArguments),
    /// Put lines into a stream, each as one record.
    Put(put::PutArguments),
    /// Print the records of a stream, and follow it for new ones.
    Tail(tail::TailArguments),
    /// Print one record.
    Get(get::GetArguments),
    /// Draw the shards of a stream: their parents, hash ranges and loads.
    Shards(shards::ShardsArguments),
    /// List, show and change the consumer groups of a stream. Needs a Tidelog.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Group(group::GroupArguments),
    /// Show the clocks of a Tidelog, by which records expire, or accept them after a leap.
    Clock(clock::ClockArguments),
    /// Show whether a node is well, takes requests, or works at all. Needs a Tidelog.
    Health(health::HealthArguments),
    /// Find the problems of a stream, and advise what to do about them. Needs a Tidelog.
    Doctor(doctor::DoctorArguments),
    /// Load a stream of any endpoint that speaks Kinesis, and measure it.
    #[command(
        after_help = "Exit codes: 0 measured and verified, 1 a violation was found or the load failed, 2 wrong arguments, 130 \
        interrupted before the load began."
    )]
    Bench(Box<BenchArguments>),
    /// Print the completions for a shell.
    Completions(completions::CompletionsArguments),
    /// Print the manual page, or write one for each command.
    Man(man::ManArguments),
}

/// Arguments that the commands share which speak to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
struct Shared {
    #[command(flatten)]
    connection: ConnectionArguments,

    /// Form of the result: for people, or JSON.
    #[arg(long, global = true, value_name = "FORM", default_value = "table")]
    output: Output,
}

impl Shared {
    fn client(&self) -> Result<Client, CommandError> {
        Ok(Client::new(Settings::of_process(&self.connection)?)?)
    }
}

/// The exit codes, for the help of each command.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 partly done (some lines were not \
                          acknowledged), 130 ended by Ctrl-C.";

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All of it is done.
    Done,
    /// Some of it is not done, and the output says so.
    Partly,
    /// All of it is done, and something is wrong; the output says so.
    Found,
    /// The command was interrupted.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Partly | Outcome::Found => 3,
            Outcome::Interrupted => 130,
        })
    }
}

/// Carries the command out and tells what went wrong. `declared` is the whole command line, for those that describe it.
#[must_use]
pub fn run(command: &Commands, declared: impl FnOnce() -> clap::Command) -> ExitCode {
    let outcome = match command {
        Commands::Completions(arguments) => arguments.carry_out(declared()),
        Commands::Man(arguments) => arguments.carry_out(declared()),
        // Has runtimes and exit codes of its own.
        Commands::Bench(arguments) => return tidelog_load::execute(arguments),
        speaking => speak(speaking),
    };
    finished(outcome)
}

/// Tells what went wrong, and returns the exit code.
fn finished(outcome: Result<Outcome, CommandError>) -> ExitCode {
    match outcome {
        Ok(outcome) => outcome.into(),
        // The reader of the output has seen enough, like `head`.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidelog: {error}");
            error.exit_code()
        }
    }
}

fn speak(command: &Commands) -> Result<Outcome, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime =
        runtime.map_err(|error| CommandError::Failed(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        match command {
            Commands::Stream(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Put(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Tail(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Get(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Shards(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Group(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Clock(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Health(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Doctor(arguments) => Box::pin(arguments.carry_out()).await,
            Commands::Bench(_) | Commands::Completions(_) | Commands::Man(_) => Ok(Outcome::Done),
        }
    });
    runtime.shutdown_background();
    outcome
}
