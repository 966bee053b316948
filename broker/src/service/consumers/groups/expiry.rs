//! Expires members that have not synced for a lease time, and revoked leases that were not released for as long.
//!
//! Only the leader of the metadata group judges, by its own monotonic clock, and only by counters that it has watched
//! without a break: clocks of nodes differ, and without a leader no member could sync. The command names the counters
//! that the leader saw, and changes nothing if the member has synced in the meantime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::stored::{self, expire_leases, group_command::Change, meta_command::Command};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Service;
use crate::model::consumer_group::{ConsumerGroup, ConsumerGroups};
use crate::replication::META_GROUP;
use crate::shell::{Heartbeat, OwnerGone};

/// How often the leader looks: a lease lasts this much longer at most.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A leader that did not look for this long may have kept members waiting as well: the shortest lease.
const BREAK: Duration = Duration::from_millis(crate::limits::LEASE_MS_MIN as u64);

/// Stream, group, and the member or the shard.
type PartKey<Of> = (u64, Arc<str>, Of);

/// The sync counters and revocations that were seen, and since when each has not changed.
#[derive(Default)]
struct Watched {
    /// The sync counter of each member.
    syncs: BTreeMap<PartKey<u64>, (u64, Instant)>,
    /// Revocations that wait for their member.
    revocations: BTreeMap<PartKey<u32>, (u64, Instant)>,
}

impl Service {
    /// Expires silent members while this node leads the metadata group.
    pub(in crate::service) async fn expire_members(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let (mut watched, mut looked) = (Watched::default(), Instant::now());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            heartbeat.beat();
            let has_paused = looked.elapsed() >= BREAK;
            looked = Instant::now();
            if has_paused || !self.leads(META_GROUP) {
                watched = Watched::default();
                continue;
            }
            for command in watched.look(&self.groups.consumer_groups(), looked) {
                heartbeat.beat();
                let name = command.name.clone();
                let command = Command::ConsumerGroup(command);
                if let Err(error) = self.groups.proposals().propose_meta(self.now_ms(), command).await {
                    crate::log_at_most_once_a_second!(warn, consumer_group = name, %error, "cannot expire absent members; they keep their shards until the next attempt");
                    watched = Watched::default();
                    break;
                }
            }
        }
    }
}

impl Watched {
    /// Makes commands that expire the members and revocations that have not changed for a lease time.
    fn look(&mut self, groups: &ConsumerGroups, now: Instant) -> Vec<stored::GroupCommand> {
        let before = std::mem::take(self);
        let looking = groups.iter().filter_map(|(stream_uid, name, group)| {
            let expire = self.look_at(&before, (stream_uid, name), group, now)?;
            let change = Some(Change::Expire(expire));
            Some(stored::GroupCommand { stream_uid, name: name.to_string(), change })
        });
        looking.collect()
    }

    fn look_at(
        &mut self,
        before: &Self,
        (stream_uid, name): (u64, &Arc<str>),
        group: &ConsumerGroup,
        now: Instant,
    ) -> Option<stored::ExpireLeases> {
        let lease = Duration::from_millis(group.lease_ms.into());
        let mut expire = stored::ExpireLeases::default();
        for (uid, member) in &*group.members {
            let place = (stream_uid, name.clone(), *uid);
            let since = unchanged_since(before.syncs.get(&place), member.syncs, now);
            self.syncs.insert(place, (member.syncs, since));
            if now - since >= lease {
                expire.members.push(expire_leases::Absent { member: *uid, syncs: member.syncs });
            }
        }
        for (index, shard) in &*group.shards {
            let Some(number) = shard.revocation else { continue };
            let place = (stream_uid, name.clone(), *index);
            let since = unchanged_since(before.revocations.get(&place), number, now);
            self.revocations.insert(place, (number, since));
            if now - since >= lease {
                expire.revocations.push(expire_leases::Revocation { shard: *index, number });
            }
        }
        (!expire.members.is_empty() || !expire.revocations.is_empty()).then_some(expire)
    }
}

fn unchanged_since(seen: Option<&(u64, Instant)>, count: u64, now: Instant) -> Instant {
    seen.filter(|(seen, _)| *seen == count).map_or(now, |(_, since)| *since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::consumer_group::Begin;
    use crate::model::fixture;

    #[test]
    fn only_leases_unchanged_for_a_lease_time_end() {
        let mut group = ConsumerGroup::new(&fixture::stream("a", 2), 1_000, &Begin::TrimHorizon);
        group.join(1, "one", 0, 10).expect("room");
        group.join(2, "two", 0, 10).expect("room");
        let mut watched = Watched::default();
        let began = Instant::now();
        let mut look = |group: &ConsumerGroup, after_ms| {
            let mut groups = ConsumerGroups::default();
            groups.put(42, "g", group.clone());
            let found = watched.look(&groups, began + Duration::from_millis(after_ms));
            let expire = found.into_iter().map(|command| match command.change {
                Some(Change::Expire(expire)) => expire,
                other => panic!("{other:?}"),
            });
            let absent = |expire: stored::ExpireLeases| {
                let members = expire.members.iter().map(|absent| absent.member).collect::<Vec<_>>();
                (members, expire.revocations.iter().map(|own| own.shard).collect::<Vec<_>>())
            };
            expire.map(absent).next().unwrap_or_default()
        };
        assert_eq!(look(&group, 0), (vec![], vec![]));
        group.sync(1, &[]).expect("a member");
        assert_eq!(look(&group, 500), (vec![], vec![]));
        assert_eq!(look(&group, 999), (vec![], vec![]));
        assert_eq!(
            look(&group, 1_000),
            (vec![2], vec![1]),
            "the second never synced, the first never released"
        );
        group.leave(2).expect("a member");
        assert_eq!(look(&group, 1_499), (vec![], vec![]));
        assert_eq!(look(&group, 1_500), (vec![1], vec![]));
        group.sync(1, &[]).expect("a member");
        assert_eq!(look(&group, 1_600), (vec![], vec![]));
    }
}
