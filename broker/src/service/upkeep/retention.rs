//! Retention: records older than their stream allows are hidden from readers, and trimmed by commands in the log.
//!
//! While the deletion time is unknown or late, each node hides expired records by itself, by the served time, and shows
//! them again if that changes. A trim goes by the deletion time: the retention clock and the median of the voters'
//! clocks have to agree that the records have expired. Applying a trim moves the trim point, so replicas agree. The
//! file of trimmed records is unlinked after checkpoints that carry the trim.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, MutexGuard};

use tidelog_proto::stored::{self, data_command, meta_command::Command, trim};
use tidelog_storage::shard::ShardLog;

use super::trim_log::TrimLog;
use crate::clock::cluster::Deletion;
use crate::model::stream::{Shard, Stream, StreamStatus};
use crate::replication::META_GROUP;
use crate::service::{Service, ServiceError};

/// Shards of one trim command.
const TRIM_POINTS_MAX: usize = 1_000;
const HOUR_MS: u64 = 3_600_000;
/// Milliseconds by which the deletion time may be behind the served time before expired records are hidden.
const HIDE_AFTER_MS: u64 = 10_000;

/// A shard's records that have expired, and how old they are.
struct Expired {
    point: trim::Point,
    group: u8,
    retention_hours: u32,
    records: u64,
    oldest_ms: u64,
    keep_from_ms: u64,
}

fn keep_from_ms(stream: &Stream, now_ms: u64) -> u64 {
    now_ms.saturating_sub(u64::from(stream.retention_hours) * HOUR_MS)
}

impl Service {
    /// Trims records that are older than their stream's retention, in the shards that are led here; returns the
    /// number of shards trimmed.
    ///
    /// # Errors
    /// [`ServiceError`] when a leader did not take a trim; the next call tries again.
    pub async fn trim_expired(&self) -> Result<usize, ServiceError> {
        self.look_at_newest();
        self.look_at_clocks();
        self.hide_expired().await;
        let Some(deletion) = self.groups.clock().deletion() else { return Ok(0) };
        let mut expired = self.find_expired(&deletion).await;
        if expired.is_empty() {
            return Ok(0);
        }
        // The search may have taken long: a retention that was raised meanwhile keeps its records.
        self.groups.proposals().read_index(META_GROUP).await?;
        let catalog = self.catalog();
        expired.retain(|expired| {
            let stream = catalog.by_uid(expired.point.uid);
            stream.is_some_and(|stream| stream.retention_hours <= expired.retention_hours)
        });
        let mut by_group: BTreeMap<u8, Vec<&Expired>> = BTreeMap::new();
        for expired in &expired {
            by_group.entry(expired.group).or_default().push(expired);
        }
        let mut trimmed = 0;
        for (group, expired) in by_group {
            for expired in expired.chunks(TRIM_POINTS_MAX) {
                let points = expired.iter().map(|expired| expired.point).collect();
                let command = data_command::Command::Trim(stored::Trim { points });
                self.groups.proposals().propose_data(group, command).await?;
                trimmed += expired.len();
                let mut log = self.trims();
                for Expired { point, records, oldest_ms, keep_from_ms, .. } in expired {
                    log.note(point.uid, *records, *oldest_ms, *keep_from_ms);
                }
            }
        }
        let lines = self.trims().due(&catalog, self.groups.clock().boot_ms());
        lines.iter().for_each(|line| line.write(&deletion));
        Ok(trimmed)
    }

    fn trims(&self) -> MutexGuard<'_, TrimLog> {
        self.trims.lock().expect("no code panics while it holds this lock")
    }

    async fn find_expired(&self, deletion: &Deletion) -> Vec<Expired> {
        let mut found = Vec::new();
        for stream in self.catalog().streams().values() {
            let keep_from_ms = keep_from_ms(stream, deletion.time_ms);
            for shard in stream.shards.iter().filter(|shard| self.leads(shard.group)) {
                let Some(log) = self.log(stream, shard) else { continue };
                let untrimmed = log.untrimmed();
                let Some(oldest_ms) = untrimmed.oldest_time_ms.filter(|oldest_ms| *oldest_ms < keep_from_ms)
                else {
                    continue;
                };
                // One shard that cannot be read now must not keep the others' records.
                let Ok(ordinal) = self.ordinal_at_time(stream, shard, keep_from_ms).await else { continue };
                if ordinal > untrimmed.first_ordinal {
                    found.push(Expired {
                        point: trim::Point { uid: stream.uid, shard: shard.index, ordinal },
                        group: shard.group,
                        retention_hours: stream.retention_hours,
                        records: self.count(stream, shard, untrimmed.first_ordinal..ordinal),
                        oldest_ms,
                        keep_from_ms,
                    });
                }
            }
        }
        found
    }

    /// Records of a shard in a range of ordinals, at most.
    fn count(&self, stream: &Stream, shard: &Shard, ordinals: Range<u64>) -> u64 {
        let count =
            |log: Arc<ShardLog>| log.count_from(ordinals.start).saturating_sub(log.count_from(ordinals.end));
        self.log(stream, shard).map_or(0, count)
    }

    /// Hides records that have expired by the served time, while the deletion time is unknown or lags the served time
    /// by more than [`HIDE_AFTER_MS`]; otherwise shows them.
    pub(in crate::service) async fn hide_expired(&self) {
        // A node of a cluster that has known too few clocks since its start leaves everything as it is.
        let Some(served_ms) = self.groups.clock().served_ms() else { return };
        let deletion_ms = self.groups.clock().deletion().map(|deletion| deletion.time_ms);
        let is_due = deletion_ms.is_none_or(|deletion_ms| deletion_ms + HIDE_AFTER_MS < served_ms);
        for stream in self.catalog().streams().values() {
            let keep_from_ms = keep_from_ms(stream, served_ms);
            for shard in &stream.shards {
                let Some(log) = self.log(stream, shard) else { continue };
                let oldest_ms = log.untrimmed().oldest_time_ms;
                if !is_due || oldest_ms.is_none_or(|oldest_ms| oldest_ms >= keep_from_ms) {
                    log.hide_below(0);
                } else if let Ok(ordinal) = self.ordinal_at_time(stream, shard, keep_from_ms).await {
                    log.hide_below(ordinal);
                }
            }
        }
    }

    /// Removes items of lease tables that have expired by the deletion time, in the groups that are led here; returns
    /// the number of commands.
    ///
    /// # Errors
    /// [`ServiceError`] when a leader did not take a command; the next call tries again.
    pub async fn remove_expired_lease_items(&self) -> Result<usize, ServiceError> {
        self.look_at_newest();
        self.look_at_clocks();
        Ok(self.lease_tables.remove_expired().await?)
    }

    /// Removes closed shards whose last records have expired, if this node leads the metadata group; returns their
    /// number. The shards leave their data groups first, so that the next call finishes what a crash interrupts.
    pub async fn forget_expired_shards(&self) -> Result<usize, ServiceError> {
        let mut forgotten = 0;
        if !self.leads(META_GROUP) {
            return Ok(forgotten);
        }
        self.look_at_clocks();
        let Some(deletion) = self.groups.clock().deletion() else { return Ok(forgotten) };
        let (catalog, now_ms) = (self.catalog(), self.now_ms());
        for stream in catalog.streams().values().filter(|stream| stream.status == StreamStatus::Active) {
            let keep_from_ms = keep_from_ms(stream, deletion.time_ms);
            let is_expired = |shard: &&Shard| {
                shard.closed_ms.is_some_and(|closed_ms| closed_ms < keep_from_ms)
                    && self.is_trimmed_to_its_end(stream, shard)
            };
            let mut by_group: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut expired = BTreeSet::new();
            for shard in stream.shards.iter().filter(is_expired) {
                // Never before its parents, whose readers get its id at their end.
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
                self.groups.proposals().propose_data(group, command).await?;
            }
            forgotten += expired.len();
            let forget =
                Command::ForgetShards(stored::ForgetShards { uid, shards: expired.into_iter().collect() });
            self.groups.proposals().propose_meta(now_ms, forget).await?;
        }
        Ok(forgotten)
    }

    /// Whether all records of a closed shard are trimmed. A shard that is not on this node, or whose records have not
    /// all arrived here, does not count as empty.
    fn is_trimmed_to_its_end(&self, stream: &Stream, shard: &Shard) -> bool {
        let Some(log) = self.log(stream, shard) else { return false };
        shard.end_ordinal.is_some_and(|end| log.untrimmed().first_ordinal >= end)
    }
}
