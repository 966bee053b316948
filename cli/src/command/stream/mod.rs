//! `tidelog stream`: streams as wholes. One file for each command.

mod create;
mod delete;
mod describe;
mod list;
mod mode;
mod reshard;
mod retention;
mod settled;

use clap::Subcommand;

use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{DescribeStreamSummary, StreamSummary};

/// Arguments of `tidelog stream`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct StreamArguments {
    #[command(subcommand)]
    action: Actions,

    #[command(flatten)]
    shared: Shared,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Actions {
    /// Create a stream, and wait until it takes records.
    Create(create::Create),
    /// List the streams of the account and region.
    List(list::List),
    /// Show a stream and its settings.
    Describe(describe::Describe),
    /// Delete a stream with all its records.
    Delete(delete::Delete),
    /// Set the time for which records are kept. A shorter time removes older records for good.
    Retention(retention::Retention),
    /// Change the shards: their number, or by splitting one or merging two.
    Reshard(reshard::Reshard),
    /// Change the capacity mode: shards set by you, or by the load.
    Mode(mode::ChangeMode),
}

impl StreamArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let (client, output) = (self.shared.client()?, self.shared.output);
        match &self.action {
            Actions::Create(command) => command.carry_out(&client, output).await,
            Actions::List(command) => command.carry_out(&client, output).await,
            Actions::Describe(command) => command.carry_out(&client, output).await,
            Actions::Delete(command) => command.carry_out(&client, output).await,
            Actions::Retention(command) => command.carry_out(&client, output).await,
            Actions::Reshard(command) => command.carry_out(&client, output).await,
            Actions::Mode(command) => command.carry_out(&client, output).await,
        }?;
        Ok(Outcome::Done)
    }
}

/// How the stream is.
pub(super) async fn summary(client: &Client, stream: &str) -> Result<StreamSummary, CommandError> {
    match client.call(&DescribeStreamSummary { stream_name: stream.into() }).await {
        Ok(answer) => Ok(answer.stream_description_summary),
        Err(error) => Err(CommandError::of_call(client, Some(stream), error).await),
    }
}
