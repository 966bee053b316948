//! The leases that an application has to have in order to go on at a position: a pure function of shards and leases.
//!
//! KCL reads a shard once its parents' leases are gone or ended, and makes the leases of children itself when it comes
//! to the end of a shard. So each line of shards has one lease, at the shard that was open at the position: the *cut*.
//! Leases of descendants go, or KCL would never read their parents; leases of ancestors go, or KCL would wait for their
//! ends.

use std::collections::{BTreeMap, BTreeSet};

use tidelog_tables::lease::{LATEST, Lease, NewLease, TRIM_HORIZON};
use tidelog_tables::request::ItemWrite;

use super::ApplicationError;
use super::find::{Fit, fit, index_of};
use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream};

/// A position that every shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Position {
    /// The oldest record.
    Oldest,
    /// The first record of that millisecond or later.
    Time(u64),
    /// After the newest record.
    Newest,
}

/// The change of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange {
    /// The key of the lease.
    pub lease: String,
    /// The checkpoint before; `None` for a lease that is created.
    pub from: Option<String>,
    /// The checkpoint afterwards; `None` for a lease that is deleted.
    pub to: Option<String>,
}

/// The shards at which reading goes on, in the order of their indexes: those that were open at the position, by a clock
/// that may be `skew_ms` off.
pub(super) fn cut(stream: &Stream, position: impl Fn(&Shard) -> Position, skew_ms: u64) -> Vec<&Shard> {
    let mut passed: BTreeSet<u32> = BTreeSet::new();
    let mut cut = Vec::new();
    // Parents come before their children.
    for shard in &stream.shards {
        let parents = shard.parent.into_iter().chain(shard.adjacent_parent);
        let mut known = parents.filter(|parent| stream.shard(*parent).is_some());
        if !known.all(|parent| passed.contains(&parent)) {
            continue;
        }
        let is_passed = match (position(shard), shard.closed_ms) {
            (_, None) | (Position::Oldest, _) => false,
            (Position::Newest, Some(_)) => true,
            (Position::Time(time_ms), Some(closed_ms)) => closed_ms.saturating_add(skew_ms) <= time_ms,
        };
        if is_passed {
            passed.insert(shard.index);
        } else {
            cut.push(shard);
        }
    }
    cut
}

/// The checkpoint by which KCL goes on at the record of that ordinal: the number of the record before it.
pub(super) fn checkpoint_before(shard: &Shard, ordinal: u64, time_s: u64) -> String {
    match ordinal {
        0 | 1 => TRIM_HORIZON.to_owned(),
        ordinal => {
            let starting = SequenceNumber::starting(shard.created_s, shard.index);
            SequenceNumber { ordinal: ordinal - 1, time_s: time_s.max(shard.created_s), ..starting }
                .to_string()
        }
    }
}

/// The lease of a shard that has none yet.
pub(super) fn new_lease(
    shard: &Shard,
    checkpoint: String,
    stream: Option<&str>,
    has_entity: bool,
) -> NewLease {
    let parents = shard.parent.into_iter().chain(shard.adjacent_parent);
    NewLease {
        stream: stream.map(Into::into),
        shard: ShardId(shard.index).to_string(),
        checkpoint,
        range: (shard.range.start, shard.range.end),
        parents: parents.map(|parent| ShardId(parent).to_string()).collect(),
        has_entity,
    }
}

/// The changes that bring the leases of one stream to checkpoints of the shards of the cut, and the writes that make
/// them.
///
/// # Errors
/// [`ApplicationError::OtherStream`] for a lease of another stream.
pub(super) fn changes(
    table: &str,
    stream: &Stream,
    leases: &[&Lease],
    cut: &[(&Shard, String)],
    has_entity: bool,
) -> Result<Vec<(LeaseChange, ItemWrite)>, ApplicationError> {
    let mut there: BTreeMap<u32, &Lease> = BTreeMap::new();
    for lease in leases {
        match index_of(&lease.shard) {
            Some(index) if fit(stream, lease) != Fit::Not => _ = there.insert(index, lease),
            _ => {
                let (lease, stream) = (lease.key.to_string(), stream.key.name.to_string());
                return Err(ApplicationError::OtherStream { lease, stream });
            }
        }
    }
    let many = leases.iter().find_map(|lease| lease.stream.as_deref());
    let mut changes = Vec::new();
    for (shard, to) in cut {
        let to = to.clone();
        changes.push(match there.remove(&shard.index) {
            Some(lease) => {
                let write = lease.set_to(table, &to);
                let from = Some(lease.checkpoint.to_string());
                (LeaseChange { lease: lease.key.to_string(), from, to: Some(to) }, write)
            }
            None => {
                let lease = new_lease(shard, to.clone(), many, has_entity);
                (LeaseChange { lease: lease.key(), from: None, to: Some(to) }, lease.create(table))
            }
        });
    }
    changes.extend(there.into_values().map(|lease| {
        let from = Some(lease.checkpoint.to_string());
        (LeaseChange { lease: lease.key.to_string(), from, to: None }, lease.delete(table))
    }));
    Ok(changes)
}

/// The position from which a lease is not processed, by the time in its sequence number: numbers of AWS have it as
/// well. `None` for a shard that was processed to its end.
pub(super) fn position_by_time(lease: &Lease) -> Option<Position> {
    if lease.is_ended() {
        return None;
    }
    Some(match SequenceNumber::parse(&lease.checkpoint) {
        Some(number) if number.ordinal > 0 => Position::Time(number.time_s.saturating_mul(1_000)),
        None if *lease.checkpoint == *LATEST => Position::Newest,
        _ => Position::Oldest,
    })
}

/// Where a shard is to be read from, so that nothing is missed of leases that cover its hash keys.
pub(super) fn position_of_range(shard: &Shard, leases: &[Lease]) -> Position {
    let overlaps = |lease: &&Lease| {
        lease.range.is_none_or(|(start, end)| start <= shard.range.end && end >= shard.range.start)
    };
    let positions = leases.iter().filter(overlaps).filter_map(position_by_time);
    positions.min().unwrap_or(Position::Oldest)
}

#[cfg(test)]
mod tests;
