//! The shards and positions that a client names to follow or read shards.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::sequence_number::SequenceNumber;
use crate::model::stream::{Shard, Stream, StreamStatus};
use crate::ops::api::ShardIteratorType;
use crate::ops::fault::InvalidTarget;
use crate::ops::record::position::{Asked, Begin, find_shard};
use crate::ops::shard::list_shards::open_at;
use crate::ops::{Call, Fault, placement, target};
use crate::service::Service;

/// A position in a shard, as a client names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'a> {
    /// The oldest record that is kept.
    TrimHorizon,
    /// The records that arrive from now on.
    Latest,
    /// At the record of that number, or the first one after it.
    Number(&'a str),
    /// After the record of that number.
    AfterNumber(&'a str),
    /// The first record that arrived at that millisecond since the epoch or later.
    Time(i64),
}

/// A shard and where to begin in it.
#[derive(Clone, Debug)]
pub struct ShardStart {
    /// The stream as it is known here.
    pub stream: Arc<Stream>,
    /// One of its shards.
    pub shard: Shard,
    /// The position in it.
    pub begin: Begin,
}

impl ShardStart {
    /// The oldest record of a shard.
    pub fn from_the_oldest(stream: Arc<Stream>, shard: Shard) -> Self {
        Self { stream, shard, begin: Begin::Ordinal(1) }
    }
}

/// Finds a position in one shard.
///
/// # Errors
/// ResourceNotFound, only when stream or shard are certainly gone; OutOfRange for a position of another shard or of the
/// future; InvalidArgument for a number that is none.
pub async fn find_start(
    service: &Arc<Service>,
    call: &Call,
    stream: &str,
    shard: &str,
    at: At<'_>,
) -> Result<ShardStart, Fault> {
    let key = target::by_text(call, stream)?;
    let find = || async {
        let stream = target::find(&service.catalog(), &key)?;
        start_of(service, &stream, shard, at)
    };
    placement::certain(service, find).await
}

/// Finds the positions of a subscription: in those shards, with `from` for shards that name no position; without any
/// shards in all that are open at `from`.
///
/// # Errors
/// As [`find_start`]; InvalidArgument also for a shard that is named twice, and for the sequence number of no shard.
pub async fn find_starts(
    service: &Arc<Service>,
    call: &Call,
    stream: &str,
    shards: &[(&str, Option<At<'_>>)],
    from: At<'_>,
) -> Result<Vec<ShardStart>, Fault> {
    let key = target::by_text(call, stream)?;
    let find = || async {
        let stream = target::find(&service.catalog(), &key)?;
        if shards.is_empty() {
            return starts_of_open_shards(service, &stream, from);
        }
        let mut named = BTreeSet::new();
        let find = |(shard, at): &(&str, Option<At<'_>>)| {
            let start = start_of(service, &stream, shard, at.unwrap_or(from))?;
            if !named.insert(start.shard.index) {
                return Err(InvalidTarget::ShardTwice((*shard).to_owned()).into());
            }
            Ok(start)
        };
        shards.iter().map(find).collect()
    };
    placement::certain(service, find).await
}

fn starts_of_open_shards(
    service: &Service,
    stream: &Arc<Stream>,
    from: At<'_>,
) -> Result<Vec<ShardStart>, Fault> {
    match stream.status {
        StreamStatus::Creating => return Err(Fault::being_created(&stream.key)),
        StreamStatus::Deleting => return Err(Fault::stream_not_found(&stream.key)),
        StreamStatus::Active | StreamStatus::Updating => {}
    }
    let now_ms = service.now_ms();
    let shards: Vec<Shard> = match from {
        At::Latest => stream.open_shards().cloned().collect(),
        At::TrimHorizon => open_at(stream, None, now_ms).cloned().collect(),
        At::Time(time_ms) => {
            let time_ms = u64::try_from(time_ms).unwrap_or_default();
            open_at(stream, Some(time_ms), now_ms).cloned().collect()
        }
        At::Number(_) | At::AfterNumber(_) => {
            return Err(InvalidTarget::NumberWithoutShard.into());
        }
    };
    let start = |shard: Shard| {
        let begin = begin(service, stream, &shard, from)?;
        Ok(ShardStart { stream: stream.clone(), shard, begin })
    };
    shards.into_iter().map(start).collect()
}

fn start_of(service: &Service, stream: &Arc<Stream>, shard: &str, at: At<'_>) -> Result<ShardStart, Fault> {
    let shard = find_shard(stream, shard)?.clone();
    let begin = begin(service, stream, &shard, at)?;
    Ok(ShardStart { stream: stream.clone(), shard, begin })
}

fn begin(service: &Service, stream: &Stream, shard: &Shard, at: At<'_>) -> Result<Begin, Fault> {
    let (kind, number, time_ms) = match at {
        At::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
        At::Latest => (ShardIteratorType::Latest, None, None),
        At::Number(number) => (ShardIteratorType::AtSequenceNumber, Some(number), None),
        At::AfterNumber(number) => (ShardIteratorType::AfterSequenceNumber, Some(number), None),
        At::Time(time_ms) => (ShardIteratorType::AtTimestamp, None, Some(time_ms)),
    };
    if let Some(number) = number
        && SequenceNumber::parse(number).is_none()
    {
        return Err(InvalidTarget::SequenceNumber(number.to_owned()).into());
    }
    let asked = Asked { operation: "this call", kind, number, time_ms };
    asked.begin(stream, shard, service.latest_now_ms()).map_err(Fault::from)
}
