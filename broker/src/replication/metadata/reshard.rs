//! Changes of a stream's shards by the metadata group: their creation, and the two ends of a reshard. Pure
//! functions of the log, like all of the group's state.

use std::collections::BTreeSet;

use tidelog_proto::stored;

use super::DATA_GROUPS;
use super::stored::read_hash_key;
use crate::model::stream::{HashRange, Reshard, Shard, Stream, StreamStatus};

/// Shards of a stream go round the data groups; streams begin at different ones.
pub fn first_shard(uid: u64, index: u32, range: HashRange, created_s: u64, now_ms: u64) -> Shard {
    let group = 1 + ((uid + u64::from(index)) % u64::from(DATA_GROUPS)) as u8;
    Shard {
        index,
        group,
        range,
        parent: None,
        adjacent_parent: None,
        created_s,
        opened_ms: now_ms,
        closed_ms: None,
        end_ordinal: None,
    }
}

/// The shards of a reshard, numbered on from the highest number ever used, which is always that of an open shard. Each
/// is created a second or more after its parents and above `floor_s`, so that its sequence numbers lie above theirs;
/// one that is the parent of a later one is closed in the instant it opens.
pub fn new_shards(stream: &Stream, new: &[stored::NewShard], now_ms: u64, floor_s: u64) -> Vec<Shard> {
    let first = stream.shards.last().map_or(0, |shard| shard.index + 1);
    let mut made: Vec<Shard> = Vec::with_capacity(new.len());
    for (index, new) in (first..).zip(new) {
        let parents = [new.parent, new.adjacent_parent];
        let created_s = |parent: u32| match parent.checked_sub(first) {
            Some(position) => made[position as usize].created_s,
            None => stream.shard(parent).map_or(0, |parent| parent.created_s),
        };
        let above_s =
            parents.iter().flatten().map(|parent| created_s(*parent)).max().unwrap_or(0).max(floor_s) + 1;
        let hash = |bytes| read_hash_key(bytes).expect("a hash key has 16 bytes");
        let range = HashRange { start: hash(&new.hash_start), end: hash(&new.hash_end) };
        let mut shard = first_shard(stream.uid, index, range, above_s.max(now_ms / 1_000), now_ms);
        (shard.parent, shard.adjacent_parent) = (new.parent, new.adjacent_parent);
        for parent in parents.iter().flatten().filter_map(|parent| parent.checked_sub(first)) {
            let parent = &mut made[parent as usize];
            parent.closed_ms = Some(now_ms);
            parent.end_ordinal = Some(1);
        }
        made.push(shard);
    }
    made
}

/// Closes the parents and shows the children, in one step and at one instant.
pub fn commit_reshard(stream: &mut Stream, commit: &stored::CommitReshard, now_ms: u64) {
    let is_of = |reshard: &Reshard| {
        let sealed: BTreeSet<u32> = reshard.sealed.iter().copied().collect();
        sealed == commit.ends.iter().map(|end| end.shard).collect()
    };
    // One that a driver sent late is of a reshard that has ended; the one under way has parents of its own.
    let Some(reshard) = stream.reshard.take_if(|reshard| is_of(reshard)) else { return };
    let newest_opened_ms = stream.shards.iter().map(|shard| shard.opened_ms).max().unwrap_or(0);
    let instant_ms = now_ms.max(newest_opened_ms);
    for end in &commit.ends {
        if let Ok(at) = stream.shards.binary_search_by_key(&end.shard, |shard| shard.index) {
            stream.shards[at].closed_ms = Some(instant_ms);
            stream.shards[at].end_ordinal = Some(end.ordinal);
        }
    }
    stream.shards.extend(reshard.opened.into_iter().map(|mut shard| {
        shard.opened_ms = instant_ms;
        shard.closed_ms = shard.closed_ms.map(|_| instant_ms);
        shard
    }));
    if stream.status == StreamStatus::Updating {
        stream.status = StreamStatus::Active;
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::store_hash_key;
    use super::*;
    use crate::model::fixture::{self, NOW_MS};
    use crate::model::reshard::Plan;
    use crate::model::sequence_number::SequenceNumber;

    fn carried_out(mut stream: Stream, plan: &Plan, now_ms: u64) -> Stream {
        let new = |child: &crate::model::reshard::Child| stored::NewShard {
            hash_start: store_hash_key(child.range.start),
            hash_end: store_hash_key(child.range.end),
            parent: Some(child.parent),
            adjacent_parent: child.adjacent_parent,
        };
        let new: Vec<_> = plan.children.iter().map(new).collect();
        let opened = new_shards(&stream, &new, now_ms, 0);
        stream.reshard = Some(Reshard { sealed: plan.sealed.clone(), opened });
        stream.status = StreamStatus::Updating;
        let end = |shard: &u32| stored::commit_reshard::End { shard: *shard, ordinal: 8 };
        let commit = stored::CommitReshard { uid: stream.uid, ends: plan.sealed.iter().map(end).collect() };
        commit_reshard(&mut stream, &commit, now_ms + 5);
        let once = stream.clone();
        commit_reshard(&mut stream, &commit, now_ms + 9);
        assert_eq!(stream, once, "a commit that comes twice counts once");
        let newest = stream.shards.last().expect("a stream has shards").index;
        stream.reshard = Some(Reshard { sealed: vec![newest], opened: Vec::new() });
        let begun = stream.clone();
        commit_reshard(&mut stream, &commit, now_ms + 9);
        assert_eq!(stream, begun, "a commit is of the reshard that closes its shards");
        stream.reshard = None;
        stream
    }

    #[test]
    fn parents_close_and_children_open_at_one_instant_above_their_parents() {
        let before = fixture::stream("a", 4);
        let after = carried_out(before.clone(), &Plan::even(&before, 3), NOW_MS);
        assert_eq!(after.status, StreamStatus::Active);
        for shard in &after.shards {
            let is_parent = shard.index < 4;
            let is_step_between = matches!(shard.index, 4 | 5 | 7 | 8);
            assert_eq!(shard.closed_ms.is_some(), is_parent || is_step_between, "{shard:?}");
            assert!(shard.closed_ms.is_none_or(|closed_ms| closed_ms == NOW_MS + 5));
            assert_eq!(shard.end_ordinal, shard.closed_ms.map(|_| if is_parent { 8 } else { 1 }));
            for parent in shard.parent.iter().chain(&shard.adjacent_parent) {
                let parent = after.shard(*parent).expect("a parent");
                assert_eq!(parent.closed_ms, Some(shard.opened_ms));
                let last = SequenceNumber::ending(parent.created_s, parent.index, NOW_MS / 1_000);
                let first = SequenceNumber::starting(shard.created_s, shard.index);
                assert!(first.to_string() > last.to_string(), "{first} of a child, {last} of its parent");
            }
        }
    }

    #[test]
    fn quick_reshards_and_a_clock_that_goes_back_keep_the_order() {
        let mut stream = fixture::stream("a", 1);
        for round in 0..5 {
            let last = stream.shards.last().expect("a shard").clone();
            let at = last.range.start + (last.range.end - last.range.start) / 2 + 1;
            let plan = Plan::split(&stream, &last, at);
            stream = carried_out(stream, &plan, NOW_MS - round * 60_000);
            let child = stream.shards.last().expect("a shard");
            assert!(child.created_s > last.created_s && child.opened_ms >= last.opened_ms);
        }
    }
}
