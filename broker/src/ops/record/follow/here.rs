//! Following and reading a shard on the node that leads it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use futures_util::{FutureExt, Stream as AsyncStream};
use tokio::time::sleep;

use super::{FollowMode, Item, Items, messages};
use crate::limits::{EVENT_BYTES_MAX, EVENT_RECORDS_MAX};
use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream, StreamStatus};
use crate::ops::fault::NotFound;
use crate::ops::record::position::Begin;
use crate::ops::{Call, Events, Fault, Reply, placement};
use crate::replication::Leader;
use crate::service::{
    Batch, BatchCharge, CallRoom, Followed, Follower, Service, ServiceError, batch_bytes_max, in_own_tasks,
};

/// Pause before a closed shard whose children are not in sight is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The stream's uid.
    pub uid: u64,
    /// The shard's index.
    pub shard: u32,
    /// The position in it.
    pub begin: Begin,
}

/// A reading or following that was begun here.
pub struct Started {
    /// The items, as they come.
    pub items: Items,
    /// Ends when another node leads the shard.
    pub over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Runs [`super::OPERATION`] for another node; `None` when the shard is not led here.
///
/// # Errors
/// As [`start`].
pub async fn execute(service: &Arc<Service>, call: &Call) -> Result<Option<Reply>, Fault> {
    let Some((uid, shard, begin, mode)) = messages::read_request(call.body.clone()) else {
        return Err(Fault::Unreadable);
    };
    let started = start(service, Start { uid, shard, begin }, mode, service.room_for_peer()).await?;
    Ok(started.map(|Started { items, over }| Reply::Events(Events { messages: sent(items).boxed(), over })))
}

/// The items as messages. Each is made in a task of its own, and has its room until the next one is asked for.
fn sent(items: Items) -> impl AsyncStream<Item = Result<Bytes, Fault>> + Send {
    let items = in_own_tasks(items).boxed();
    stream::unfold((items, BatchCharge::default()), |(mut items, before)| async move {
        drop(before);
        match items.next().await? {
            Ok((item, charge)) => Some((Ok(messages::event(item)), (items, charge))),
            Err(fault) => Some((Err(fault), (items, BatchCharge::default()))),
        }
    })
}

/// Begins to follow or to read; `None` when the shard is not led here. The first item gives the position. Items are to
/// be awaited in a task of their own: they wait for room and for their permits to read files.
///
/// # Errors
/// ResourceNotFound, only when stream or shard are certainly gone.
pub async fn start(
    service: &Arc<Service>,
    start: Start,
    mode: FollowMode,
    room: CallRoom,
) -> Result<Option<Started>, Fault> {
    let find = || async { find(service, start) };
    let (stream, shard) = placement::certain(service, find).await?;
    if service.groups().leadership().leader(shard.group) != Leader::Here {
        return Ok(None);
    }
    let next_ordinal = start.begin.ordinal(service, &stream, &shard).await?;
    let first = Item::Batch(Batch { next_ordinal, ..Batch::default() });
    Ok(Some(match mode {
        FollowMode::Share(name) => {
            let follower = service.follow(&stream, &shard, &name, next_ordinal, room);
            let follower = follower.map_err(|error| fault_of(error, &stream, &shard))?;
            let over = Box::pin(follower.over());
            Started { items: one_then(first, followed(follower, stream, shard)), over }
        }
        FollowMode::Read { records_max } => {
            let reading = Reading { service: service.clone(), start, next_ordinal, left: records_max, room };
            let group = shard.group;
            let mut leaders = service.groups().leadership().watch_leaders();
            let moved = async move {
                drop(leaders.wait_for(|leaders| leaders[usize::from(group)] != Leader::Here).await);
            };
            Started { items: one_then(first, reading.items()), over: Box::pin(moved) }
        }
    }))
}

fn one_then(first: Item, rest: Items) -> Items {
    stream::iter([Ok((first, BatchCharge::default()))]).chain(rest).boxed()
}

fn find(service: &Service, start: Start) -> Result<(Arc<Stream>, Shard), Fault> {
    let catalog = service.catalog();
    let gone = || Fault::ResourceNotFound(NotFound::DeletedStream);
    let stream = catalog.by_uid(start.uid).ok_or_else(gone)?;
    if stream.status == StreamStatus::Deleting {
        return Err(Fault::stream_not_found(&stream.key));
    }
    let missing = || Fault::shard_not_found(&stream.key, ShardId(start.shard));
    let shard = stream.shard(start.shard).ok_or_else(missing)?.clone();
    Ok((stream.clone(), shard))
}

fn fault_of(error: ServiceError, stream: &Stream, shard: &Shard) -> Fault {
    Fault::of_shard(error, &stream.key, ShardId(shard.index))
}

/// The items of a follower, until it is over here.
fn followed(follower: Follower, stream: Arc<Stream>, shard: Shard) -> Items {
    let items = stream::unfold(Some((follower, stream, shard)), |state| async move {
        let (mut follower, stream, shard) = state?;
        let item = match follower.next().boxed().await {
            Ok(Followed::Batch(batch)) => {
                let charge = follower.take_charge();
                return Some((Ok((Item::Batch(batch), charge)), Some((follower, stream, shard))));
            }
            Ok(Followed::EndOfShard) => Ok(Item::EndOfShard(Vec::new())),
            Ok(Followed::ShardGone) => Err(Fault::shard_not_found(&stream.key, ShardId(shard.index))),
            Ok(Followed::Over) => return None,
            Err(error) => Err(fault_of(error, &stream, &shard)),
        };
        Some((item.map(|item| (item, BatchCharge::default())), None))
    });
    items.boxed()
}

/// Reads as a polling reader does, but waits for the shard's budget.
struct Reading {
    service: Arc<Service>,
    start: Start,
    next_ordinal: u64,
    /// Records that may still be given.
    left: Option<u64>,
    room: CallRoom,
}

/// The result of one step of reading.
enum Step {
    Item(Item, BatchCharge),
    /// To be made again.
    Again(Duration),
    /// Another node leads the shard.
    Over,
}

impl Reading {
    fn items(self) -> Items {
        let items = stream::unfold(Some(self), |state| async move {
            let mut reading = state?;
            let item = reading.next().boxed().await?;
            let goes_on = matches!(item, Ok((Item::Batch(_), _)));
            Some((item, goes_on.then_some(reading)))
        });
        items.boxed()
    }

    async fn next(&mut self) -> Option<Result<(Item, BatchCharge), Fault>> {
        loop {
            match self.step().await {
                Ok(Step::Item(item, charge)) => return Some(Ok((item, charge))),
                Ok(Step::Again(pause)) => sleep(pause).await,
                Ok(Step::Over) => return None,
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    async fn step(&mut self) -> Result<Step, Fault> {
        let (stream, shard) = find(&self.service, self.start)?;
        if self.left == Some(0) {
            return Ok(Step::Item(Item::Done, BatchCharge::default()));
        }
        if self.service.groups().leadership().leader(shard.group) != Leader::Here {
            return Ok(Step::Over);
        }
        if let Some(end) = shard.end_ordinal
            && self.next_ordinal >= end
        {
            let is_child = |other: &Shard| [other.parent, other.adjacent_parent].contains(&Some(shard.index));
            let has_children = stream.shards.iter().any(is_child);
            return Ok(if has_children {
                Step::Item(Item::EndOfShard(Vec::new()), BatchCharge::default())
            } else {
                Step::Again(LOOK_AGAIN)
            });
        }
        let is_at_tip = |next_ordinal: u64| {
            self.service.bounds(&stream, &shard).is_some_and(|bounds| next_ordinal >= bounds.next_ordinal)
        };
        if is_at_tip(self.next_ordinal) {
            return Ok(Step::Item(Item::Done, BatchCharge::default()));
        }
        match self.service.read_wait_ms(&stream, &shard) {
            0 => {}
            wait_ms => return Ok(Step::Again(Duration::from_millis(wait_ms))),
        }
        let records_max = self.left.map_or(EVENT_RECORDS_MAX, |left| {
            usize::try_from(left).unwrap_or(EVENT_RECORDS_MAX).min(EVENT_RECORDS_MAX)
        });
        let Some(mut charge) = self.room.take(batch_bytes_max(&stream)).await else {
            return Err(Fault::no_room(false, "events"));
        };
        let read = self.service.read(&stream, &shard, self.next_ordinal, records_max, EVENT_BYTES_MAX).await;
        let read = match read {
            Ok(read) => read,
            // Another reader was quicker.
            Err(ServiceError::Throttled) => return Ok(Step::Again(LOOK_AGAIN)),
            Err(error) => return Err(fault_of(error, &stream, &shard)),
        };
        self.next_ordinal = read.next_ordinal;
        self.left = self.left.map(|left| left.saturating_sub(read.records.len() as u64));
        charge.shrink(read.records.iter().map(|record| record.data.len()).sum());
        let batch = Batch {
            records: read.records,
            next_ordinal: read.next_ordinal,
            millis_behind: read.millis_behind,
        };
        Ok(Step::Item(Item::Batch(batch), charge))
    }
}
