//! Where to begin to read a shard: the five kinds of positions that GetShardIterator and SubscribeToShard share.
//!
//! Numbers may be those of trimmed records, the shard's StartingSequenceNumber, and the places between two records
//! that ContinuationSequenceNumber names: reading begins at the first record kept at or after them.

use crate::model::sequence_number::{ORDINAL_MAX, SequenceNumber};
use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream, StreamStatus};
use crate::ops::Fault;
use crate::ops::api::Choice;
use crate::ops::api::ShardIteratorType::{self, *};
use crate::ops::fault::{InvalidPosition, Unavailable};
use crate::ops::shard::open_shard;
use crate::service::Service;

/// A position as a request gives it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The operation, for its faults.
    pub operation: &'static str,
    /// The kind of position.
    pub kind: ShardIteratorType,
    /// The sequence number, for the two kinds that need one.
    pub number: Option<&'a str>,
    /// Milliseconds since the epoch, for AT_TIMESTAMP.
    pub time_ms: Option<i64>,
}

/// Where reading begins, before the shard is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At that record, or the first one kept after it.
    Ordinal(u64),
    /// After the newest record.
    Latest,
    /// At the first record of that millisecond or later.
    Time(u64),
}

/// The shard of that name, whose stream is not about to come or go.
///
/// # Errors
/// [`Fault::ResourceNotFound`], only when it is certainly gone.
pub fn find_shard<'a>(stream: &'a Stream, text: &str) -> Result<&'a Shard, Fault> {
    let id = open_shard::parse(&stream.key, text)?;
    match stream.status {
        StreamStatus::Creating => Err(Fault::being_created(&stream.key)),
        StreamStatus::Deleting => Err(Fault::stream_not_found(&stream.key)),
        StreamStatus::Active | StreamStatus::Updating => {
            stream.shard(id.0).ok_or_else(|| Fault::shard_not_found(&stream.key, id))
        }
    }
}

impl Begin {
    /// The ordinal to begin at.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] when the shard cannot be asked now, and the errors of reading it.
    pub async fn ordinal(self, service: &Service, stream: &Stream, shard: &Shard) -> Result<u64, Fault> {
        match self {
            Self::Ordinal(ordinal) => Ok(ordinal),
            Self::Latest => match service.bounds(stream, shard) {
                Some(bounds) => Ok(bounds.next_ordinal),
                None => Err(Fault::Unavailable(Unavailable::UnknownEnd)),
            },
            Self::Time(time_ms) => {
                let found = service.ordinal_at_time(stream, shard, time_ms).await;
                found.map_err(|error| Fault::of_shard(error, &stream.key, ShardId(shard.index)))
            }
        }
    }
}

impl Asked<'_> {
    /// Where that is in the shard.
    ///
    /// # Errors
    /// For numbers of other shards or streams, for a time in the future, and for a kind without the member that it
    /// needs.
    pub fn begin(&self, stream: &Stream, shard: &Shard, now_ms: u64) -> Result<Begin, InvalidPosition> {
        match (self.kind, self.number) {
            (AtSequenceNumber | AfterSequenceNumber, Some(number)) => {
                self.begin_at_number(stream, shard, number)
            }
            (AtSequenceNumber | AfterSequenceNumber, None) => Err(self.mismatch(false)),
            (_, Some(_)) => Err(self.mismatch(true)),
            (TrimHorizon, None) => Ok(Begin::Ordinal(1)),
            (Latest, None) => Ok(Begin::Latest),
            (AtTimestamp, None) => begin_at_time(self.time_ms, now_ms),
        }
    }

    fn mismatch(&self, has_number: bool) -> InvalidPosition {
        InvalidPosition::Mismatch { kind: self.kind.name().to_owned(), has_number }
    }

    fn begin_at_number(&self, stream: &Stream, shard: &Shard, text: &str) -> Result<Begin, InvalidPosition> {
        let (key, id, operation) = (&stream.key, ShardId(shard.index), self.operation);
        let invalid = || InvalidPosition::Number {
            key: key.clone(),
            shard: id,
            operation: operation.into(),
            number: text.to_owned(),
        };
        let number = SequenceNumber::parse(text).ok_or_else(invalid)?;
        if number.shard != shard.index {
            return Err(InvalidPosition::OtherShard { of: ShardId(number.shard), shard: id });
        }
        if number.created_s != shard.created_s {
            let (key, number) = (key.clone(), text.to_owned());
            return Err(InvalidPosition::OtherStream { key, shard: id, operation: operation.into(), number });
        }
        // The ending number of a shard that is still open: nobody was given it.
        if number.ordinal == ORDINAL_MAX && shard.closed_ms.is_none() {
            return Err(invalid());
        }
        let skipped = u64::from(self.kind == AfterSequenceNumber || number.after);
        Ok(Begin::Ordinal((number.ordinal + skipped).clamp(1, ORDINAL_MAX)))
    }
}

fn begin_at_time(time_ms: Option<i64>, now_ms: u64) -> Result<Begin, InvalidPosition> {
    let time_ms = u64::try_from(time_ms.ok_or(InvalidPosition::NoTime)?).unwrap_or(0);
    if time_ms > now_ms {
        return Err(InvalidPosition::Future { time_ms, now_ms });
    }
    Ok(Begin::Time(time_ms))
}
