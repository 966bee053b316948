//! The budgets of shards, callers and streams, and the counts that go with them.
//!
//! A shard's budget is kept by the leader of its group ([`throttle`], in bytes and records per second), a caller's rate
//! of the control plane by the node that runs its calls ([`rates`]).

pub mod budgets;
pub mod demand;
pub mod meters;
pub mod rates;
pub mod shard_counts;
pub mod stream_refusals;
pub mod stream_shares;
pub mod throttle;

use self::budgets::BudgetTable;
use self::meters::Meters;
use self::shard_counts::CountsTable;
use self::stream_refusals::StreamRefusals;
use crate::limits::ShardLimits;

/// Charges and refusals of this node, by shard and by stream.
pub struct Accounting {
    /// Limits of every shard.
    pub limits: ShardLimits,
    /// Budgets of the shards.
    pub budgets: BudgetTable,
    /// The service's metrics.
    pub meters: Meters,
    /// Counts of single shards.
    pub shard_counts: CountsTable,
    /// Refusals of single streams.
    pub stream_refusals: StreamRefusals,
}

impl Accounting {
    /// Full budgets, and counts from zero on.
    pub fn new(limits: ShardLimits) -> Self {
        Self {
            limits,
            budgets: BudgetTable::default(),
            meters: Meters::new(&limits),
            shard_counts: CountsTable::default(),
            stream_refusals: StreamRefusals::default(),
        }
    }
}
