//! `tidelog group`: the consumer groups of a stream, and applications of the Kinesis Client Library (KCL) beside them,
//! by gRPC. One file for each command.

mod application;
mod delete;
mod describe;
mod export;
mod import;
mod list;
mod reset;
mod subject;

use clap::Subcommand;

use super::native::Broker;
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};

#[cfg(test)]
pub(super) use application::tests::application as application_of_tests;
pub(super) use describe::{Standing, described, standing};
pub(super) use list::may_read;
pub(super) use subject::{application, applications};

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
    /// List consumer groups and KCL applications, with the lag of each.
    List(list::List),
    /// Show the members of a group or KCL application, and the owner and lag of each shard.
    Describe(describe::Describe),
    /// Set the position of every shard of a group or KCL application, whose members must be stopped.
    Reset(reset::Reset),
    /// Delete a group with its checkpoints, or the tables of a KCL application; its members must be stopped.
    Delete(delete::Delete),
    /// Print the leases of a KCL application as JSON.
    Export(export::Export),
    /// Create the leases of a KCL application from JSON, such as one that comes from AWS.
    Import(import::Import),
}

impl GroupArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let (broker, output) = (Broker::of(&self.shared, NEEDED)?, self.shared.output);
        match &self.action {
            Actions::List(command) => command.carry_out(&broker, output).await,
            Actions::Describe(command) => command.carry_out(&broker, output).await,
            Actions::Reset(command) => command.carry_out(&broker, output).await,
            Actions::Delete(command) => command.carry_out(&broker, output).await,
            Actions::Export(command) => command.carry_out(&broker).await,
            Actions::Import(command) => command.carry_out(&broker, output).await,
        }?;
        Ok(Outcome::Done)
    }
}
