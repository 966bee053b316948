//! Replication: seven Raft groups on one write-ahead log, behind a narrow interface.
//!
//! This is the only module that names openraft. Group 0 holds metadata, groups 1 to 6 hold records
//! ([`GROUPS`](tidelog_storage::wal::GROUPS) in all). Outside, one proposes commands ([`Groups`]) and reads what
//! has been applied; who leads, how entries travel and when the log is cut stays in here.
//!
//! A single node is a cluster with one voter: the same path, the same files.

mod batcher;
mod catch_up;
mod check;
mod checkpointer;
mod command;
#[cfg(test)]
mod conformance;
mod dropped;
mod eligibility;
mod flush_thread;
mod give_up_log;
mod group_state;
mod groups;
mod held;
mod inheritance;
mod keep_life;
mod kept;
mod leaders;
mod lease;
mod log_bound;
mod log_store;
mod machine;
mod membership;
mod meta_bounds;
mod meta_groups;
mod meta_quotas;
mod meta_reshard;
mod meta_state;
mod meta_stored;
mod network;
mod news;
mod peer_calls;
mod peer_messages;
mod positions;
mod producers;
mod producers_stored;
mod promises;
mod proposals;
mod published;
mod raft_runtime;
mod raft_start;
mod raft_types;
mod recovered;
mod sizes;
mod start;
mod wal_thread;

pub use batcher::PartAnswer;
pub use catch_up::{Resting, WholePace};
pub use check::check_peer_message;
pub use command::{Command, Origin, SubBatch};
pub use eligibility::StandingStill;
pub use give_up_log::{GivingUp, ShardEnd};
pub use groups::{DiskTrouble, GroupError, GroupThreads, Groups, GroupsConfig, ProposeError};
pub use leaders::{Leader, Leaders, STOPPING};
pub use log_bound::LogBound;
pub use membership::{GroupStatus, MembershipChange, MembershipError};
pub use meta_bounds::MetadataFull;
pub use meta_groups::{store_begin, store_lease, store_progress};
pub use meta_quotas::{Quota, QuotaExceeded};
pub use meta_state::MetaOutcome;
pub use meta_stored::{store_hash_key, store_key, store_mode};
pub use news::{Listener, ManyListener};
pub use proposals::refused_or_unknown;
pub use recovered::{Loss, Opened, Recovered, WayOut};
pub use sizes::{DISK_RESERVE_BYTES_MIN, DiskReserve, Sizes};
pub use tidelog_storage::shard::ShardKey;
pub use wal_thread::Durability;

use crate::model::producers::{ProducerRefusal, Run};
use crate::shell;
pub use crate::shell::{Shell, Tasks};

/// The group that holds metadata.
pub const META_GROUP: u8 = 0;
/// Groups that hold records: 1 to this.
pub const DATA_GROUPS: u8 = 6;

/// What applying a command answered.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to say: leader's own entries, membership, most control commands of a data group.
    Done,
    /// Where sealed shards end: the ordinal after the last record, by shard index.
    Sealed(Vec<(u32, u64)>),
    /// One result per sub-batch of a records entry, in order.
    Appended(Vec<AppendOutcome>),
    /// What the metadata group made of its command.
    Meta(MetaOutcome),
}

/// Where a sub-batch landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Its records have the ordinals from `first_ordinal` on, and this arrival time.
    Placed {
        /// Ordinal of the sub-batch's first record.
        first_ordinal: u64,
        /// Milliseconds since the epoch; never below that of an earlier record of the shard.
        time_ms: u64,
    },
    /// The shard is not open in this group: the stream is gone.
    NoSuchShard,
    /// The shard is closed, or about to be: its children take the records.
    Sealed,
    /// Some of its records, or all, were written when the batch came before: where each of them stands.
    Remembered(Vec<Run>),
    /// Nothing of it was written: its producer's word.
    Refused(ProducerRefusal),
}
