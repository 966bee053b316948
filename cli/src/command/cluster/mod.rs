//! `tidelog cluster`: asks a node of a running cluster how it is, or to change it.
//!
//! The command itself decides nothing: every refusal comes from the cluster. Results go to standard output,
//! progress to standard error. Every change may be repeated: one that is there already changes nothing.

mod status;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

use std::io::{self, Write};
use std::time::Duration;

use tidelog::cluster::administration::troubles;
use tidelog::cluster::client::{Change, ClusterClientError, NodeClient};
use tidelog::config::PeerCertificates;

use super::Output;

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterCommand {
    /// Cluster address of the node that is asked, as `HOST:PORT`.
    pub at: String,
    /// Files for TLS to the nodes; `None` when they speak plain TCP.
    pub tls: Option<PeerCertificates>,
    /// How the result is written.
    pub output: Output,
    /// The action that the command takes.
    pub action: Action,
}

/// An action on a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// How it is, at once or when it has come to a state.
    Status(Option<Waiting>),
    /// Something is to change.
    Change(Change),
}

/// A state of the cluster that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// Every node answers, every group has a leader, and no node is degraded.
    Healthy,
    /// Healthy, and every node has the entries that the groups had half a second before.
    CaughtUp,
}

/// A state that is waited for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The state.
    pub state: Wait,
    /// The time after which the command gives up.
    pub patience: Duration,
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change is made, or nothing is wrong with the cluster.
    Done,
    /// Something is wrong with the cluster, or the state that was waited for has not come.
    Degraded,
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClusterCommandError {
    /// The cluster was not reached, or refused.
    #[error(transparent)]
    Cluster(#[from] ClusterClientError),
    /// The result could not be written.
    #[error("cannot print the result: {0}")]
    Output(io::Error),
}

impl ClusterCommand {
    /// Connects to the node at that cluster address.
    async fn reach(&self, at: &str) -> Result<NodeClient, ClusterClientError> {
        NodeClient::reach(at, self.tls.as_ref()).await
    }
}

/// Carries the command out: the result goes to `results`, progress to `progress`.
///
/// # Errors
/// [`ClusterCommandError`], whose message says what an operator can do.
pub async fn run(
    command: &ClusterCommand,
    results: &mut impl Write,
    progress: &mut impl Write,
) -> Result<Outcome, ClusterCommandError> {
    let (text, is_well) = match &command.action {
        Action::Status(None) => {
            let status = command.reach(&command.at).await?.status().await?;
            (status::written(&status, command.output), troubles(&status).is_empty())
        }
        Action::Status(Some(waiting)) => {
            let (status, has_come) = waiting::wait(command, waiting).await?;
            (status::written(&status, command.output), has_come)
        }
        Action::Change(change) => {
            let mut node = command.reach(&command.at).await?;
            // The change goes on when nobody reads its progress.
            let tell = |line: &str| drop(writeln!(progress, "{line}").and_then(|()| progress.flush()));
            let done = node.change(change, tell).await?;
            (changed(&done, command.output), true)
        }
    };
    let written = results.write_all(text.as_bytes()).and_then(|()| results.flush());
    written.map_err(ClusterCommandError::Output)?;
    Ok(if is_well { Outcome::Done } else { Outcome::Degraded })
}

/// The outcome of a change as text.
fn changed(done: &str, output: Output) -> String {
    match output {
        Output::Table => format!("{done}\n"),
        Output::Json => format!("{}\n", serde_json::json!({ "done": done })),
    }
}
