//! Replication: seven Raft groups on one write-ahead log, behind a narrow interface.
//!
//! This is the only module that names openraft. Group 0 holds metadata, groups 1 to 6 hold records
//! ([`GROUPS`](tidelog_storage::wal::GROUPS) in all). Callers propose commands ([`Groups`]) and read the applied
//! state; leadership, the transport of entries and the purging of the log stay in here.
//!
//! A single node is a cluster with one voter: the same path, the same files.

mod appends;
mod catch_up;
mod check;
mod checkpoints;
mod config;
#[cfg(test)]
mod conformance;
mod data;
mod error;
mod give_up_log;
mod groups;
mod leadership;
mod life;
mod metadata;
mod peer_calls;
mod proposals;
mod raft;
mod recovery;
mod sizes;
mod start;
mod types;
mod workers;

pub use tidelog_storage::shard::ShardKey;

pub use appends::{Appends, PartAnswer};
pub use catch_up::CatchUp;
pub use catch_up::repair::Repairs;
pub use catch_up::serve_at_start::SegmentsAtStart;
pub use check::check_peer_message;
pub use checkpoints::Checkpoints;
pub use config::GroupsConfig;
pub use data::notifications::{Listener, ManyListener};
pub use error::{Loss, ProposeError, Remedy, ReplicationError};
pub use give_up_log::{GivingUp, ShardEnd};
pub use groups::{GroupThreads, Groups};
pub use leadership::balance::Balance;
pub use leadership::eligibility::StalledFollower;
pub use leadership::leaders::{Leader, Leaders, Leadership, STOPPING};
pub use leadership::membership::{GroupStatus, Membership, MembershipChange, MembershipError};
pub use life::LifeKeeper;
pub use metadata::bounds::MetadataFull;
pub use metadata::consumer_groups::{store_begin, store_lease, store_progress};
pub use metadata::quotas::{Quota, QuotaExceeded};
pub use metadata::state::MetaOutcome;
pub use metadata::stored::{store_hash_key, store_key, store_mode};
pub use metadata::{DATA_GROUPS, META_GROUP};
pub use peer_calls::PeerCalls;
pub use proposals::{ExpiredTables, ExpiryTimes, Proposals, refused_or_unknown};
pub use recovery::recovered::{Opened, Recovered};
pub use sizes::{DISK_RESERVE_BYTES_MIN, DiskReserve, RepairPace, Sizes};
pub use types::command::{LogCommand, Origin, SubBatch};
pub use types::outcome::{AppendOutcome, Outcome, TableAnswer};
pub use workers::log_bound::LogBound;
pub use workers::node_disk::{DiskTrouble, NodeDisk};
pub use workers::wal_worker::Durability;

pub use crate::shell::{Shell, Tasks};
