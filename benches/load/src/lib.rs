//! `tidelog bench`: a load test of any endpoint that speaks Kinesis, or of Tidelog's own gRPC API.
//!
//! ```text
//! schedule ──► producers ──► endpoint ──► consumers, or a reading back at the end
//! (a thread)      │  answers                │  what was read
//!                 └────► tally, ledger ◄────┘ ──► report: text, JSON, a page
//! ```
//! Producers have a thread of their own, or several; everything else runs on the thread that calls [`run`].

mod answer;
mod arguments;
mod body;
mod connection;
mod consumer;
mod error;
mod grpc;
mod ledger;
mod output;
mod producer;
mod progress;
mod record;
mod report;
mod run;
mod run_state;
mod schedule;
mod shard_tally;
mod size;
mod skew;
mod stream;
mod tally;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

pub use arguments::{BenchArguments, Consume, Rate, Verify};
pub use error::BenchError;
pub use output::Output;
pub use report::RunResult;
pub use size::Size;
pub use skew::Skew;

/// Runs the load like [`run`], and writes errors to standard error. Exit codes: 0 when everything was as
/// promised, 1 when it was not or nothing could be measured, 2 for arguments that contradict each other, 130
/// when it was interrupted before the load began.
#[must_use]
pub fn execute(arguments: &BenchArguments) -> ExitCode {
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tidelog: {error}{}", error.advice());
            match error {
                BenchError::Arguments(_) => ExitCode::from(2),
                BenchError::Interrupted => ExitCode::from(130),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs the load test and writes its results. Whether it came through: not interrupted, and no promise was broken.
///
/// # Errors
/// When there was nothing to measure, or a result could not be written.
pub fn run(arguments: &BenchArguments) -> Result<bool, BenchError> {
    arguments.check().map_err(BenchError::Arguments)?;
    let earlier = arguments.compare.as_deref().map(output::read).transpose()?;
    output::probe(arguments)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BenchError::Runtime)?;
    let result = runtime.block_on(run::run(arguments))?;
    output::write(arguments, &result, earlier.as_ref())?;
    Ok(result.is_clean())
}
