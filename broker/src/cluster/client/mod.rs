//! A client of the nodes' own port: asks a node of a running cluster how the cluster is, or to change it.
//!
//! The client decides nothing: the cluster refuses changes that must not be made. Every change may be repeated: one
//! that is there already is none. `tidelog cluster` is made of it.

mod change;
mod connection;
mod error;

pub use connection::NodeClient;
pub use error::ClusterClientError;

/// A change of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node is to come in.
    Add {
        /// The node's id, never used before.
        id: u64,
        /// The node's cluster address.
        address: String,
    },
    /// A node is to go.
    Remove {
        /// The node's id.
        id: u64,
    },
    /// A node is to come in for another one.
    Replace {
        /// The one that goes.
        old_id: u64,
        /// The one that comes; its id was never used before.
        id: u64,
        /// The node's cluster address.
        address: String,
    },
    /// Groups are to be led by another node.
    Transfer {
        /// The groups to move; none for all, or all that `from` leads.
        groups: Vec<u32>,
        /// The node that is to lead them.
        to: u64,
        /// The node that leads them so far; `None` for any.
        from: Option<u64>,
    },
}
