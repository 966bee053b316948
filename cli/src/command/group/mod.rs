//! `tidelog group`: the consumer groups of a stream, by gRPC. One file for each command.

mod delete;
mod describe;
mod list;
mod reset;

use clap::Subcommand;

use super::native::Broker;
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};
use tidelog_client::Error;

pub(super) use describe::{Standing, described, standing};

/// The reason why these commands need Tidelog, for a refusal.
const NEEDED: &str = "Consumer groups are Tidelog's own, AWS and emulators have none";

/// Arguments of `tidelog group`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct GroupArguments {
    #[command(subcommand)]
    action: Actions,

    #[command(flatten)]
    shared: Shared,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Actions {
    /// List the consumer groups of a stream, with the lag of each.
    List(list::List),
    /// Show the members of a group, and the owner and lag of each shard.
    Describe(describe::Describe),
    /// Set the position of every shard of a group; the group must have no members.
    Reset(reset::Reset),
    /// Delete a group with its checkpoints; it must have no members.
    Delete(delete::Delete),
}

/// A group of a stream.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct Named {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Name of the group.
    #[arg(value_name = "GROUP")]
    group: String,
}

impl Named {
    async fn failed(&self, broker: &Broker, error: Error) -> CommandError {
        broker.failed(&self.stream, Some(&self.group), error).await
    }
}

impl GroupArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let (broker, output) = (Broker::of(&self.shared, NEEDED)?, self.shared.output);
        match &self.action {
            Actions::List(command) => command.carry_out(&broker, output).await,
            Actions::Describe(command) => command.carry_out(&broker, output).await,
            Actions::Reset(command) => command.carry_out(&broker, output).await,
            Actions::Delete(command) => command.carry_out(&broker, output).await,
        }?;
        Ok(Outcome::Done)
    }
}
