//! On-demand streams grow: a shard whose offered traffic is near its limit is split in the middle.
//!
//! AWS keeps room for double the peak; so a stream never gets more than twice the open shards that its load needs,
//! which also keeps one hot key, that no split can help, from splitting its shard for ever. A stream does not
//! shrink.

use std::sync::Arc;

use crate::limits::{SHARDS_BY_DEFAULT, ShardLimits};
use crate::model::reshard::{Plan, middle};
use crate::model::stream::{Shard, Stream, StreamMode, StreamStatus};
use crate::replication::META_GROUP;
use crate::service::Service;
use crate::service::limits::demand::Counted;
use crate::service::limits::throttle::Demand;

/// Percent of a shard's limits from which on it is split.
const NEAR_LIMIT_PERCENT: u64 = 70;

/// The traffic offered to the shards of on-demand streams until the last look.
#[derive(Debug, Default)]
pub struct Looked {
    at_ms: u64,
    counted: Counted,
}

/// The traffic offered to a shard per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    bytes: u64,
    records: u64,
}

impl Service {
    /// Looks at the traffic offered to on-demand streams since the last look, and splits shards that need it, if
    /// this node leads the metadata.
    pub(in crate::service) async fn grow_on_demand(self: &Arc<Self>, looked: &mut Looked) {
        let before = std::mem::take(looked);
        let is_growing =
            |stream: &Stream| stream.mode == StreamMode::OnDemand && stream.status == StreamStatus::Active;
        let streams = self.catalog();
        let growing = streams.streams().values().filter(|stream| is_growing(stream));
        let uids: Vec<u64> = growing.map(|stream| stream.uid).collect();
        if uids.is_empty() || !self.leads(META_GROUP) {
            return;
        }
        let counted = self.demand_everywhere(&uids).await;
        let (now_ms, limits) = (self.now_ms(), self.shard_limits());
        *looked = Looked { at_ms: now_ms, counted };
        let elapsed_ms = now_ms.saturating_sub(before.at_ms);
        for uid in uids {
            // The present catalog, because growing the streams before this one took time.
            let catalog = self.catalog();
            let Some(stream) = catalog.by_uid(uid).filter(|stream| is_growing(stream)) else { continue };
            let load = |shard: &Shard| {
                let key = (uid, shard.index);
                load(before.counted.get(&key), looked.counted.get(&key), elapsed_ms)
            };
            let loads: Vec<_> = stream.open_shards().map(|shard| (shard, load(shard))).collect();
            let Some(plan) = plan(stream, &loads, &limits) else { continue };
            match self.begin_reshard(stream.uid, &plan, false).await {
                Ok(()) => {
                    tracing::info!(stream = %stream.key.name, shards = plan.sealed.len(), "splitting shards of an on-demand stream");
                }
                Err(error) => {
                    crate::log_at_most_once_a_second!(warn, stream = %stream.key.name, %error, "cannot split shards of an on-demand stream; deciding anew at the next look");
                }
            }
        }
    }
}

/// A shard that was not there at the last look, or was counted by another node, is not judged yet.
fn load(before: Option<&(u64, Demand)>, now: Option<&(u64, Demand)>, elapsed_ms: u64) -> Load {
    let (Some((counted_by, before)), Some((node, now))) = (before, now) else { return Load::default() };
    if counted_by != node || elapsed_ms == 0 {
        return Load::default();
    }
    let per_second = |before: u64, now: u64| now.saturating_sub(before).saturating_mul(1_000) / elapsed_ms;
    Load { bytes: per_second(before.bytes, now.bytes), records: per_second(before.records, now.records) }
}

/// The splits that a stream needs; `None` when it needs none.
fn plan(stream: &Stream, loads: &[(&Shard, Load)], limits: &ShardLimits) -> Option<Plan> {
    let open = loads.len() as u64;
    let warm = u64::from(stream.warm_mib_per_second);
    if warm > open {
        return Some(Plan::even(stream, u32::try_from(warm).ok()?));
    }
    let sum = |of: fn(&Load) -> u64| loads.iter().map(|(_, load)| of(load)).sum::<u64>();
    let needed = shards_for(sum(|load| load.bytes), limits.write_bytes_per_second)
        .max(shards_for(sum(|load| load.records), limits.write_records_per_second));
    let room = (2 * needed).max(u64::from(SHARDS_BY_DEFAULT)).saturating_sub(open);
    let mut hot: Vec<_> = loads.iter().filter(|(_, load)| is_near(load, limits)).collect();
    hot.sort_by_key(|(_, load)| std::cmp::Reverse((load.bytes, load.records)));
    let splits = hot.iter().filter_map(|(shard, _)| middle(shard.range).map(|at| (*shard, at)));
    let plan = Plan::split_all(stream, splits.take(usize::try_from(room).ok()?));
    (!plan.is_empty()).then_some(plan)
}

fn shards_for(per_second: u64, limit: Option<u64>) -> u64 {
    limit.map_or(0, |limit| per_second.div_ceil(limit.max(1)))
}

fn is_near(load: &Load, limits: &ShardLimits) -> bool {
    let near = |per_second: u64, limit: Option<u64>| {
        limit.is_some_and(|limit| per_second.saturating_mul(100) >= limit.saturating_mul(NEAR_LIMIT_PERCENT))
    };
    near(load.bytes, limits.write_bytes_per_second) || near(load.records, limits.write_records_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    fn planned(stream: &Stream, records: &[u64]) -> Vec<u32> {
        let load = |records: &u64| Load { bytes: 0, records: *records };
        let loads: Vec<_> = stream.open_shards().zip(records.iter().map(load)).collect();
        plan(stream, &loads, &ShardLimits::aws()).map_or_else(Vec::new, |plan| plan.sealed)
    }

    #[test]
    fn shards_near_their_limit_are_split_within_twice_the_need() {
        let stream = fixture::stream("a", 4);
        for (records, expected) in [
            ([699, 0, 0, 0], vec![]),
            // One shard is needed, four are there.
            ([900, 0, 0, 0], vec![]),
            ([1_000, 1_000, 900, 699], vec![0, 1, 2]),
            // Three are needed, so there is room for two more: the hottest.
            ([800, 900, 850, 0], vec![1, 2]),
            // One hot key: five are needed, so it goes on to ten, and no further.
            ([5_000, 0, 0, 0], vec![0]),
        ] {
            assert_eq!(planned(&stream, &records), expected, "{records:?}");
        }
        let grown = fixture::stream("a", 10);
        assert!(planned(&grown, &[5_000, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_empty());
    }

    #[test]
    fn warm_throughput_is_made_ahead_of_need() {
        let mut stream = fixture::stream("a", 4);
        stream.warm_mib_per_second = 6;
        let loads: Vec<_> = stream.open_shards().map(|shard| (shard, Load::default())).collect();
        let plan = plan(&stream, &loads, &ShardLimits::aws()).expect("a plan");
        assert_eq!(plan, Plan::even(&stream, 6));
    }

    #[test]
    fn load_counts_since_the_last_look() {
        let (before, now) = (Demand { bytes: 100, records: 10 }, Demand { bytes: 10_100, records: 60 });
        let counted = |by: u64, demand| Some((by, demand));
        for (before, now, elapsed_ms, expected) in [
            (counted(1, before), counted(1, now), 5_000, Load { bytes: 2_000, records: 10 }),
            // Not there at the last look, counted by another node since, or by nobody now.
            (None, counted(1, now), 5_000, Load::default()),
            (counted(2, before), counted(1, now), 5_000, Load::default()),
            (counted(1, before), None, 5_000, Load::default()),
            (counted(1, before), counted(1, now), 0, Load::default()),
        ] {
            assert_eq!(load(before.as_ref(), now.as_ref(), elapsed_ms), expected);
        }
    }
}
