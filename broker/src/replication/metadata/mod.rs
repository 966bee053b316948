//! The state of group 0: streams and their shards, consumers, consumer groups, settings, lives of nodes.
//!
//! The state is a pure function of the group's log: no clock, no random number. Commands carry the time, and the bounds
//! and quotas that their proposer goes by. Readers get a published copy ([`published`]).

pub mod bounds;
pub mod consumer_groups;
pub mod published;
pub mod quotas;
pub mod reshard;
pub mod state;
pub mod stored;

/// The group that holds metadata.
pub const META_GROUP: u8 = 0;
/// Groups that hold records: 1 to this.
pub const DATA_GROUPS: u8 = 6;
