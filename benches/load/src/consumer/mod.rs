//! Consumers: each reads the whole stream while records are put, across reshards, and writes down every record that
//! it has read.

mod fan_out;
mod grpc;
mod polling;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::body::Load;
use super::ledger::{Mark, ShardLog};
use super::tally::{Tally, Window};
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{ChildShard, StartingPosition};

pub use fan_out::Registered;
pub use grpc::subscribe;

/// How long after the last record a consumer that lacks records goes on waiting for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the last record a consumer that lacks none waits for records that should not come.
const SETTLING: Duration = Duration::from_secs(1);

/// Records acknowledged for each shard, when there will be no more.
pub type Expected = Option<Arc<HashMap<String, u64>>>;

/// The times of a run, and where end-to-end latencies go.
#[derive(Debug)]
pub struct Clock {
    /// The times.
    pub window: Window,
    /// The counts of all consumers.
    pub tally: Arc<Mutex<Tally>>,
}

/// The state that all readers of a run share.
#[derive(Debug)]
pub struct Reading {
    /// The mark of the run's records.
    pub mark: Mark,
    /// The parameters of the run's records.
    pub load: Arc<Load>,
    /// Filled when the run begins; never while reading back.
    pub clock: Arc<OnceLock<Clock>>,
    /// Changes once, when producers have ended.
    pub expected: watch::Receiver<Expected>,
    /// Between two calls of GetRecords for the same shard.
    pub poll_every: Duration,
}

impl Reading {
    /// Takes a record that was just read.
    fn take(&self, log: &mut ShardLog, number: &str, data: &[u8]) {
        let Some(header) = log.take(&self.mark, &self.load.filler, number, data) else { return };
        if let Some(clock) = self.clock.get() {
            let due = clock.window.began + Duration::from_nanos(header.due_ns);
            clock.tally.lock().expect("nobody panics with it").received(due, Instant::now());
        }
    }
}

/// When a reader of a shard has read enough.
#[derive(Debug)]
struct Ending {
    expected: watch::Receiver<Expected>,
    progressed: Instant,
    has_ended: bool,
}

impl Ending {
    fn new(reading: &Reading) -> Self {
        Self { expected: reading.expected.clone(), progressed: Instant::now(), has_ended: false }
    }

    /// Something was read just now.
    fn note_progress(&mut self) {
        self.progressed = Instant::now();
    }

    /// `is_at_tip`: the endpoint has just said that there is nothing more.
    fn is_reached(&mut self, log: &ShardLog, shard: &str, is_at_tip: bool) -> bool {
        let expected = self.expected.borrow();
        let Some(expected) = expected.as_ref() else { return false };
        if !self.has_ended {
            self.has_ended = true;
            self.progressed = Instant::now();
        }
        let lacks = log.records < expected.get(shard).copied().unwrap_or(0);
        let quiet = self.progressed.elapsed();
        quiet >= PATIENCE || (!lacks && (is_at_tip || quiet >= SETTLING))
    }
}

/// The way in which shards are read.
#[derive(Clone, Debug)]
pub enum How {
    /// GetRecords.
    Polling,
    /// GetRecords, of the given shards and not of their children.
    ReadingBack,
    /// SubscribeToShard, as that consumer.
    FanOut(Arc<Registered>),
}

/// The outcome of reading one shard.
struct Read {
    shard: String,
    log: ShardLog,
    children: Vec<ChildShard>,
}

/// Reads those shards from those positions on, and the children of those that are closed, each behind its parents.
/// Drops `ready` once every shard that was there at the beginning has its position.
///
/// # Errors
/// The first reader's, in words. The others are given up.
pub async fn follow(
    client: Arc<Client>,
    reading: Arc<Reading>,
    how: How,
    stream: String,
    shards: Vec<(String, StartingPosition)>,
    ready: Option<mpsc::Sender<()>>,
) -> Result<Vec<ShardLog>, String> {
    let (mut readers, mut unread, mut started) = (JoinSet::new(), HashSet::new(), HashSet::new());
    let start = |readers: &mut JoinSet<_>, shard: String, from: StartingPosition, ready| {
        let (client, reading, how, stream) = (client.clone(), reading.clone(), how.clone(), stream.clone());
        readers.spawn(async move {
            match how {
                How::Polling | How::ReadingBack => {
                    polling::read(&client, &reading, &stream, shard, from, ready).await
                }
                How::FanOut(registered) => fan_out::read(&reading, &registered, shard, from, ready).await,
            }
        });
    };
    for (shard, from) in shards {
        unread.insert(shard.clone());
        started.insert(shard.clone());
        start(&mut readers, shard, from, ready.clone());
    }
    drop(ready);
    let (mut logs, mut waiting) = (Vec::new(), Vec::<ChildShard>::new());
    while let Some(read) = readers.join_next().await {
        let read: Read = read.map_err(|error| format!("a reader ended: {error}"))??;
        unread.remove(&read.shard);
        logs.push(read.log);
        if matches!(how, How::ReadingBack) {
            continue;
        }
        waiting.extend(read.children.into_iter().filter(|child| started.insert(child.shard_id.clone())));
        let is_due = |child: &ChildShard| !child.parent_shards.iter().any(|parent| unread.contains(parent));
        let (due, still) = waiting.into_iter().partition(is_due);
        waiting = still;
        let due: Vec<ChildShard> = due;
        for child in due {
            unread.insert(child.shard_id.clone());
            start(&mut readers, child.shard_id, StartingPosition::TrimHorizon, None);
        }
    }
    Ok(logs)
}
