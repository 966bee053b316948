//! A shard that is followed or read for a client of the gRPC API, wherever it is led.
//!
//! A [`Source`] gives a shard's records from a place on, without a gap and without a duplicate: on the node that leads
//! the shard it reads there ([`here`]), on any other it has that node run the operation [`OPERATION`] and takes over
//! what it tells. When the leader changes, or goes away, it goes on where it was with the next one. It gives up when
//! nobody has led the shard for [`PATIENCE`].

mod here;
mod messages;
mod target;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use tidelog_proto::peer::ExecuteRequest;
use tokio::time::{Instant, sleep, timeout};

use super::position::Begin;
use crate::model::stream::{Catalog, Shard, Stream};
use crate::ops::{Fault, relayed};
use crate::replication::Leader;
use crate::service::{Batch, Relayed, Service};

pub use here::execute;
pub use target::{At, Place, place, places};

/// The name under which a node has another one follow a shard.
pub const OPERATION: &str = "Follow";
/// How long a shard may be without a leader in reach.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause before a leader is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a shard is gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// On and on, with the share of its throughput that goes by this name; with one of its own when it is empty.
    Share(Arc<str>),
    /// As a polling reader does, up to the tip or that many records.
    Read {
        /// `None` for no such bound.
        records_max: Option<u64>,
    },
}

/// What a shard comes to next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Records; none at the beginning, which tells the place, and after a while without.
    Batch(Batch),
    /// All was read. The last.
    Done,
    /// The shard is closed and was read to its end; its children, as a [`Source`] knows them. The last.
    EndOfShard(Vec<Shard>),
}

type Items = BoxStream<'static, Result<Item, Fault>>;

/// See the module.
pub struct Source {
    service: Arc<Service>,
    stream: Arc<Stream>,
    shard: Shard,
    begin: Begin,
    way: Way,
    /// From whoever leads the shard now.
    items: Option<Items>,
    is_over: bool,
}

impl Source {
    /// Of that place. Nothing is read before it is asked for.
    pub fn new(service: Arc<Service>, place: Place, way: Way) -> Self {
        let Place { stream, shard, begin } = place;
        Self { service, stream, shard, begin, way, items: None, is_over: false }
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What comes next; `None` after the last. A fault is the last.
    pub async fn next(&mut self) -> Option<Result<Item, Fault>> {
        if self.is_over {
            return None;
        }
        let mut item = self.find_next().await;
        if let Ok(Item::EndOfShard(children)) = &mut item {
            *children = self.children().await;
        }
        self.is_over = !matches!(item, Ok(Item::Batch(_)));
        Some(item)
    }

    async fn find_next(&mut self) -> Result<Item, Fault> {
        let ends = Instant::now() + PATIENCE;
        loop {
            let mut trouble = Fault::leaderless();
            if self.items.is_none() {
                self.items = self.open(ends).await?;
            }
            if let Some(items) = &mut self.items {
                match items.next().await {
                    Some(Ok(item)) => {
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

    /// Takes note of where the next look goes on.
    fn pass(&mut self, item: &Item) {
        let Item::Batch(batch) = item else { return };
        self.begin = Begin::Ordinal(batch.next_ordinal);
        if let Way::Read { records_max: Some(left) } = &mut self.way {
            *left = left.saturating_sub(batch.records.len() as u64);
        }
    }

    /// From whoever leads the shard; `None` when nobody could be asked.
    async fn open(&mut self, ends: Instant) -> Result<Option<Items>, Fault> {
        let (service, group) = (&self.service, self.shard.group);
        match service.groups().leader_within(group, ends).await {
            Leader::Here => {
                let at = here::Start { uid: self.stream.uid, shard: self.shard.index, begin: self.begin };
                let started = here::start(service, at, self.way.clone()).boxed().await?;
                Ok(started.map(|started| started.items))
            }
            Leader::At(node) => {
                let request = ExecuteRequest {
                    operation: OPERATION.to_owned(),
                    body: messages::request(&self.stream, &self.shard, self.begin, &self.way),
                    ..ExecuteRequest::default()
                };
                match service.relay(node, group, true, request, ends).boxed().await {
                    Ok(Relayed::Events(events)) => Ok(Some(events.map(messages::read).boxed())),
                    Ok(Relayed::Fault(told)) => match relayed::fault(told) {
                        Fault::Unavailable(_) => Ok(None),
                        fault => Err(fault),
                    },
                    Ok(Relayed::Complete(_)) | Err(_) => Ok(None),
                }
            }
            Leader::Unknown => Err(Fault::leaderless()),
        }
    }
}
