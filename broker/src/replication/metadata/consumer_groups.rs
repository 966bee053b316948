//! Consumer groups in the metadata group's state: commands applied to the domain's groups, and their stored form.

use std::sync::Arc;

use tidelog_proto::stored::{self, group_begin, group_command::Change, group_shard};

use super::state::MetaOutcome;
use crate::limits::GROUP_MEMBERS_MAX;
use crate::model::consumer_group::{
    Begin, ConsumerGroup, ConsumerGroups, GroupMember, GroupPosition, GroupRefusal, GroupShard, LeaseRef,
    Progress, RecordPosition,
};
use crate::model::stream::{Stream, StreamStatus};

/// Applies a change of one group of `stream`. A member that joins gets the uid after `next_uid`.
pub fn change_group(
    groups: &mut ConsumerGroups,
    stream: &Stream,
    command: &stored::GroupCommand,
    now_ms: u64,
    next_uid: &mut u64,
) -> MetaOutcome {
    if !stream.is_usable() {
        return match stream.status {
            StreamStatus::Deleting => MetaOutcome::NoSuchStream,
            status => MetaOutcome::NotActive(status),
        };
    }
    let (uid, name) = (stream.uid, command.name.as_str());
    let done = |()| MetaOutcome::Done;
    let changed = match command.change.as_ref().expect("a change of a group of a newer version") {
        Change::Join(join) => {
            let joined = join_group(groups, stream, name, join, (*next_uid + 1, now_ms));
            joined.map(|member| {
                *next_uid = member;
                MetaOutcome::Created(member)
            })
        }
        Change::Sync(sync) => {
            let released: Vec<LeaseRef> = sync.released.iter().copied().map(read_lease).collect();
            groups.change(uid, name, |group| group.sync(sync.member, &released)).map(done)
        }
        Change::Checkpoint(checkpoint) => {
            let progress: Vec<Progress> = checkpoint.shards.iter().map(read_progress).collect();
            let lost = groups.change(uid, name, |group| group.checkpoint(checkpoint.member, &progress));
            lost.map(|lost| if lost.is_empty() { MetaOutcome::Done } else { MetaOutcome::LeasesLost(lost) })
        }
        Change::Leave(of) => groups.change(uid, name, |group| group.leave(of.member)).map(done),
        Change::Expire(expire) => {
            let members: Vec<_> = expire.members.iter().map(|absent| (absent.member, absent.syncs)).collect();
            let revocations: Vec<_> = expire.revocations.iter().map(|own| (own.shard, own.number)).collect();
            let expire = |group: &mut ConsumerGroup| {
                group.expire(&members, &revocations);
                Ok(())
            };
            groups.change(uid, name, expire).map(done)
        }
        Change::Reset(to) => {
            let to = read_begin(to).expect("a reset says where to");
            groups.change(uid, name, |group| group.reset(stream, &to)).map(done)
        }
        Change::Delete(stored::DeleteGroup {}) => groups.remove(uid, name).map(done),
    };
    changed.unwrap_or_else(MetaOutcome::GroupRefused)
}

fn join_group(
    groups: &mut ConsumerGroups,
    stream: &Stream,
    name: &str,
    join: &stored::JoinGroup,
    (member, now_ms): (u64, u64),
) -> Result<u64, GroupRefusal> {
    if groups.get(stream.uid, name).is_none() {
        let begin = join.begin.as_ref().and_then(read_begin).ok_or(GroupRefusal::NoSuchGroup)?;
        groups.check_room(stream.uid)?;
        groups.put(stream.uid, name, ConsumerGroup::new(stream, join.lease_ms, &begin));
    }
    let joining =
        |group: &mut ConsumerGroup| group.join(member, &join.member_name, now_ms, GROUP_MEMBERS_MAX);
    groups.change(stream.uid, name, joining).map(|()| member)
}

fn read_lease(stored: stored::LeaseRef) -> LeaseRef {
    LeaseRef { shard: stored.shard, epoch: stored.epoch }
}

fn read_progress(stored: &stored::checkpoint_group::Progress) -> Progress {
    let lease = read_lease(stored.lease.expect("progress is that of a lease"));
    Progress { lease, through: stored.through.map(read_record_position) }
}

fn read_record_position(stored: stored::RecordPosition) -> RecordPosition {
    RecordPosition { ordinal: stored.ordinal, time_s: stored.time_s }
}

fn store_record_position(position: RecordPosition) -> stored::RecordPosition {
    stored::RecordPosition { ordinal: position.ordinal, time_s: position.time_s }
}

/// The stored form of a member's progress.
pub fn store_progress(progress: &Progress) -> stored::checkpoint_group::Progress {
    let lease = Some(store_lease(progress.lease));
    stored::checkpoint_group::Progress { lease, through: progress.through.map(store_record_position) }
}

/// The stored form of a lease's name.
pub fn store_lease(lease: LeaseRef) -> stored::LeaseRef {
    stored::LeaseRef { shard: lease.shard, epoch: lease.epoch }
}

fn read_begin(stored: &stored::GroupBegin) -> Option<Begin> {
    Some(match stored.at.as_ref()? {
        group_begin::At::TrimHorizon(_) => Begin::TrimHorizon,
        group_begin::At::TimeMs(time_ms) => Begin::Time(*time_ms),
        group_begin::At::Latest(latest) => {
            let position = |newest: &group_begin::Newest| {
                (newest.shard, read_record_position(newest.position.expect("a newest record has a position")))
            };
            Begin::Latest(latest.shards.iter().map(position).collect())
        }
    })
}

/// The stored form of where a group begins.
pub fn store_begin(begin: &Begin) -> stored::GroupBegin {
    let at = match begin {
        Begin::TrimHorizon => group_begin::At::TrimHorizon(stored::TrimHorizon {}),
        Begin::Time(time_ms) => group_begin::At::TimeMs(*time_ms),
        Begin::Latest(newest) => {
            let newest = newest.iter().map(|(shard, position)| group_begin::Newest {
                shard: *shard,
                position: Some(store_record_position(*position)),
            });
            group_begin::At::Latest(group_begin::Latest { shards: newest.collect() })
        }
    };
    stored::GroupBegin { at: Some(at) }
}

/// The groups that are stored.
pub fn read_groups(stored: &[stored::ConsumerGroup]) -> ConsumerGroups {
    let mut groups = ConsumerGroups::default();
    for own in stored {
        let group = ConsumerGroup {
            lease_ms: own.lease_ms,
            members: Arc::new(own.members.iter().map(read_member).collect()),
            shards: Arc::new(own.shards.iter().map(read_shard).collect()),
            revocations: own.revocations,
        };
        groups.put(own.stream_uid, &own.name, group);
    }
    groups
}

fn read_member(stored: &stored::GroupMember) -> (u64, GroupMember) {
    let member =
        GroupMember { name: stored.name.as_str().into(), joined_ms: stored.joined_ms, syncs: stored.syncs };
    (stored.uid, member)
}

fn read_shard(stored: &stored::GroupShard) -> (u32, GroupShard) {
    let position = match stored.position {
        None | Some(group_shard::Position::TrimHorizon(_)) => GroupPosition::TrimHorizon,
        Some(group_shard::Position::TimeMs(time_ms)) => GroupPosition::Time(time_ms),
        Some(group_shard::Position::After(position)) => GroupPosition::After(read_record_position(position)),
    };
    let shard = GroupShard {
        parents: stored.parents.clone(),
        epoch: stored.epoch,
        owner: stored.owner,
        revocation: stored.revocation,
        position,
        is_finished: stored.is_finished,
        is_empty: stored.is_empty,
    };
    (stored.shard, shard)
}

/// The stored form of all groups.
pub fn store_groups(groups: &ConsumerGroups) -> Vec<stored::ConsumerGroup> {
    let store = |(stream_uid, name, group): (u64, &Arc<str>, &ConsumerGroup)| stored::ConsumerGroup {
        stream_uid,
        name: name.to_string(),
        lease_ms: group.lease_ms,
        members: group.members.iter().map(store_member).collect(),
        shards: group.shards.iter().map(store_shard).collect(),
        revocations: group.revocations,
    };
    groups.iter().map(store).collect()
}

fn store_member((uid, member): (&u64, &GroupMember)) -> stored::GroupMember {
    let GroupMember { name, joined_ms, syncs } = member;
    stored::GroupMember { uid: *uid, name: name.to_string(), joined_ms: *joined_ms, syncs: *syncs }
}

fn store_shard((index, shard): (&u32, &GroupShard)) -> stored::GroupShard {
    let position = match shard.position {
        GroupPosition::TrimHorizon => group_shard::Position::TrimHorizon(stored::TrimHorizon {}),
        GroupPosition::Time(time_ms) => group_shard::Position::TimeMs(time_ms),
        GroupPosition::After(position) => group_shard::Position::After(store_record_position(position)),
    };
    stored::GroupShard {
        shard: *index,
        parents: shard.parents.clone(),
        epoch: shard.epoch,
        owner: shard.owner,
        revocation: shard.revocation,
        position: Some(position),
        is_finished: shard.is_finished,
        is_empty: shard.is_empty,
    }
}

#[cfg(test)]
mod tests;
