//! Messages between nodes about a shard that one of them follows for the other.

use bytes::Bytes;
use prost::Message;
use tidelog_proto::peer::{Done, ExecuteFault, FollowEvent, FollowRecord, FollowRequest, follow_request};

use super::{FollowMode, Item};
use crate::model::stream::{Shard, Stream};
use crate::ops::record::position::Begin;
use crate::ops::{Fault, relayed};
use crate::service::{Batch, ReadRecord};

/// Encodes the request of a node to the leader of a shard.
pub fn request(stream: &Stream, shard: &Shard, begin: Begin, mode: &FollowMode) -> Bytes {
    let begin = match begin {
        Begin::Ordinal(ordinal) => follow_request::Begin::Ordinal(ordinal),
        Begin::Latest => follow_request::Begin::Latest(Done {}),
        Begin::Time(time_ms) => follow_request::Begin::TimeMs(time_ms),
    };
    let mode = match mode {
        FollowMode::Share(name) => follow_request::Mode::Share(name.to_string()),
        FollowMode::Read { records_max } => follow_request::Mode::RecordsMax(records_max.unwrap_or_default()),
    };
    let request =
        FollowRequest { stream_uid: stream.uid, shard: shard.index, begin: Some(begin), mode: Some(mode) };
    request.encode_to_vec().into()
}

/// Decodes a request: the stream's number, the shard's index, where to begin and how; `None` for a damaged
/// one.
pub fn read_request(body: Bytes) -> Option<(u64, u32, Begin, FollowMode)> {
    let FollowRequest { stream_uid, shard, begin, mode } = FollowRequest::decode(body).ok()?;
    let begin = match begin? {
        follow_request::Begin::Ordinal(ordinal) => Begin::Ordinal(ordinal),
        follow_request::Begin::Latest(_) => Begin::Latest,
        follow_request::Begin::TimeMs(time_ms) => Begin::Time(time_ms),
    };
    let mode = match mode? {
        follow_request::Mode::Share(name) => FollowMode::Share(name.into()),
        follow_request::Mode::RecordsMax(0) => FollowMode::Read { records_max: None },
        follow_request::Mode::RecordsMax(records_max) => FollowMode::Read { records_max: Some(records_max) },
    };
    Some((stream_uid, shard, begin, mode))
}

/// Encodes an item as a message of the leader.
pub fn event(item: Item) -> Bytes {
    let event = match item {
        Item::Batch(Batch { records, next_ordinal, millis_behind }) => FollowEvent {
            records: records.into_iter().map(send_record).collect(),
            next_ordinal,
            millis_behind,
            ..FollowEvent::default()
        },
        Item::Done => FollowEvent { done: true, ..FollowEvent::default() },
        Item::EndOfShard(_) => FollowEvent { end_of_shard: true, ..FollowEvent::default() },
    };
    event.encode_to_vec().into()
}

/// Decodes a message of the leader.
pub fn read(message: Result<Bytes, ExecuteFault>) -> Result<Item, Fault> {
    let event =
        FollowEvent::decode(message.map_err(|fault| relayed::decode_fault(&fault))?).map_err(|error| {
            crate::log_at_most_once_a_second!(error, %error, "a leader's records cannot be read");
            Fault::Internal
        })?;
    let FollowEvent { records, next_ordinal, millis_behind, done, end_of_shard } = event;
    Ok(match (done, end_of_shard) {
        (true, _) => Item::Done,
        (_, true) => Item::EndOfShard(Vec::new()),
        _ => Item::Batch(Batch {
            records: records.into_iter().map(take_record).collect(),
            next_ordinal,
            millis_behind,
        }),
    })
}

fn send_record(record: ReadRecord) -> FollowRecord {
    let ReadRecord { ordinal, time_ms, partition_key, data } = record;
    FollowRecord { ordinal, time_ms, partition_key, data }
}

fn take_record(record: FollowRecord) -> ReadRecord {
    let FollowRecord { ordinal, time_ms, partition_key, data } = record;
    ReadRecord { ordinal, time_ms, partition_key, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn requests_and_events_arrive_unchanged() {
        let stream = cases::stream("a", 2);
        for begin in [Begin::Ordinal(7), Begin::Latest, Begin::Time(9)] {
            for mode in [
                FollowMode::Share("".into()),
                FollowMode::Share("app".into()),
                FollowMode::Read { records_max: None },
                FollowMode::Read { records_max: Some(5) },
            ] {
                let sent = request(&stream, &stream.shards[1], begin, &mode);
                assert_eq!(read_request(sent), Some((stream.uid, 1, begin, mode)));
            }
        }
        let record = |partition_key| ReadRecord {
            ordinal: 3,
            time_ms: 4,
            partition_key,
            data: Bytes::from_static(b"data"),
        };
        let records = vec![record(None), record(Some(Bytes::from_static(b"k")))];
        for item in [
            Item::Batch(Batch { records, next_ordinal: 4, millis_behind: 5 }),
            Item::Batch(Batch { records: Vec::new(), next_ordinal: 1, millis_behind: 0 }),
            Item::Done,
            Item::EndOfShard(Vec::new()),
        ] {
            assert_eq!(read(Ok(event(item.clone()))), Ok(item));
        }
        assert_eq!(read_request(Bytes::from_static(b"\xff")), None);
    }
}
