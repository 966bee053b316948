//! The Tidelog broker: a self-hosted server that speaks the Amazon Kinesis Data Streams protocol.
//!
//! [`Broker`] runs one inside another program; the binary `tidelog` runs one as a process. Everything else is public
//! for these two and for tests, and may change.

pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod data_directory;
mod embedded;
pub mod limits;
pub mod model;
pub mod node;
pub mod observability;
pub mod offline;
pub mod ops;
pub mod ownership;
pub mod replication;
pub mod room;
pub mod server;
pub mod service;
pub mod shell;
pub mod stage;
pub mod tls;
pub mod wire;

pub use embedded::{Broker, BrokerBuilder};
