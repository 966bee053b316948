//! Subscriptions: a shard's records pushed to a consumer, as they are applied.
//!
//! A subscription is pulled by its connection and makes one event at a time. Between events it waits for
//! notifications of the shard, of the catalog and of a later subscription: nothing is polled. The catalog decides
//! when it ends, so that a shard is over only when its closing is committed and all its records were given.
//! Dropping it ends the subscription.

pub mod call_room;
pub mod feed;
pub mod follow;
pub mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use tidelog_proto::event_stream::Part;
use tidelog_storage::shard::{ReadBatch, ReadLimit, ShardKey, ShardLog};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::read::{ReadRecord, size, to_records, unavailable};
use super::{Service, ServiceError};
use crate::limits::{EVENT_BYTES_MAX, EVENT_PAUSE_S, EVENT_RECORDS_MAX, SUBSCRIPTION_LIFE_S};
use crate::model::stream::{Catalog, Consumer, ConsumerStatus, Shard, Stream, StreamStatus};
use crate::replication::{Leader, Leaders, Listener};
use feed::{EventRoom, Feed, Run, run_room};
use follow::batch_bytes_max;
use subscriptions::{ActiveSubscription, SubscribeRefusal, SubscriptionKey};

/// The times and the memory of subscriptions. Tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Without records, until an empty event.
    pub pause: Duration,
    /// The life of a whole subscription.
    pub life: Duration,
    /// Bytes of all encoded runs of records that are alive, be it that clients take them slowly. Past it
    /// subscriptions wait.
    pub run_bytes_in_flight_max: usize,
}

/// Room for a few hundred events on their way to clients that are slow.
const RUN_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(EVENT_PAUSE_S),
            life: Duration::from_secs(SUBSCRIPTION_LIFE_S),
            run_bytes_in_flight_max: RUN_BYTES_IN_FLIGHT_MAX,
        }
    }
}

/// Writes records as an event carries them.
pub type Encode = fn(&Shard, &[ReadRecord]) -> Vec<u8>;

/// The next step of a subscription.
#[derive(Debug)]
pub enum Next {
    /// Records, or none for a while.
    Event(Event),
    /// A closed shard was read to its end; the stream as it was then, with the shard's children. The last.
    EndOfShard(Arc<Stream>),
    /// A later subscription has taken over. The last.
    TakenOver,
    /// The shard's records have expired and it is gone. The last.
    ShardGone,
    /// The subscription has lasted as long as it may, or the shard is led elsewhere: to be begun again. The
    /// last.
    Over,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// The records of the event; `None` when there were none.
    pub run: Option<Arc<Run>>,
    /// The first ordinal not passed yet.
    pub next_ordinal: u64,
    /// Milliseconds between now and the arrival of the last record passed, 0 at the tip.
    pub millis_behind: u64,
}

/// A subscription: pushes a shard's records to a consumer.
pub struct Subscription {
    service: Arc<Service>,
    consumer_uid: u64,
    key: ShardKey,
    active: ActiveSubscription,
    feed: Arc<Feed>,
    encode: Encode,
    notifications: Listener,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// The group of the shard.
    group: u8,
    leaders: watch::Receiver<Leaders>,
    next_ordinal: u64,
    /// The arrival of the last record milliseconds since the epoch.
    last_time_ms: Option<u64>,
    /// When an empty event is due.
    due: Instant,
    ends: Instant,
    open: Gauge,
}

impl Service {
    /// Whether a subscription of that consumer to that shard could begin now.
    ///
    /// # Errors
    /// [`SubscribeRefusal`].
    pub fn check_subscribe(
        &self,
        stream: &Stream,
        consumer: &Consumer,
        shard: &Shard,
    ) -> Result<(), SubscribeRefusal> {
        self.subscriptions.check(subscription_key(stream, consumer, shard), self.now_ms())
    }

    /// Subscribes a consumer to a shard of its stream, from an ordinal on.
    ///
    /// # Errors
    /// [`SubscribeRefusal`].
    pub fn subscribe(
        self: &Arc<Self>,
        stream: &Stream,
        consumer: &Consumer,
        shard: &Shard,
        next_ordinal: u64,
        encode: Encode,
    ) -> Result<Subscription, SubscribeRefusal> {
        let active = self.subscriptions.take(subscription_key(stream, consumer, shard), self.now_ms());
        let active = active.inspect_err(|_| self.accounts.meters.subscriptions_refused.increment(1))?;
        self.accounts.meters.subscriptions_begun.increment(1);
        self.accounts.meters.subscriptions.increment(1.0);
        let key = ShardKey { stream_uid: stream.uid, shard: shard.index };
        let (now, pace) = (Instant::now(), self.config.pace);
        Ok(Subscription {
            service: self.clone(),
            consumer_uid: consumer.uid,
            key,
            active,
            feed: self.feeds.of(key),
            encode,
            notifications: self.groups.listen(key),
            catalog: self.groups.watch_catalog(),
            group: shard.group,
            leaders: self.groups.leadership().watch_leaders(),
            next_ordinal,
            last_time_ms: None,
            due: now + pace.pause,
            ends: now + pace.life,
            open: self.accounts.meters.subscriptions.clone(),
        })
    }
}

impl Subscription {
    /// Ends when it has lasted as long as it may, a later one has taken over, or the shard is led elsewhere, also
    /// while nobody asks for the next step.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let (lost, ends, group) = (self.active.lost(), self.ends, self.group);
        let mut leaders = self.leaders.clone();
        async move {
            tokio::select! {
                () = lost => {}
                _ = leaders.wait_for(|leaders| !is_led_here(leaders, group)) => {}
                () = sleep_until(ends) => {}
            }
        }
    }

    /// Waits for the next step and returns it.
    ///
    /// # Errors
    /// [`ServiceError`], which ends it: stream or consumer are gone, or the shard cannot be read here.
    pub async fn next(&mut self) -> Result<Next, ServiceError> {
        loop {
            if self.active.is_lost() {
                return Ok(Next::TakenOver);
            }
            let stream = self.stream()?;
            let Some(shard) = stream.shard(self.key.shard) else { return Ok(Next::ShardGone) };
            let is_led_here = is_led_here(&self.leaders.borrow_and_update(), self.group);
            if !is_led_here || Instant::now() >= self.ends {
                return Ok(Next::Over);
            }
            let log = self.service.groups.shard(self.key).ok_or_else(|| unavailable(shard))?;
            let bounds = log.bounds();
            self.next_ordinal = self.next_ordinal.max(bounds.first_ordinal);
            if is_read_to_its_end(&stream, shard, self.next_ordinal) {
                return Ok(Next::EndOfShard(stream));
            }
            let is_waiting = self.next_ordinal < bounds.next_ordinal;
            let delay_ms = if is_waiting { self.delay_ms() } else { 0 };
            if is_waiting
                && delay_ms == 0
                && let Some(event) = self.records(shard, &log).await?
            {
                return Ok(Next::Event(event));
            }
            if Instant::now() >= self.due {
                return Ok(Next::Event(self.event(None, &log)));
            }
            self.wait(is_waiting.then(|| Duration::from_millis(delay_ms))).await;
        }
    }

    /// The stream, while it and the consumer are there.
    fn stream(&mut self) -> Result<Arc<Stream>, ServiceError> {
        let catalog = self.catalog.borrow_and_update();
        let stream = catalog.by_uid(self.key.stream_uid).ok_or(ServiceError::StreamGone)?;
        if stream.status == StreamStatus::Deleting {
            return Err(ServiceError::StreamGone);
        }
        let consumer = stream.consumers.iter().find(|consumer| consumer.uid == self.consumer_uid);
        match consumer.map(|consumer| consumer.status) {
            Some(ConsumerStatus::Active | ConsumerStatus::Creating) => Ok(stream.clone()),
            Some(ConsumerStatus::Deleting) | None => Err(ServiceError::ConsumerGone),
        }
    }

    fn delay_ms(&self) -> u64 {
        let (limits, now_ms) = (self.service.shard_limits(), self.service.now_ms());
        self.active.budget.lock().expect("no code panics while it holds this lock").wait_ms(&limits, now_ms)
    }

    /// An event with the records that wait; `None` when they have just expired, and when there was no room for them
    /// until an empty event is due.
    async fn records(&mut self, shard: &Shard, log: &Arc<ShardLog>) -> Result<Option<Event>, ServiceError> {
        let bytes = run_room(batch_bytes_max(&*self.stream()?));
        let make =
            async |room| make_run(&self.service, shard, log, self.next_ordinal, self.encode, room).await;
        let run = match self.feed.run(self.next_ordinal, bytes, self.due, make).await {
            Ok(Some(run)) => run,
            Ok(None) => return Ok(None),
            // A stream that is being deleted cannot be read; its state is the error to report then.
            Err(error) => return Err(self.stream().err().unwrap_or(error)),
        };
        self.active.budget.lock().expect("no code panics while it holds this lock").charge(run.bytes);
        self.next_ordinal = run.next_ordinal;
        if run.records == 0 {
            return Ok(None);
        }
        self.last_time_ms = Some(run.last_time_ms);
        Ok(Some(self.event(Some(run), log)))
    }

    fn event(&mut self, run: Option<Arc<Run>>, log: &ShardLog) -> Event {
        let millis_behind = self.millis_behind(log);
        let meters = &self.service.accounts.meters;
        meters.subscription_events.increment(1);
        match &run {
            Some(run) => {
                meters.subscription_records.increment(run.records);
                meters.subscription_bytes.increment(run.bytes);
                meters.subscription_seconds_behind.record(millis_behind as f64 / 1_000.0);
            }
            // Nothing has come for a while: nobody will ask for the last runs again.
            None => self.feed.forget(),
        }
        self.due = Instant::now() + self.service.config.pace.pause;
        Event { run, next_ordinal: self.next_ordinal, millis_behind }
    }

    fn millis_behind(&self, log: &ShardLog) -> u64 {
        let bounds = log.bounds();
        if self.next_ordinal >= bounds.next_ordinal {
            return 0;
        }
        let passed_ms = self.last_time_ms.or(bounds.oldest_time_ms);
        passed_ms.map_or(0, |passed_ms| self.service.now_ms().saturating_sub(passed_ms))
    }

    /// Returns when there may be something to do. Records with a `delay` do not wake it for that long.
    async fn wait(&mut self, delay: Option<Duration>) {
        let until = self.due.min(self.ends);
        let until = delay.map_or(until, |delay| until.min(Instant::now() + delay));
        tokio::select! {
            () = self.notifications.changed(), if delay.is_none() => {}
            changed = self.catalog.changed() => {
                if changed.is_err() {
                    // The groups have stopped, and with them the broker.
                    self.ends = Instant::now();
                }
            }
            // Without groups the catalog has ended as well.
            _ = self.leaders.changed() => {}
            () = self.active.lost() => {}
            () = sleep_until(until) => {}
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

pub(super) fn is_led_here(leaders: &Leaders, group: u8) -> bool {
    leaders[usize::from(group)] == Leader::Here
}

fn subscription_key(stream: &Stream, consumer: &Consumer, shard: &Shard) -> SubscriptionKey {
    SubscriptionKey { stream_uid: stream.uid, consumer_uid: consumer.uid, shard: shard.index }
}

/// Whether no record can follow. Sure on any node: the end of a closed shard is known before all of its records may
/// be, and its children are in the catalog with it.
pub(super) fn is_read_to_its_end(stream: &Stream, shard: &Shard, next_ordinal: u64) -> bool {
    let is_child = |other: &Shard| [other.parent, other.adjacent_parent].contains(&Some(shard.index));
    shard.end_ordinal.is_some_and(|end| next_ordinal >= end) && stream.shards.iter().any(is_child)
}

/// Reads and encodes the run that begins at `from`.
async fn make_run(
    service: &Service,
    shard: &Shard,
    log: &Arc<ShardLog>,
    from: u64,
    encode: Encode,
    room: EventRoom,
) -> Result<Run, ServiceError> {
    let limit = ReadLimit { records: EVENT_RECORDS_MAX, bytes: EVENT_BYTES_MAX };
    let batch = match log.read_memory(from, limit) {
        Some(batch) => batch,
        None => {
            let log = log.clone();
            service.on_reader_pool(move || log.read(from, limit)).await?
        }
    };
    let ReadBatch { records, next_ordinal } = batch;
    let bytes = records.iter().map(|read| size(&read.record) as u64).sum();
    let last_time_ms = records.last().map_or(0, |read| read.time_ms);
    let records = to_records(records);
    let encoded = Part::new(room.hold(encode(shard, &records)));
    Ok(Run { next_ordinal, last_time_ms, records: records.len() as u64, bytes, encoded })
}
