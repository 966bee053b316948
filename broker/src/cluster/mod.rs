//! Several nodes as one cluster: the identity of a node, how it finds its cluster, and how the nodes talk to
//! each other.
//!
//! - [`identity`], [`lives`], [`boot`] and [`lost_log`] are files of a data directory. They say which node the
//!   directory belongs to, which process of the node is the newest, and whether the node may still be trusted with its
//!   id.
//! - [`peers`] knows the other nodes and holds one connection to each of them per lane.
//! - [`forming`] leads a node without data to its cluster.
//! - [`administration`] reports the state of a cluster, and changes its members and leaders for an operator.
//! - [`port`] serves the cluster's port: calls of peers, and administration.
//! - [`client`] is the client with which `tidelog cluster` asks a node.
//!
//! The module stands on two levels. Replication and the service use everything up to [`forming`] and are used by
//! [`administration`] and [`port`]; `broker/tests/architecture/matrix.rs` has a row for each.
//!
//! Invariant: a node proves its identity, its incarnation and its life before a peer takes a call of it, so that a data
//! directory that has forgotten its votes never speaks for the node it was.

pub mod administration;
pub mod boot;
pub mod client;
pub mod forming;
pub mod identity;
pub mod lives;
pub mod lost_log;
pub mod peers;
pub mod port;
