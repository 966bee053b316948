//! The budgets of shards, callers and streams, and the counts that go with them.
//!
//! A shard's budget is kept by the leader of its group ([`throttle`], in bytes and records per second), a caller's rate of
//! the control plane by the node that runs its calls ([`rates`]).

pub mod budgets;
pub mod demand;
pub mod meters;
pub mod rates;
pub mod shard_counts;
pub mod stream_refusals;
pub mod stream_shares;
pub mod throttle;
