//! The Rust client of Tidelog.
//!
//! | to | use |
//! |---|---|
//! | reach a broker | [`Connection`] |
//! | write records, in batches, each once and each key in order | [`Producer`] |
//! | share a stream among processes, with checkpoints | [`Consumer`] |
//! | read a stream from a position on | [`Reader`] |
//! | list the shards of a stream, and order them | [`Shards::list`], [`ShardOrder`] |
//! | make any other call of the gRPC API, such as CreateStream | [`Connection::node`] |
//! | know what to do about a failure | [`Error::reason`] |
//! | read and write records in the format of KPL by hand | [`aggregation`] |
//!
//! Everything goes by the broker's gRPC API. Every queue is bounded: records to be written by
//! [`ProducerBuilder::buffer_bytes_max`], records that were read by a few messages and one for each shard, and by
//! HTTP/2's windows. Every call may be cancelled; calls whose cancellation has an effect document it.
//!
//! Spans and events go to `tracing`, counters and histograms to `metrics`; [`mod@metrics`] has their names.

pub mod aggregation;
mod backoff;
mod connection;
mod consumer;
mod error;
#[cfg(test)]
mod fake;
pub mod metrics;
mod producer;
mod shard_order;
mod shards;

pub use connection::{Connection, ConnectionBuilder, Node};
pub use consumer::{
    Batch, Checkpoints, Consumer, ConsumerBuilder, Position, Reader, ReaderBuilder, Record, Records,
};
pub use error::{Error, Reason};
pub use producer::{Acknowledgement, NewRecord, Producer, ProducerBuilder, Receipt, Undelivered};
pub use shard_order::ShardOrder;
pub use shards::{Shard, Shards};
/// The messages of the gRPC API, for calls by [`Node`].
pub use tidelog_proto::v1 as api;
