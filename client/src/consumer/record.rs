//! Records that readers hand out, and the positions at which they begin.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;
use tidelog_proto::v1::{self, position};

use crate::aggregation::{UserRecord, deaggregate};

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Absent where it was put without one.
    pub partition_key: Option<String>,
    /// The explicit hash key of a record that was taken out of an aggregated one, where it was put with one.
    pub explicit_hash_key: Option<String>,
    /// The record itself.
    pub data: Bytes,
    /// Decimal; increases within a shard. Records out of one aggregated record share it.
    pub sequence_number: String,
    /// The record's place in the aggregated record, from 0 on, if it comes out of one.
    pub sub_sequence_number: Option<u32>,
    /// When the broker took it.
    pub approximate_arrival: SystemTime,
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The oldest record that is kept.
    TrimHorizon,
    /// Records that arrive after reading has begun.
    Latest,
    /// The record of the shard with that sequence number.
    AtSequenceNumber(String),
    /// The record of the shard after that sequence number.
    AfterSequenceNumber(String),
    /// The first record that arrived then or later.
    AtTimestamp(SystemTime),
}

impl From<Position> for v1::Position {
    fn from(position: Position) -> Self {
        let at = match position {
            Position::TrimHorizon => position::At::TrimHorizon(v1::TrimHorizon {}),
            Position::Latest => position::At::Latest(v1::Latest {}),
            Position::AtSequenceNumber(number) => position::At::AtSequenceNumber(number),
            Position::AfterSequenceNumber(number) => position::At::AfterSequenceNumber(number),
            Position::AtTimestamp(time) => position::At::AtTimestamp(time.into()),
        };
        Self { at: Some(at) }
    }
}

/// A record as it was put: the one that came, or those that it is made of.
pub(super) enum Opened {
    Plain(Record),
    Aggregated(Vec<(UserRecord, Record)>),
}

impl Opened {
    /// Takes a record apart, if it is an aggregated one and that is asked for.
    pub fn new(record: v1::Record, deaggregating: bool) -> Self {
        let parts = if deaggregating { deaggregate(&record.data) } else { None };
        let arrival = record.approximate_arrival.and_then(|time| SystemTime::try_from(time).ok());
        let whole = Record {
            partition_key: record.partition_key,
            explicit_hash_key: None,
            data: record.data,
            sequence_number: record.sequence_number,
            sub_sequence_number: None,
            approximate_arrival: arrival.unwrap_or(SystemTime::UNIX_EPOCH),
        };
        let Some(parts) = parts else { return Self::Plain(whole) };
        let parts = parts.into_iter().zip(0..).map(|(part, place)| {
            let record = Record {
                partition_key: Some(part.partition_key.clone()),
                explicit_hash_key: part.explicit_hash_key.clone(),
                data: part.data.clone(),
                sub_sequence_number: Some(place),
                ..whole.clone()
            };
            (part, record)
        });
        Self::Aggregated(parts.collect())
    }

    /// The records that belong to the shard with these hash keys; see [`crate::aggregation`].
    pub fn into_records(self, range: Option<&RangeInclusive<u128>>) -> Vec<Record> {
        match self {
            Self::Plain(record) => vec![record],
            Self::Aggregated(parts) => {
                let belongs = |part: &UserRecord| range.is_none_or(|range| part.belongs_to(range));
                parts.into_iter().filter(|(part, _)| belongs(part)).map(|(_, record)| record).collect()
            }
        }
    }
}
