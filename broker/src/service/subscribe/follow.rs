//! Followers read a shard batch by batch for gRPC's Subscribe, on the node that leads the shard.
//!
//! A caller follows a shard under a name, and needs no registered consumer for that. A name has a token bucket in each
//! shard, its *budget*: all followers of that name draw on it, however many there are. Invariant: disconnecting and
//! coming back does not refill the bucket, because it is kept until it would be full again.
//!
//! A follower makes one batch when it is asked for one, and waits for records of the shard and for changes of the
//! catalog and of the leaders. It takes memory for a batch before it reads the batch. That may take a while, so
//! followers are polled in tasks of their own.
//!
//! A node keeps at most [`NAMES_MAX`] names and follows at most [`FOLLOWED_SHARDS_MAX`] shards; one stream holds
//! at most as many of each as remain free ([`StreamShares`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::Gauge;
use tidelog_storage::shard::{ReadBatch, ReadLimit, ShardKey, ShardLog};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::call_room::{BatchCharge, CallRoom};
use super::{is_led_here, is_read_to_its_end};
use crate::limits::{EVENT_BYTES_MAX, EVENT_RECORDS_MAX};
use crate::model::stream::{Catalog, Shard, Stream, StreamStatus};
use crate::replication::{Leaders, Listener};
use crate::room::{Account, Pool};
use crate::service::limits::stream_shares::StreamShares;
use crate::service::limits::throttle::FanoutBudget;
use crate::service::read::{ReadRecord, size, to_records, unavailable};
use crate::service::{Service, ServiceError};

/// Names with a budget on one node, in all shards together.
const NAMES_MAX: usize = 100_000;
/// Shards that the calls of one node follow, each counted by every call: some 500 bytes each.
pub(in crate::service) const FOLLOWED_SHARDS_MAX: usize = 131_072;
/// How often unused budgets that are full again are dropped, milliseconds.
const SWEEP_MS: u64 = 1_000;

/// The token bucket of a name in a shard. Clones share it.
pub type NameBudget = Arc<Mutex<FanoutBudget>>;

/// The budgets of all names. A recently used budget is kept, so that reconnecting does not refill it.
#[derive(Debug)]
pub struct NameBudgets(Mutex<Table>);

#[derive(Debug)]
struct Table {
    by_name: HashMap<(ShardKey, Arc<str>), NameBudget>,
    streams: StreamShares,
    swept_ms: u64,
}

impl Default for NameBudgets {
    fn default() -> Self {
        let streams = StreamShares::new(NAMES_MAX);
        Self(Mutex::new(Table { by_name: HashMap::new(), streams, swept_ms: 0 }))
    }
}

impl NameBudgets {
    /// The budget of a name in a shard; `None` when the shard's stream may have no more names.
    fn of(&self, shard: ShardKey, name: &str, now_ms: u64) -> Option<NameBudget> {
        let mut table = self.0.lock().expect("no code panics while it holds this lock");
        let table = &mut *table;
        if now_ms.abs_diff(table.swept_ms) >= SWEEP_MS {
            table.swept_ms = now_ms;
            table.by_name.retain(|(shard, _), kept| {
                let budget = kept.lock().expect("no code panics while it holds this lock");
                let is_idle = budget.is_idle(now_ms);
                drop(budget);
                let is_kept = Arc::strong_count(kept) > 1 || !is_idle;
                table.streams.remove(shard.stream_uid, usize::from(!is_kept));
                is_kept
            });
        }
        let key = (shard, Arc::from(name));
        match table.by_name.get(&key) {
            Some(budget) => Some(budget.clone()),
            None if !table.streams.admits(shard.stream_uid, 1) => None,
            None => {
                table.streams.add(shard.stream_uid, 1);
                Some(table.by_name.entry(key).or_default().clone())
            }
        }
    }
}

/// Shards that one call follows, counted among those of the node until it is dropped.
#[derive(Debug)]
pub struct FollowedShards {
    shards: Arc<Mutex<StreamShares>>,
    stream_uid: u64,
    count: usize,
}

impl FollowedShards {
    /// Counts that many more; false when the stream may have no more of them.
    pub fn add(&mut self, more: usize) -> bool {
        let mut shards = self.shards.lock().expect("no code panics while it holds this lock");
        let is_admitted = shards.admits(self.stream_uid, more);
        if is_admitted {
            shards.add(self.stream_uid, more);
            self.count += more;
        }
        is_admitted
    }

    /// Counts one less.
    pub fn remove_one(&mut self) {
        self.shards.lock().expect("no code panics while it holds this lock").remove(self.stream_uid, 1);
        self.count -= 1;
    }
}

impl Drop for FollowedShards {
    fn drop(&mut self) {
        let mut shards = self.shards.lock().expect("no code panics while it holds this lock");
        shards.remove(self.stream_uid, self.count);
    }
}

/// The next step of following a shard.
#[derive(Debug)]
pub enum Followed {
    /// Records, or none for a while.
    Batch(Batch),
    /// A closed shard was read to its end, and its children are in sight. The last.
    EndOfShard,
    /// The shard's records have expired and it is gone. The last.
    ShardGone,
    /// Another node leads the shard now, and the caller goes on there. The last.
    Over,
}

/// Some records of a shard, in order and without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// None when there were none for a while.
    pub records: Vec<ReadRecord>,
    /// The first ordinal not passed yet.
    pub next_ordinal: u64,
    /// Milliseconds between now and the arrival of the last record passed, 0 at the tip.
    pub millis_behind: u64,
}

/// Follows one shard by name, batch by batch.
pub struct Follower {
    service: Arc<Service>,
    key: ShardKey,
    /// The group of the shard.
    group: u8,
    budget: NameBudget,
    notifications: Listener,
    catalog: watch::Receiver<Arc<Catalog>>,
    leaders: watch::Receiver<Leaders>,
    next_ordinal: u64,
    /// The arrival of the last record milliseconds since the epoch.
    last_time_ms: Option<u64>,
    /// When an empty batch is due.
    due: Instant,
    room: CallRoom,
    /// The room of the batch that was given last.
    charge: BatchCharge,
    open: Gauge,
}

impl Service {
    /// No shards yet that one call follows, of a stream.
    pub fn followed_shards(&self, stream_uid: u64) -> FollowedShards {
        FollowedShards { shards: self.followed_shards.clone(), stream_uid, count: 0 }
    }

    /// Follows a shard from an ordinal on, with the budget of that name; with a budget of its own when the name is
    /// empty.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when this node has no room for another name.
    pub fn follow(
        self: &Arc<Self>,
        stream: &Stream,
        shard: &Shard,
        name: &str,
        next_ordinal: u64,
        room: CallRoom,
    ) -> Result<Follower, ServiceError> {
        let key = ShardKey { stream_uid: stream.uid, shard: shard.index };
        let budget = match name {
            "" => Some(NameBudget::default()),
            name => self.name_budgets.of(key, name, self.now_ms()),
        };
        let no_room = || ServiceError::Unavailable(crate::service::ServiceUnavailable::Consumers);
        let budget = budget.ok_or_else(no_room)?;
        self.accounts.meters.subscriptions_begun.increment(1);
        self.accounts.meters.subscriptions.increment(1.0);
        Ok(Follower {
            service: self.clone(),
            key,
            group: shard.group,
            budget,
            notifications: self.groups.listen(key),
            catalog: self.groups.watch_catalog(),
            leaders: self.groups.leadership().watch_leaders(),
            next_ordinal,
            last_time_ms: None,
            due: Instant::now() + self.config.pace.pause,
            room,
            charge: BatchCharge::default(),
            open: self.accounts.meters.subscriptions.clone(),
        })
    }

    /// Room for the records of one call on the connection of `account`, on their way to its client.
    pub fn room_for_client(&self, account: Arc<Account>) -> CallRoom {
        self.feeds.call_room(account)
    }

    /// Room for the records of one call of another node's client, on their way to that node.
    pub fn room_for_peer(&self) -> CallRoom {
        CallRoom::new(self.bytes_for_peers.clone(), Account::detached())
    }

    /// The pools of events, those of other nodes' clients too.
    pub fn event_pools(&self) -> Vec<Arc<Pool>> {
        vec![self.feeds.pool().clone(), self.bytes_for_peers.clone()]
    }
}

/// Bytes of the largest batch of a stream's records.
pub fn batch_bytes_max(stream: &Stream) -> usize {
    EVENT_BYTES_MAX.max(stream.max_record_kib as usize * 1_024)
}

impl Follower {
    /// Ends when another node leads the shard, also while no caller asks for the next step.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let (group, mut leaders) = (self.group, self.leaders.clone());
        async move { drop(leaders.wait_for(|leaders| !is_led_here(leaders, group)).await) }
    }

    /// The room of the batch that was given last.
    pub fn take_charge(&mut self) -> BatchCharge {
        std::mem::take(&mut self.charge)
    }

    /// Waits for the next step and returns it.
    ///
    /// # Errors
    /// [`ServiceError`], which ends it: the stream is gone, or the shard cannot be read here.
    pub async fn next(&mut self) -> Result<Followed, ServiceError> {
        self.charge = BatchCharge::default();
        loop {
            let stream = self.stream()?;
            let Some(shard) = stream.shard(self.key.shard) else { return Ok(Followed::ShardGone) };
            if !is_led_here(&self.leaders.borrow_and_update(), self.group) {
                return Ok(Followed::Over);
            }
            let log = self.service.groups.shard(self.key).ok_or_else(|| unavailable(shard))?;
            let bounds = log.bounds();
            self.next_ordinal = self.next_ordinal.max(bounds.first_ordinal);
            if is_read_to_its_end(&stream, shard, self.next_ordinal) {
                return Ok(Followed::EndOfShard);
            }
            let is_waiting = self.next_ordinal < bounds.next_ordinal;
            let delay_ms = if is_waiting { self.delay_ms() } else { 0 };
            if is_waiting && delay_ms == 0 {
                match self.read(&stream, &log).await? {
                    Some(batch) if !batch.records.is_empty() => return Ok(Followed::Batch(batch)),
                    Some(_) => continue,
                    // There was no room; an empty batch shows the client that the call goes on.
                    None => self.due = Instant::now(),
                }
            }
            if Instant::now() >= self.due {
                self.due = Instant::now() + self.service.config.pace.pause;
                return Ok(Followed::Batch(self.batch(Vec::new(), &log)));
            }
            if !self.wait(is_waiting.then(|| Duration::from_millis(delay_ms))).await {
                return Ok(Followed::Over);
            }
        }
    }

    /// The stream, while it is there.
    fn stream(&mut self) -> Result<Arc<Stream>, ServiceError> {
        let catalog = self.catalog.borrow_and_update();
        let stream = catalog.by_uid(self.key.stream_uid).ok_or(ServiceError::StreamGone)?;
        if stream.status == StreamStatus::Deleting {
            Err(ServiceError::StreamGone)
        } else {
            Ok(stream.clone())
        }
    }

    fn delay_ms(&self) -> u64 {
        let (limits, now_ms) = (self.service.shard_limits(), self.service.now_ms());
        self.budget.lock().expect("no code panics while it holds this lock").wait_ms(&limits, now_ms)
    }

    /// Reads the waiting records; no records when they have just expired, and `None` when there is no room for
    /// them.
    async fn read(&mut self, stream: &Stream, log: &Arc<ShardLog>) -> Result<Option<Batch>, ServiceError> {
        let Some(mut charge) = self.room.take(batch_bytes_max(stream)).await else { return Ok(None) };
        let (from, limit) =
            (self.next_ordinal, ReadLimit { records: EVENT_RECORDS_MAX, bytes: EVENT_BYTES_MAX });
        let read = match log.read_memory(from, limit) {
            Some(read) => Ok(read),
            None => {
                let log = log.clone();
                self.service.on_reader_pool(move || log.read(from, limit)).await
            }
        };
        // A stream that is being deleted cannot be read; its state is the error to report then.
        let ReadBatch { records, next_ordinal } = match read {
            Ok(read) => read,
            Err(error) => return Err(self.stream().err().unwrap_or(error)),
        };
        let bytes = records.iter().map(|read| size(&read.record) as u64).sum();
        if !records.is_empty() {
            charge.shrink(bytes as usize);
            self.charge = charge;
        }
        self.budget.lock().expect("no code panics while it holds this lock").charge(bytes);
        self.next_ordinal = next_ordinal;
        self.last_time_ms = records.last().map(|read| read.time_ms).or(self.last_time_ms);
        self.due = Instant::now() + self.service.config.pace.pause;
        let batch = self.batch(to_records(records), log);
        let meters = &self.service.accounts.meters;
        meters.subscription_records.increment(batch.records.len() as u64);
        meters.subscription_bytes.increment(bytes);
        meters.subscription_seconds_behind.record(batch.millis_behind as f64 / 1_000.0);
        Ok(Some(batch))
    }

    fn batch(&self, records: Vec<ReadRecord>, log: &ShardLog) -> Batch {
        self.service.accounts.meters.subscription_events.increment(1);
        let bounds = log.bounds();
        let passed_ms = self.last_time_ms.or(bounds.oldest_time_ms);
        let behind = |passed_ms| self.service.now_ms().saturating_sub(passed_ms);
        let is_at_tip = self.next_ordinal >= bounds.next_ordinal;
        let millis_behind = if is_at_tip { 0 } else { passed_ms.map_or(0, behind) };
        Batch { records, next_ordinal: self.next_ordinal, millis_behind }
    }

    /// Returns when there may be something to do; false when the broker stops. Records with a `delay` do not
    /// wake it for that long.
    async fn wait(&mut self, delay: Option<Duration>) -> bool {
        let until = delay.map_or(self.due, |delay| self.due.min(Instant::now() + delay));
        tokio::select! {
            () = self.notifications.changed(), if delay.is_none() => true,
            // Without groups the catalog has ended.
            changed = self.catalog.changed() => changed.is_ok(),
            _ = self.leaders.changed() => true,
            () = sleep_until(until) => true,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ShardLimits;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn a_name_has_one_budget_of_a_shard_until_it_is_full_again() {
        let budgets = NameBudgets::default();
        let shard = ShardKey { stream_uid: 1, shard: 0 };
        let of = |shard, name, after_ms| budgets.of(shard, name, NOW_MS + after_ms).unwrap();
        let budget = of(shard, "a", 0);
        assert!(Arc::ptr_eq(&budget, &of(shard, "a", 0)));
        assert!(!Arc::ptr_eq(&budget, &of(shard, "b", 0)));
        assert!(!Arc::ptr_eq(&budget, &of(ShardKey { shard: 1, ..shard }, "a", 0)));
        let wait = |budget: &NameBudget, after_ms| {
            budget.lock().unwrap().wait_ms(&ShardLimits::aws(), NOW_MS + after_ms)
        };
        assert_eq!(wait(&budget, 0), 0);
        budget.lock().unwrap().charge(8 << 20);
        drop(budget);
        // A name that comes back soon still has its debt.
        assert!(wait(&of(shard, "a", 1_500), 1_500) > 0);
        // A budget that nobody used until its debt is gone is dropped.
        assert_eq!(wait(&of(shard, "a", 9_000), 9_000), 0);
        drop(of(shard, "c", 12_000));
        let table = budgets.0.lock().unwrap();
        assert_eq!(table.by_name.len(), 1);
    }
}
