//! The shards of one call, of which a few at a time are asked for records.
//!
//! A few sources are awake at a time, each in a task of its own, because they wait for room and for their
//! permits to read files whether the client takes anything or not. The others sleep, as positions of some hundred
//! bytes: they wake when their shard has new records, when it is closed, or when it was silent for a while. A
//! call of few shards has all of them awake. An awake source without an answer goes to sleep after a time, so
//! that sources that are held back do not keep others from waking.

use std::collections::{HashMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::stream::Catalog;
use crate::ops::Fault;
use crate::ops::native::{Item, Source};
use crate::replication::{ManyListener, ShardKey};
use crate::service::{Reader, Service};

/// Sources of a call that are awake at a time.
const AWAKE_MAX: usize = 64;
/// How long a source is awake without an answer while others wait to be asked.
const AWAKE: Duration = Duration::from_millis(100);
/// How long a source is awake without an answer while no other waits.
const AWAKE_ALONE: Duration = Duration::from_secs(2);

type Answer = Option<Result<Item, Fault>>;

/// The sources of one call, awake and asleep.
pub(super) struct Sources {
    service: Arc<Service>,
    /// The reader that the sources read for.
    reader: Reader,
    /// Sources that are asked next.
    ready: VecDeque<Source>,
    /// With the answer, unless there was none in its time.
    awake: JoinSet<(Source, Option<Answer>)>,
    /// By shard, with when they are asked in any case.
    asleep: HashMap<ShardKey, (Source, Instant)>,
    /// When those are due, ascending; some have been asked since.
    due: VecDeque<(Instant, ShardKey)>,
    notifications: ManyListener,
    catalog: watch::Receiver<Arc<Catalog>>,
}

impl Sources {
    /// None yet, for the present reader.
    pub(super) fn new(service: &Arc<Service>) -> Self {
        Self {
            service: service.clone(),
            reader: Reader::current(),
            ready: VecDeque::new(),
            awake: JoinSet::new(),
            asleep: HashMap::new(),
            due: VecDeque::new(),
            notifications: service.groups().listen_to_many(),
            catalog: service.groups().watch_catalog(),
        }
    }

    /// Another source, of another shard than the others.
    pub(super) fn add(&mut self, source: Source) {
        self.ready.push_back(source);
    }

    /// Goes on with a source whose answer was taken.
    pub(super) fn go_on(&mut self, mut source: Source) {
        source.give_back();
        if self.count() < AWAKE_MAX {
            self.ready.push_back(source);
        } else {
            self.sleep(source);
        }
    }

    /// The next answer, with its source, which is to be given back by [`Self::go_on`] unless it was the last one;
    /// `None` once there is no source. Waits for nothing that others wait for.
    pub(super) async fn next(&mut self) -> Option<(Source, Result<Item, Fault>)> {
        loop {
            self.wake();
            if self.count() == 0 {
                return None;
            }
            let due = self.due.front().map(|(due, _)| *due);
            tokio::select! {
                Some(answered) = self.awake.join_next(), if !self.awake.is_empty() => {
                    let (source, answer) = answered.unwrap_or_else(|error| resume_unwind(error.into_panic()));
                    match answer {
                        Some(Some(item)) => return Some((source, item)),
                        // It was over.
                        Some(None) => self.notifications.remove(key(&source)),
                        None => self.go_on(source),
                    }
                }
                changed = self.notifications.changed(), if !self.asleep.is_empty() => {
                    for shard in changed {
                        self.make_ready(shard, true);
                    }
                }
                changed = self.catalog.changed(), if !self.asleep.is_empty() => self.make_ended_ready(changed.is_err()),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.make_due_ready(),
            }
        }
    }

    fn count(&self) -> usize {
        self.ready.len() + self.awake.len() + self.asleep.len()
    }

    fn wake(&mut self) {
        while self.awake.len() < AWAKE_MAX
            && let Some(mut source) = self.ready.pop_front()
        {
            let patience = if self.count() < AWAKE_MAX { AWAKE_ALONE } else { AWAKE };
            self.awake.spawn(self.reader.scope(async move {
                let answer = timeout(patience, source.next()).await.ok();
                (source, answer)
            }));
        }
    }

    /// Puts a source to sleep unless there is something for it already.
    fn sleep(&mut self, mut source: Source) {
        let shard = key(&source);
        self.notifications.add(shard);
        // The shard is read after the listening began: records that come later notify.
        if source.has_more() {
            self.ready.push_back(source);
            return;
        }
        source.sleep(true);
        let due = Instant::now() + self.service.pace().pause;
        self.due.push_back((due, shard));
        self.asleep.insert(shard, (source, due));
    }

    fn make_ready(&mut self, shard: ShardKey, skips_position: bool) {
        if let Some((mut source, _)) = self.asleep.remove(&shard) {
            source.sleep(skips_position);
            self.ready.push_back(source);
        }
    }

    fn make_due_ready(&mut self) {
        let now = Instant::now();
        while let Some((due, shard)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            if self.asleep.get(&shard).is_some_and(|(_, own)| *own == due) {
                self.make_ready(shard, false);
            }
        }
    }

    /// Wakes the sources whose shard is closed or gone: they have an end to report, but no new records.
    fn make_ended_ready(&mut self, is_stopping: bool) {
        let catalog = self.catalog.borrow_and_update().clone();
        let has_ended = |shard: &&ShardKey| {
            let stream = catalog.by_uid(shard.stream_uid);
            let known = stream.and_then(|stream| stream.shard(shard.shard));
            is_stopping || known.is_none_or(|known| known.end_ordinal.is_some())
        };
        let ended: Vec<ShardKey> = self.asleep.keys().filter(has_ended).copied().collect();
        for shard in ended {
            self.make_ready(shard, true);
        }
    }
}

fn key(source: &Source) -> ShardKey {
    ShardKey { stream_uid: source.stream().uid, shard: source.shard().index }
}
