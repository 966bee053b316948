//! Reading without a group: [`Reader`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::lineage::Lineage;
use super::record::{Position, Record};
use super::shard_reading::{Event, Read, ShardReading, Source};
use crate::backoff;
use crate::connection::Connection;
use crate::error::{Error, Reason};
use crate::shards::{Shard, Shards};

/// Messages that wait to be handed out. Each shard that is read holds one more.
const WAITING_MAX: usize = 4;

/// Reads a stream on its own, from a position on, across reshards: a child shard is read after all of its parents, so
/// that the records of a key come in order. Different shards are read side by side.
///
/// Records come once, also when the connection is made anew in between. Where the reader was is the application's to
/// keep: [`Consumer`](super::Consumer) does it for a group.
#[derive(Debug)]
pub struct Reader {
    source: Arc<Source>,
    from: Position,
    /// Empty: all.
    only: Vec<String>,
    lineage: Option<Lineage>,
    /// A shard that has come to its end and whose descendants are not known yet.
    ended: Option<String>,
    sender: mpsc::Sender<(String, Result<Event, Error>)>,
    events: mpsc::Receiver<(String, Result<Event, Error>)>,
    readings: JoinSet<()>,
}

/// Some records of a shard, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Records {
    /// Such as `shardId-000000000000`.
    pub shard_id: String,
    /// At least one.
    pub records: Vec<Record>,
    /// Milliseconds between the last of them and the shard's newest record; 0 at the tip.
    pub millis_behind_latest: u64,
}

/// How to read. Made by [`Reader::builder`].
#[derive(Debug)]
pub struct ReaderBuilder {
    source: Source,
    from: Position,
    only: Vec<String>,
}

impl Reader {
    /// A reader of a stream, by its name or ARN.
    pub fn builder(connection: &Connection, stream: impl Into<String>) -> ReaderBuilder {
        let source = Source {
            connection: connection.clone(),
            stream: stream.into(),
            consumer: String::new(),
            following: false,
            deaggregating: true,
            give_up_after: Duration::from_secs(60),
            shards: Default::default(),
        };
        ReaderBuilder { source, from: Position::TrimHorizon, only: Vec::new() }
    }

    /// The next records of any shard. `None`: everything that was there is read, unless the reader follows. May be
    /// cancelled without losing anything.
    ///
    /// # Errors
    /// An error that does not pass by itself: [`Reason::NotFound`], [`Reason::OutOfRange`], or a broker that could
    /// not be reached for as long as [`ReaderBuilder::give_up_after`] says. The shard that it concerns is read no
    /// further; the next call goes on with its descendants and with the others.
    pub async fn next(&mut self) -> Result<Option<Records>, Error> {
        loop {
            self.start_ready().await?;
            if self.lineage.as_ref().is_some_and(Lineage::is_done) {
                return Ok(None);
            }
            let (shard_id, event) = self.events.recv().await.expect("the reader has a sender too");
            match event {
                Ok(Event::Records(Read { records, millis_behind_latest, .. })) => {
                    return Ok(Some(Records { shard_id, records, millis_behind_latest }));
                }
                Ok(Event::End) => self.ended = Some(shard_id),
                Ok(Event::Tip) => self.stop(&shard_id),
                Err(error) => {
                    self.ended = Some(shard_id);
                    return Err(error);
                }
            }
        }
    }

    /// Starts with the shards that can be read now.
    async fn start_ready(&mut self) -> Result<(), Error> {
        if self.lineage.is_some() && self.ended.is_none() {
            return Ok(());
        }
        let listed = self.list().await?;
        let is_first = self.lineage.is_none();
        let lineage = self.lineage.get_or_insert_default();
        if is_first {
            let first = listed.iter().filter(|shard| begins(shard, &self.from, &self.only));
            lineage.add(first);
            let missing = self.only.iter().find(|id| listed.range(id).is_none());
            if let Some(id) = missing {
                self.lineage = None;
                return Err(Error::new(Reason::NotFound, format!("shard {id} is not listed")));
            }
        }
        if let Some(ended) = self.ended.take() {
            lineage.finish(&ended, &listed);
        }
        for shard_id in lineage.ready() {
            let from = self.position_of(&shard_id, is_first);
            let reading = ShardReading::new(self.source.clone(), shard_id.clone(), from.into());
            self.readings.spawn(read(reading, shard_id, self.sender.clone()));
        }
        // Takes out the tasks that have ended.
        while self.readings.try_join_next().is_some() {}
        Ok(())
    }

    /// Where a shard is begun: as it was asked for, and those that came after it from where that left off.
    fn position_of(&self, shard_id: &str, is_first: bool) -> Position {
        let was_asked_for = is_first && (self.only.is_empty() || self.only.iter().any(|id| id == shard_id));
        match &self.from {
            Position::AtTimestamp(_) => self.from.clone(),
            from if was_asked_for => from.clone(),
            _ => Position::TrimHorizon,
        }
    }

    fn stop(&mut self, shard_id: &str) {
        if let Some(lineage) = &mut self.lineage {
            lineage.stop(shard_id);
        }
    }

    async fn list(&self) -> Result<Shards, Error> {
        let began = tokio::time::Instant::now();
        let mut failures = 0;
        loop {
            match Shards::list(&self.source.connection, &self.source.stream).await {
                Err(error) if error.is_transient() && began.elapsed() < self.source.give_up_after => {
                    failures += 1;
                    sleep(backoff::delay(failures, error.retry_after())).await;
                }
                listed => return listed,
            }
        }
    }
}

/// Whether a shard is one of the first to be read.
fn begins(shard: &Shard, from: &Position, only: &[String]) -> bool {
    match (only, from) {
        ([], Position::Latest) => shard.is_open,
        ([], _) => true,
        (only, _) => only.contains(&shard.shard_id),
    }
}

async fn read(
    mut reading: ShardReading,
    shard_id: String,
    events: mpsc::Sender<(String, Result<Event, Error>)>,
) {
    loop {
        let event = reading.next().await;
        let is_last = !matches!(event, Ok(Event::Records(_)));
        if events.send((shard_id.clone(), event)).await.is_err() || is_last {
            return;
        }
    }
}

impl ReaderBuilder {
    /// Where to begin; by default at the oldest record. A sequence number goes with [`shards`](Self::shards) of one
    /// shard.
    #[must_use]
    pub fn from(mut self, from: Position) -> Self {
        self.from = from;
        self
    }

    /// Reads these shards and their descendants only; by default all.
    #[must_use]
    pub fn shards<S: Into<String>>(mut self, shard_ids: impl IntoIterator<Item = S>) -> Self {
        self.only = shard_ids.into_iter().map(Into::into).collect();
        self
    }

    /// Goes on at the tip with new records, without end. Off by default.
    #[must_use]
    pub fn follow(mut self, following: bool) -> Self {
        self.source.following = following;
        self
    }

    /// Takes aggregated records of KPL apart. On by default.
    #[must_use]
    pub fn deaggregate(mut self, deaggregating: bool) -> Self {
        self.source.deaggregating = deaggregating;
        self
    }

    /// Sets the name of the consumer whose share of the shards' throughput is used while following. By
    /// default the reader has a share of its own.
    #[must_use]
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.source.consumer = name.into();
        self
    }

    /// How long the broker may be out of reach before [`next`](Reader::next) says so: by default a minute.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.source.give_up_after = time;
        self
    }

    /// The reader. It begins with the first call of [`next`](Reader::next).
    ///
    /// # Errors
    /// [`Reason::Invalid`]: a sequence number without the one shard that it is of.
    pub fn build(self) -> Result<Reader, Error> {
        let is_of_one_shard =
            matches!(self.from, Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_));
        if is_of_one_shard && self.only.len() != 1 {
            return Err(Error::new(Reason::Invalid, "a sequence number is of one shard: name that"));
        }
        let (sender, events) = mpsc::channel(WAITING_MAX);
        Ok(Reader {
            source: Arc::new(self.source),
            from: self.from,
            only: self.only,
            lineage: None,
            ended: None,
            sender,
            events,
            readings: JoinSet::new(),
        })
    }
}
