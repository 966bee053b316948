//! The declaration of `tidelog cluster`: its commands, their flags, environment variables and help.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Command, Subcommand};

use tidelog::cluster::client::Change;
use tidelog::cluster::peers::address;

use crate::command::Output;
use crate::command::cluster::{Action, ClusterCommand, Wait, Waiting};
use crate::settings::cluster::{certificates, member, node_id};

/// Groups are numbered from 0 to this.
const GROUP_MAX: i64 = 6;

#[derive(Debug, Args)]
pub(super) struct Cluster {
    #[command(subcommand)]
    action: Actions,

    /// Cluster address of any node that runs: its own entry in its --cluster.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "TIDELOG_CLUSTER_AT",
        default_value = "127.0.0.1:4568",
        value_parser = address
    )]
    at: String,

    /// Form of the result: a table for people, or one JSON object.
    #[arg(long, global = true, value_name = "FORM", default_value = "table")]
    output: Output,

    /// Certificate by the cluster's authority, with its chain, in PEM form; where the nodes have one.
    #[arg(long, global = true, value_name = "FILE", env = "TIDELOG_CLUSTER_CERTIFICATE")]
    cluster_certificate: Option<PathBuf>,

    /// Private key of --cluster-certificate, in PEM form.
    #[arg(long, global = true, value_name = "FILE", env = "TIDELOG_CLUSTER_KEY")]
    cluster_key: Option<PathBuf>,

    /// Authorities that the nodes' certificates have to be by, in PEM form.
    #[arg(long, global = true, value_name = "FILE", env = "TIDELOG_CLUSTER_CA")]
    cluster_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Actions {
    /// Show the nodes, whether they can be reached, and the leader of each group.
    ///
    /// Exit code 3 when the cluster has a problem, or when the state of --wait has not come in time; 1 when no node has
    /// answered.
    Status {
        /// Ask again until the cluster is in that state: `healthy`, or `caught-up`, when the nodes also have the
        /// entries that the groups had before.
        #[arg(long, value_name = "STATE")]
        wait: Option<Wait>,
        /// With --wait: seconds after which the command gives up, 1 to 86,400.
        #[arg(long, value_name = "SECONDS", requires = "wait", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
    },

    /// Add a node: it copies the data of the others, and then becomes a voter.
    ///
    /// Start the node with an empty data directory and an id that the cluster has never known; it waits to be added:
    /// `tidelog serve --node-id 4 --cluster 1=HOST:PORT,4=HOST:PORT …`. It votes once it has caught up.
    Add {
        /// The new node, `ID=HOST:PORT`, as in its own --cluster.
        #[arg(value_name = "ID=HOST:PORT", value_parser = member)]
        node: (u64, String),
    },

    /// Remove a node for good; its id is not used again.
    ///
    /// A node that runs transfers its groups first; it may be dead as well. The command is refused when the remaining
    /// nodes could not reach a majority.
    Remove {
        /// The node to remove.
        #[arg(value_name = "ID", value_parser = node_id)]
        id: u64,
    },

    /// Replace a node that is lost, or has lost its data, by a new one.
    ///
    /// It is `add` and `remove` in one change, so that the cluster never has fewer voters than before.
    Replace {
        /// The node to remove.
        #[arg(value_name = "ID", value_parser = node_id)]
        old: u64,
        /// The new node, `ID=HOST:PORT`, as in its own --cluster.
        #[arg(value_name = "ID=HOST:PORT", value_parser = member)]
        new: (u64, String),
    },

    /// Transfer the leadership of groups to a node. The cluster spreads the leaders again by itself.
    Transfer {
        /// The new leader.
        #[arg(long, value_name = "ID", value_parser = node_id)]
        to: u64,
        /// A group, 0 to 6; may be repeated. Default: all groups, or all groups of --from.
        #[arg(long, value_name = "GROUP", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(0..=GROUP_MAX))]
        group: Vec<u32>,
        /// Only the groups of this node.
        #[arg(long, value_name = "ID", value_parser = node_id)]
        from: Option<u64>,
    },
}

impl Cluster {
    /// The command that is meant. `declared` is its declaration, which words the errors.
    pub(super) fn into_command(self, declared: &mut Command) -> Result<ClusterCommand, clap::Error> {
        let tls = certificates(self.cluster_certificate, self.cluster_key, self.cluster_ca);
        let tls =
            tls.map_err(|reason| declared.error(ErrorKind::MissingRequiredArgument, format!("{reason}\n")))?;
        let action = match self.action {
            Actions::Status { wait, timeout } => {
                let patience = Duration::from_secs(timeout);
                Action::Status(wait.map(|state| Waiting { state, patience }))
            }
            Actions::Add { node: (id, address) } => Action::Change(Change::Add { id, address }),
            Actions::Remove { id } => Action::Change(Change::Remove { id }),
            Actions::Replace { old, new: (id, address) } => {
                Action::Change(Change::Replace { old_id: old, id, address })
            }
            Actions::Transfer { to, group, from } => {
                Action::Change(Change::Transfer { groups: group, to, from })
            }
        };
        Ok(ClusterCommand { at: self.at, tls, output: self.output, action })
    }
}
