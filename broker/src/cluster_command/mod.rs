//! `tidelog cluster`: asks a node of a running cluster how it is, or to change it.
//!
//! The command itself decides nothing: whatever is refused is refused by the cluster. Results go to standard output,
//! what happens meanwhile to standard error. Every change may be repeated: one that is there already is none.

mod change;
mod connection;
mod error;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

use std::io::Write;
use std::time::Duration;

pub use error::ClusterCommandError;

use crate::administration::troubles;
use crate::config::PeerCertificates;

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterCommand {
    /// Cluster address of the node that is asked, as `HOST:PORT`.
    pub at: String,
    /// What the nodes trust; `None` when they speak plain TCP.
    pub tls: Option<PeerCertificates>,
    /// How the result is written.
    pub output: Output,
    /// What is wanted.
    pub action: Action,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people, in lines of 80 columns where ids and addresses allow it.
    Table,
    /// For programs: one object.
    Json,
}

/// What is wanted of the cluster.
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
    /// Healthy, and every node has what the groups had half a second before.
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

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node is to come in.
    Add {
        /// Its id, never used before.
        id: u64,
        /// Its cluster address.
        address: String,
    },
    /// A node is to go.
    Remove {
        /// Its id.
        id: u64,
    },
    /// A node is to come in for another one.
    Replace {
        /// The one that goes.
        old_id: u64,
        /// The one that comes; its id was never used before.
        id: u64,
        /// Its cluster address.
        address: String,
    },
    /// Groups are to be led by another node.
    Transfer {
        /// Which of them; none for all, or all that `from` leads.
        groups: Vec<u32>,
        /// Who is to lead them.
        to: u64,
        /// Who leads them so far; `None` for whoever does.
        from: Option<u64>,
    },
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
            let status = connection::Node::reach(command, &command.at).await?.status().await?;
            (status::written(&status, command.output), troubles(&status).is_empty())
        }
        Action::Status(Some(waiting)) => {
            let (status, has_come) = waiting::wait(command, waiting).await?;
            (status::written(&status, command.output), has_come)
        }
        Action::Change(change) => {
            let mut node = connection::Node::reach(command, &command.at).await?;
            let done = change::carry_out(&mut node, change, progress).await?;
            (change::written(&done, command.output), true)
        }
    };
    let written = results.write_all(text.as_bytes()).and_then(|()| results.flush());
    written.map_err(ClusterCommandError::Output)?;
    Ok(if is_well { Outcome::Done } else { Outcome::Degraded })
}
