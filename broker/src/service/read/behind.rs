//! How much lies behind positions in shards: records, and the age of the oldest of them. The leader of a shard knows;
//! it is asked when that is another node.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tidelog_proto::peer::{self, behind_request};
use tidelog_storage::shard::{ShardError, ShardLog};
use tokio::time::{Instant, timeout};

use crate::cluster::peers::Lane;
use crate::model::stream::{Shard, Stream};
use crate::replication::Leader;
use crate::service::Service;

/// How long a node may take to answer. Positions without an answer by then are not known.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// How long it looks itself: a position that is not in memory costs a read of a file.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);
/// Shards that are looked at by one task of the reader pool.
const SHARDS_PER_READ: usize = 64;

/// A position in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// From that ordinal on.
    Ordinal(u64),
    /// From the first record of that millisecond or later.
    Time(u64),
}

/// The records behind a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The ordinal that the shard's next record gets.
    pub next_ordinal: u64,
    /// Arrival of the shard's newest record, milliseconds since the epoch; 0 when there never was one.
    pub newest_ms: u64,
    /// The ordinal of the oldest record from the position on, or the next ordinal when there is none.
    pub from_ordinal: u64,
    /// Records from the position on.
    pub records: u64,
    /// Age of the oldest of them, milliseconds.
    pub millis: u64,
}

impl Service {
    /// Finds the records behind positions in shards of a stream, by shard; shards of which they are not known
    /// now are absent.
    pub(in crate::service) async fn behind(
        &self,
        stream: &Stream,
        unread: &[(u32, Unread)],
    ) -> BTreeMap<u32, Behind> {
        let mut by_node: BTreeMap<u64, Vec<(u32, Unread)>> = BTreeMap::new();
        for (index, unread) in unread {
            let Some(shard) = stream.shard(*index) else { continue };
            let leader = match self.groups.leadership().leader(shard.group) {
                Leader::Here => self.groups.node(),
                Leader::At(node) => node,
                Leader::Unknown => continue,
            };
            by_node.entry(leader).or_default().push((*index, *unread));
        }
        let asking = by_node.into_iter().map(|(node, unread)| async move {
            if node == self.groups.node() {
                return self.behind_here(stream, &unread).await;
            }
            let answer = timeout(ANSWER_DEADLINE, self.behind_at(node, stream.uid, &unread)).await;
            answer.ok().flatten().unwrap_or_default()
        });
        join_all(asking).await.into_iter().flatten().collect()
    }

    async fn behind_at(
        &self,
        node: u64,
        stream_uid: u64,
        unread: &[(u32, Unread)],
    ) -> Option<Vec<(u32, Behind)>> {
        let peers = self.groups.peers();
        let mut client = peers.client(node, Lane::Requests).await.ok()?;
        let message = peer::BehindRequest { stream_uid, shards: unread.iter().map(send_unread).collect() };
        let answer = client.behind(peers.request(node, message, Some(ANSWER_DEADLINE))).await;
        let shards = answer.ok()?.into_inner().shards.into_iter();
        let read = |shard: peer::behind_response::Shard| {
            let peer::behind_response::Shard {
                shard,
                next_ordinal,
                newest_ms,
                from_ordinal,
                records,
                millis,
            } = shard;
            (shard, Behind { next_ordinal, newest_ms, from_ordinal, records, millis })
        };
        Some(shards.map(read).collect())
    }

    /// Finds the records behind positions in the shards that are led here.
    async fn behind_here(&self, stream: &Stream, unread: &[(u32, Unread)]) -> Vec<(u32, Behind)> {
        let ends = Instant::now() + LOOK_DEADLINE;
        let now_ms = self.now_ms();
        let is_led = |shard: &&Shard| self.leads(shard.group);
        let logs: Vec<_> = (unread.iter())
            .filter_map(|(index, unread)| {
                let shard = stream.shard(*index).filter(is_led)?;
                Some((*index, self.log(stream, shard)?, *unread))
            })
            .collect();
        let mut found = Vec::with_capacity(logs.len());
        for chunk in logs.chunks(SHARDS_PER_READ) {
            if Instant::now() >= ends {
                break;
            }
            let chunk = chunk.to_vec();
            let look = move || {
                let looked =
                    chunk.iter().map(|(index, log, unread)| Some((*index, look(log, *unread, now_ms).ok()?)));
                Ok(looked.collect::<Vec<_>>())
            };
            // One that cannot be read is not known; the reader pool says why in the log.
            found.extend(self.on_reader_pool(look).await.into_iter().flatten().flatten());
        }
        found
    }

    /// Answers another node.
    pub async fn behind_for(&self, request: peer::BehindRequest) -> peer::BehindResponse {
        let catalog = self.catalog();
        let Some(stream) = catalog.by_uid(request.stream_uid) else { return peer::BehindResponse::default() };
        let unread: Vec<_> = request.shards.iter().filter_map(read_unread).collect();
        let send = |(shard, behind): (u32, Behind)| {
            let Behind { next_ordinal, newest_ms, from_ordinal, records, millis } = behind;
            peer::behind_response::Shard { shard, next_ordinal, newest_ms, from_ordinal, records, millis }
        };
        let found = self.behind_here(stream, &unread).await;
        peer::BehindResponse { shards: found.into_iter().map(send).collect() }
    }
}

fn look(log: &ShardLog, unread: Unread, now_ms: u64) -> Result<Behind, ShardError> {
    let from = match unread {
        Unread::Ordinal(ordinal) => ordinal,
        Unread::Time(time_ms) => log.ordinal_at_time(time_ms)?,
    };
    let bounds = log.bounds();
    let from = from.max(bounds.first_ordinal);
    let records = log.count_from(from);
    let oldest_ms = if records == 0 { None } else { log.time_of(from)? };
    Ok(Behind {
        next_ordinal: bounds.next_ordinal,
        newest_ms: bounds.last_time_ms,
        from_ordinal: from.min(bounds.next_ordinal),
        records,
        millis: oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms)),
    })
}

fn send_unread((shard, unread): &(u32, Unread)) -> behind_request::Shard {
    let from = match unread {
        Unread::Ordinal(ordinal) => behind_request::shard::From::Ordinal(*ordinal),
        Unread::Time(time_ms) => behind_request::shard::From::TimeMs(*time_ms),
    };
    behind_request::Shard { shard: *shard, from: Some(from) }
}

fn read_unread(sent: &behind_request::Shard) -> Option<(u32, Unread)> {
    let unread = match sent.from? {
        behind_request::shard::From::Ordinal(ordinal) => Unread::Ordinal(ordinal),
        behind_request::shard::From::TimeMs(time_ms) => Unread::Time(time_ms),
    };
    Some((sent.shard, unread))
}
