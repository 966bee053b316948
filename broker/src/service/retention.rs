//! Retention: records older than their stream allows are trimmed, by commands in the log.
//!
//! The leader's clock decides when; applying only moves the trim point, so replicas agree. A trimmed record is
//! never served; its file is unlinked after a checkpoint that carries the trim.

use std::collections::BTreeMap;

use tidelog_proto::stored::{self, data_command, trim};

use super::{Service, ServiceError};

/// Shards of one trim command.
const TRIM_POINTS_MAX: usize = 1_000;
const HOUR_MS: u64 = 3_600_000;

impl Service {
    /// Trims what is older than its stream's retention; returns the number of shards trimmed.
    pub async fn trim_expired(&self) -> Result<usize, ServiceError> {
        let mut by_group: BTreeMap<u8, Vec<trim::Point>> = BTreeMap::new();
        let now_ms = self.now_ms();
        for stream in self.catalog().streams().values() {
            let keep_from_ms = now_ms.saturating_sub(u64::from(stream.retention_hours) * HOUR_MS);
            for shard in &stream.shards {
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
}
