//! Retention: records older than their stream allows are trimmed, by commands in the log.
//!
//! The leader's clock decides when; applying only moves the trim point, so replicas agree. A trimmed record is
//! never served; its file is unlinked after a checkpoint that carries the trim.

use std::collections::{BTreeMap, BTreeSet};

use tidelog_proto::stored::{self, data_command, meta_command::Command, trim};

use super::{Service, ServiceError};
use crate::model::stream::{Shard, StreamStatus};
use crate::replication::META_GROUP;

/// Shards of one trim command.
const TRIM_POINTS_MAX: usize = 1_000;
const HOUR_MS: u64 = 3_600_000;

impl Service {
    /// Trims what is older than its stream's retention in the shards that are led here; returns the number of shards
    /// trimmed.
    pub async fn trim_expired(&self) -> Result<usize, ServiceError> {
        let mut by_group: BTreeMap<u8, Vec<trim::Point>> = BTreeMap::new();
        let now_ms = self.now_ms();
        for stream in self.catalog().streams().values() {
            let keep_from_ms = now_ms.saturating_sub(u64::from(stream.retention_hours) * HOUR_MS);
            for shard in stream.shards.iter().filter(|shard| self.leads(shard.group)) {
                let Some(bounds) = self.bounds(stream, shard) else { continue };
                if bounds.oldest_time_ms.is_none_or(|oldest_ms| oldest_ms >= keep_from_ms) {
                    continue;
                }
                // One shard that cannot be read now must not keep the others' records.
                let Ok(ordinal) = self.ordinal_at_time(stream, shard, keep_from_ms).await else { continue };
                if ordinal > bounds.first_ordinal {
                    let point = trim::Point { uid: stream.uid, shard: shard.index, ordinal };
                    by_group.entry(shard.group).or_default().push(point);
                }
            }
        }
        let mut trimmed = 0;
        for (group, points) in by_group {
            for points in points.chunks(TRIM_POINTS_MAX) {
                let command = data_command::Command::Trim(stored::Trim { points: points.to_vec() });
                self.groups.propose_data(group, command).await?;
                trimmed += points.len();
            }
        }
        Ok(trimmed)
    }

    /// Takes closed shards out whose last records have expired, if the metadata is led here; returns how many. Their records go first, so that a
    /// crash in between leaves nothing that is not tried again.
    pub async fn forget_expired_shards(&self) -> Result<usize, ServiceError> {
        let (catalog, now_ms) = (self.catalog(), self.now_ms());
        let mut forgotten = 0;
        if !self.leads(META_GROUP) {
            return Ok(forgotten);
        }
        for stream in catalog.streams().values().filter(|stream| stream.status == StreamStatus::Active) {
            let keep_from_ms = now_ms.saturating_sub(u64::from(stream.retention_hours) * HOUR_MS);
            let has_records = |shard: &Shard| {
                self.bounds(stream, shard).is_some_and(|bounds| bounds.first_ordinal < bounds.next_ordinal)
            };
            let is_expired = |shard: &&Shard| {
                shard.closed_ms.is_some_and(|closed_ms| closed_ms < keep_from_ms) && !has_records(shard)
            };
            let mut by_group: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut expired = BTreeSet::new();
            for shard in stream.shards.iter().filter(is_expired) {
                // Never before its parents, whose readers are told of it at their end.
                let is_kept = |parent: &u32| stream.shard(*parent).is_some() && !expired.contains(parent);
                if !shard.parent.iter().chain(&shard.adjacent_parent).any(is_kept) {
                    expired.insert(shard.index);
                    by_group.entry(shard.group).or_default().push(shard.index);
                }
            }
            let uid = stream.uid;
            if expired.is_empty() {
                continue;
            }
            for (group, shards) in by_group {
                let command = data_command::Command::DropShards(stored::DropShards { uid, shards });
                self.groups.propose_data(group, command).await?;
            }
            forgotten += expired.len();
            let forget =
                Command::ForgetShards(stored::ForgetShards { uid, shards: expired.into_iter().collect() });
            self.groups.propose_meta(now_ms, forget).await?;
        }
        Ok(forgotten)
    }
}
