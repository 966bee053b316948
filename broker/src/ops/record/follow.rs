//! A shard that is followed or read for a client of the gRPC API, wherever it is led.
//!
//! A [`Source`] gives a shard's records from a position on, without a gap and without a duplicate: on the node that
//! leads the shard it reads there ([`here`]), on any other it has that node run the operation [`OPERATION`] and
//! relays the items. When the leader changes, or goes away, it goes on where it was with the next one. It gives up
//! when nobody has led the shard for [`PATIENCE`].
//!
//! A source waits for room and for its permits to read files, and so is awaited in a task of its own. A source that
//! sleeps has nothing but its position, and begins again when it is asked for its next item.

mod here;
mod messages;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog_proto::peer::{ExecuteFault, ExecuteRequest};
use tokio::time::{Instant, sleep, timeout};

use super::position::Begin;
use crate::model::stream::{Catalog, Shard, Stream};
use crate::ops::{Fault, relayed};
use crate::replication::Leader;
use crate::service::{Batch, BatchCharge, CallRoom, Relayed, Service};

pub use here::execute;
pub use target::{At, ShardStart, find_start, find_starts};

/// The name under which a node has another one follow a shard.
pub const OPERATION: &str = "Follow";
/// How long a shard may be without a leader in reach.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause before a leader is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a shard is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowMode {
    /// Without an end, with the share of throughput of that name; with one of its own when the name is empty.
    Share(Arc<str>),
    /// Like a polling reader, up to the tip or that many records.
    Read {
        /// `None` for no such bound.
        records_max: Option<u64>,
    },
}

/// The next item of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Records; none at the beginning, which gives the position, and after a while without.
    Batch(Batch),
    /// All was read. The last.
    Done,
    /// The shard is closed and was read to its end; its children, as a [`Source`] knows them. The last.
    EndOfShard(Vec<Shard>),
}

/// Items, each with its room.
type Items = BoxStream<'static, Result<(Item, BatchCharge), Fault>>;
/// Items once somebody leads the shard; `None` when nobody could be asked.
type Opening = BoxFuture<'static, Result<Option<Items>, Fault>>;

/// The records of a shard from a position on, wherever the shard is led.
pub struct Source {
    service: Arc<Service>,
    stream: Arc<Stream>,
    shard: Shard,
    begin: Begin,
    mode: FollowMode,
    room: CallRoom,
    /// Items from the node that leads the shard now.
    items: Option<Items>,
    /// The search for a leader and its items. It is kept while no task awaits the source: a source that goes
    /// to sleep continues it when it wakes.
    opening: Option<Opening>,
    /// Until when a leader is looked for.
    ends: Option<Instant>,
    /// The room of the item that was given last.
    charge: BatchCharge,
    /// Whether an item that only gives the position is left out next.
    skips_position: bool,
    is_over: bool,
}

impl Source {
    /// Makes a source that begins there, in the room of a call. Nothing is read before the first item is asked
    /// for.
    pub fn new(service: Arc<Service>, start: ShardStart, mode: FollowMode, room: CallRoom) -> Self {
        let ShardStart { stream, shard, begin } = start;
        Self {
            service,
            stream,
            shard,
            begin,
            mode,
            room,
            items: None,
            opening: None,
            ends: None,
            charge: BatchCharge::default(),
            skips_position: false,
            is_over: false,
        }
    }

    /// The stream, as it was known when the source was made.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Releases the memory that is charged for the last item.
    pub fn give_back(&mut self) {
        self.charge = BatchCharge::default();
    }

    /// Drops everything but the position. With `skips_position` the next item has records, or is the last, or comes
    /// after a while; else it gives the position at once when there are none.
    pub fn sleep(&mut self, skips_position: bool) {
        self.give_back();
        (self.items, self.opening, self.ends) = (None, None, None);
        self.skips_position = skips_position;
    }

    /// Whether, by what this node has applied, there is something beyond the position; true when nothing is known.
    pub fn has_more(&self) -> bool {
        let Begin::Ordinal(ordinal) = self.begin else { return true };
        let bounds = self.service.bounds(&self.stream, &self.shard);
        bounds.is_none_or(|bounds| bounds.next_ordinal > ordinal)
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Waits for the next item; `None` after the last. A fault is the last.
    pub async fn next(&mut self) -> Option<Result<Item, Fault>> {
        self.give_back();
        if self.is_over {
            return None;
        }
        let mut item = self.find_next().await;
        self.ends = None;
        if let Ok(Item::EndOfShard(children)) = &mut item {
            *children = self.children().await;
        }
        self.is_over = !matches!(item, Ok(Item::Batch(_)));
        Some(item)
    }

    async fn find_next(&mut self) -> Result<Item, Fault> {
        let ends = *self.ends.get_or_insert_with(|| Instant::now() + PATIENCE);
        loop {
            let mut trouble = Fault::leaderless();
            if self.items.is_none() {
                self.items = self.opened(ends).await?;
            }
            if let Some(items) = &mut self.items {
                match items.next().await {
                    Some(Ok((Item::Batch(batch), _))) if self.skips_position && self.is_here(&batch) => {
                        self.skips_position = false;
                        continue;
                    }
                    Some(Ok((item, charge))) => {
                        self.skips_position = false;
                        self.charge = charge;
                        self.pass(&item);
                        return Ok(item);
                    }
                    // Not ready, or not there any more: another look may find it elsewhere.
                    Some(Err(fault @ Fault::Unavailable(_))) => trouble = fault,
                    Some(Err(fault)) => return Err(fault),
                    None => {}
                }
                self.items = None;
            }
            if Instant::now() + LOOK_AGAIN >= ends {
                return Err(trouble);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The shard's children, once they are known here too; none when the stream is gone.
    async fn children(&mut self) -> Vec<Shard> {
        let (uid, index) = (self.stream.uid, self.shard.index);
        let of = |catalog: &Catalog| {
            let stream = catalog.by_uid(uid)?;
            let is_child = |other: &&Shard| [other.parent, other.adjacent_parent].contains(&Some(index));
            Some(stream.shards.iter().filter(is_child).cloned().collect::<Vec<_>>())
        };
        let mut catalogs = self.service.groups().watch_catalog();
        let known = catalogs.wait_for(|catalog| of(catalog).is_none_or(|children| !children.is_empty()));
        match timeout(PATIENCE, known).await {
            Ok(Ok(catalog)) => of(&catalog).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Whether a batch has only the position, which is known.
    fn is_here(&self, batch: &Batch) -> bool {
        batch.records.is_empty() && self.begin == Begin::Ordinal(batch.next_ordinal)
    }

    /// Takes note of where the next look goes on.
    fn pass(&mut self, item: &Item) {
        let Item::Batch(batch) = item else { return };
        self.begin = Begin::Ordinal(batch.next_ordinal);
        if let FollowMode::Read { records_max: Some(left) } = &mut self.mode {
            *left = left.saturating_sub(batch.records.len() as u64);
        }
    }

    /// Begins at the node that leads the shard; `None` when no leader could be asked.
    async fn opened(&mut self, ends: Instant) -> Result<Option<Items>, Fault> {
        if self.opening.is_none() {
            self.opening = Some(self.open(ends));
        }
        let opened = self.opening.as_mut().expect("set above").await;
        self.opening = None;
        opened
    }

    fn open(&self, ends: Instant) -> Opening {
        let (service, stream, shard) = (self.service.clone(), self.stream.clone(), self.shard.clone());
        let (begin, mode, room) = (self.begin, self.mode.clone(), self.room.clone());
        let opening = async move {
            match service.groups().leadership().leader_within(shard.group, ends).await {
                Leader::Here => {
                    let at = here::Start { uid: stream.uid, shard: shard.index, begin };
                    let started = here::start(&service, at, mode, room).boxed().await?;
                    Ok(started.map(|started| started.items))
                }
                Leader::At(node) => {
                    let request = ExecuteRequest {
                        operation: OPERATION.to_owned(),
                        body: messages::request(&stream, &shard, begin, &mode),
                        ..ExecuteRequest::default()
                    };
                    match service.relay(node, shard.group, true, request, ends).boxed().await {
                        Ok(Relayed::Events(events)) => Ok(Some(relayed_items(events, room))),
                        Ok(Relayed::Fault(told)) => match relayed::decode_fault(&told) {
                            Fault::Unavailable(_) => Ok(None),
                            fault => Err(fault),
                        },
                        Ok(Relayed::Complete(_)) | Err(_) => Ok(None),
                    }
                }
                Leader::Unknown => Err(Fault::leaderless()),
            }
        };
        opening.boxed()
    }
}

/// The items that the leader sends. A batch gets its room once it has come, before the next one is taken. A
/// batch that finds none is dropped; an empty one gives the position in front of it, from which the source asks
/// again.
fn relayed_items(events: BoxStream<'static, Result<Bytes, ExecuteFault>>, room: CallRoom) -> Items {
    let items = stream::unfold(Some((events, None)), move |state| {
        let room = room.clone();
        async move {
            let (mut events, position): (_, Option<Batch>) = state?;
            let event = events.next().await?;
            let bytes = event.as_ref().map_or(0, Bytes::len);
            let batch = match messages::read(event) {
                Ok(Item::Batch(batch)) => batch,
                other => {
                    return Some((
                        other.map(|item| (item, BatchCharge::default())),
                        Some((events, position)),
                    ));
                }
            };
            let charge =
                if batch.records.is_empty() { Some(BatchCharge::default()) } else { room.take(bytes).await };
            let Some(charge) = charge else {
                return position.map(|position| (Ok((Item::Batch(position), BatchCharge::default())), None));
            };
            let Batch { next_ordinal, millis_behind, .. } = batch;
            let position = Batch { records: Vec::new(), next_ordinal, millis_behind };
            Some((Ok((Item::Batch(batch), charge)), Some((events, Some(position)))))
        }
    });
    items.boxed()
}
