//! The Tidelog broker: a self-hosted server that speaks the Amazon Kinesis Data Streams protocol.

pub mod administration;
pub mod boot;
pub mod clock;
pub mod cluster_command;
pub mod config;
pub mod data_directory;
pub mod forming;
pub mod identity;
pub mod limits;
pub mod lives;
pub mod lost_log;
pub mod model;
pub mod node;
pub mod observability;
pub mod ops;
pub mod ownership;
pub mod peers;
pub mod replication;
pub mod room;
pub mod segment_command;
pub mod server;
pub mod service;
pub mod shell;
pub mod tls;
pub mod wire;
