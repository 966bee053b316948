//! The producer's task: takes records from [`send`](super::Producer::send), starts batches, takes back the records
//! that they return, and keeps the lanes in line with the stream's shards. It ends when the producer is closed or
//! dropped and every record has its outcome.

use std::collections::VecDeque;
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use super::delivery::{Destination, Settled, deliver};
use super::lanes::Lanes;
use super::receipt::Pending;
use crate::error::Error;
use crate::shards::Shards;

/// Shards are asked for at most so often.
const LIST_INTERVAL: Duration = Duration::from_millis(250);

/// Commands that are taken at once.
const COMMANDS_AT_ONCE: usize = 512;

/// A request of the application.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
#[derive(Debug)]
pub(super) enum Command {
    Send(Pending),
    Flush(oneshot::Sender<()>),
}

/// Something that was started has ended.
enum Done {
    Batch(Settled),
    Shards(Result<Shards, Error>),
}

/// The task's state.
pub(super) struct Driver {
    pub destination: Destination,
    pub delivery_timeout: Duration,
    pub lanes: Lanes,
    accepted: u64,
    /// Held by all records that were accepted since the last flush.
    flush: Arc<()>,
    flushes: VecDeque<(Arc<()>, oneshot::Sender<()>)>,
    started: JoinSet<Done>,
    /// When shards are to be asked for next; `None` while they are not wanted, or being asked for.
    list_at: Option<Instant>,
    listed_at: Instant,
    closing: bool,
}

impl Driver {
    pub fn new(destination: Destination, lanes: Lanes, delivery_timeout: Duration) -> Self {
        Self {
            destination,
            delivery_timeout,
            lanes,
            accepted: 0,
            flush: Arc::default(),
            flushes: VecDeque::new(),
            started: JoinSet::new(),
            list_at: Some(Instant::now()),
            listed_at: Instant::now(),
            closing: false,
        }
    }

    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut taken = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            self.advance();
            if self.closing && self.lanes.are_idle() {
                return;
            }
            let wake_at = self.lanes.wake_at(self.is_flushing()).into_iter().chain(self.list_at).min();
            tokio::select! {
                count = commands.recv_many(&mut taken, COMMANDS_AT_ONCE), if !self.closing => {
                    self.closing = count == 0;
                    taken.drain(..).for_each(|command| self.take(command));
                }
                Some(done) = self.started.join_next() => self.done(done),
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    fn is_flushing(&self) -> bool {
        self.closing || !self.flushes.is_empty()
    }

    /// Does the work that is due.
    fn advance(&mut self) {
        let now = Instant::now();
        self.lanes.expire(now);
        while self.flushes.front().is_some_and(|(records, _)| Arc::strong_count(records) == 1) {
            let (_, flushed) = self.flushes.pop_front().expect("one is in front");
            // The caller of the flush may have gone.
            let _ = flushed.send(());
        }
        while let Some(batch) = self.lanes.next_batch(now, self.is_flushing()) {
            let span = tracing::debug_span!(
                "put",
                stream = self.destination.stream,
                shard = batch.shard_id,
                batch = batch.number,
                records = batch.len()
            );
            let delivery = deliver(batch, self.destination.clone());
            self.started.spawn(async { Done::Batch(delivery.await) }.instrument(span));
        }
        if self.list_at.is_some_and(|at| at <= now) {
            self.list_at = None;
            self.listed_at = now;
            let Destination { connection, stream } = self.destination.clone();
            self.started.spawn(async move { Done::Shards(Shards::list(&connection, &stream).await) });
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Send(mut pending) => {
                self.accepted += 1;
                pending.order = self.accepted;
                pending.accepted = Instant::now();
                pending.deadline = pending.accepted + self.delivery_timeout;
                pending.flush = self.flush.clone();
                self.lanes.push(pending);
            }
            Command::Flush(flushed) => {
                self.flushes.push_back((std::mem::take(&mut self.flush), flushed));
            }
        }
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        let now = Instant::now();
        match done {
            Ok(Done::Batch(settled)) => {
                if let Some(shards) = &settled.shards {
                    self.lanes.reshape(shards);
                } else if settled.has_strayed && self.list_at.is_none() {
                    self.list_at = Some(now.max(self.listed_at + LIST_INTERVAL));
                }
                let returned = settled.returned.len();
                self.lanes.settle(&settled.range, settled.returned, settled.failed.as_ref(), now);
                if settled.is_split {
                    self.lanes.split(&settled.range, returned);
                }
            }
            Ok(Done::Shards(Ok(shards))) => self.lanes.reshape(&shards),
            Ok(Done::Shards(Err(error))) => {
                tracing::debug!(%error, "cannot list the stream's shards; trying again");
                self.list_at = Some(now + error.retry_after().unwrap_or_default().max(LIST_INTERVAL * 4));
            }
            Err(failed) => panic::resume_unwind(failed.into_panic()),
        }
    }
}
