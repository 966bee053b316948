//! GetRecords: the next records of a shard.
//!
//! The answer has a fresh NextShardIterator, also when it has no records, until a closed shard has been read to
//! its end: then it has ChildShards instead, and never both or neither, on which KCL insists.
//!
//! Limits: 10,000 records or 10 MiB; the reading budget of the shard. Errors: ExpiredIterator after 300 s,
//! InvalidArgument for a damaged iterator, ProvisionedThroughputExceeded, and ResourceNotFound, which a consumer
//! takes for the end of the shard, only when stream or shard is certainly gone.

mod cbor;
pub(super) mod json;

use std::sync::Arc;

use crate::limits::{GET_RECORDS_BYTES_MAX, GET_RECORDS_MAX};
use crate::model::sequence_number::SequenceNumbers;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Catalog, Shard, Stream, StreamStatus};
use crate::ops::api::{ChildShard, GetRecordsInput};
use crate::ops::fault::{InvalidTarget, NotFound};
use crate::ops::stream::description;
use crate::ops::{Call, Codec, Fault, Reply, target};
use crate::room::{Charge, Full, PREPAID_ANSWER_BYTES};
use crate::service::iterator::{Position, Sealer, ShardIterator, TokenError};
use crate::service::{ReadAnswer, ReadRecord, Service};

/// Reads on.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &GetRecordsInput,
    iterator: Result<ShardIterator, Fault>,
) -> Result<Reply, Fault> {
    let iterator = iterator?;
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    let stream = find_stream(&service.catalog(), &iterator)?;
    check_arn(call, input, &stream)?;
    let id = iterator.shard;
    let shard = stream.shard(id.0).ok_or_else(|| Fault::shard_not_found(&stream.key, id))?;
    if input.dry_run == Some(true) {
        return Err(Fault::DryRun);
    }
    let records_max = input.limit.map_or(GET_RECORDS_MAX, |limit| GET_RECORDS_MAX.min(limit as usize));
    let from = iterator.position.0;
    let read = service.read_with_permit(&stream, shard, from, records_max, GET_RECORDS_BYTES_MAX).await;
    let (read, permit) = read.map_err(|error| Fault::of_shard(error, &stream.key, id))?;
    let (read, charge) = admit(call, read, service.now_ms())?;
    let children = if read.end_of_shard { children(service, &stream, id) } else { Vec::new() };
    // A shard that ended without its children in sight is read again, until they are.
    let next = children.is_empty().then(|| {
        let position = Position(read.next_ordinal);
        sealer.seal_iterator(&ShardIterator { position, issued_ms: service.now_ms(), ..iterator })
    });
    let answer = match call.codec {
        Codec::Json => json::write_answer(shard, &read, next, &children),
        Codec::Cbor => cbor::write_answer(shard, &read, next, &children),
    };
    // The permit covers the memory of records that were read from files.
    drop((read, permit));
    Ok(match charge.and_then(|charge| charge.fitted(answer.len())) {
        Some(charge) => Reply::Charged(answer.into(), charge),
        None => Reply::Complete(answer.into()),
    })
}

/// Admits as many of the records that were read as there is room to answer with. Their charge goes on with
/// the answer.
///
/// # Errors
/// [`Fault::ProvisionedThroughputExceeded`] when there is no room for its first record.
fn admit(call: &Call, mut read: ReadAnswer, now_ms: u64) -> Result<(ReadAnswer, Option<Charge>), Fault> {
    let size = match call.codec {
        Codec::Json => json::record_bytes,
        Codec::Cbor => cbor::record_bytes,
    };
    let bytes: usize = read.records.iter().map(size).sum();
    if bytes <= PREPAID_ANSWER_BYTES {
        return Ok((read, None));
    }
    let sizes: Vec<usize> = read.records.iter().map(size).collect();
    let no_room = |_: Full| Fault::no_room(true, "answers");
    let (count, charge) = call.answers.take_some(&sizes, ANSWER_BYTES).map_err(no_room)?;
    if let Some(last) = read.records.get(count.wrapping_sub(1)).filter(|_| count < read.records.len()) {
        read.next_ordinal = last.ordinal + 1;
        read.millis_behind = now_ms.saturating_sub(last.time_ms);
        read.end_of_shard = false;
        read.records.truncate(count);
    }
    Ok((read, charge))
}

/// Bytes of an answer beside its records.
const ANSWER_BYTES: usize = 1_024;

/// Opens the iterator of a request.
///
/// # Errors
/// [`Fault::ExpiredIterator`] after 300 s, [`Fault::InvalidArgument`] for an iterator that this cluster did not give
/// out, [`Fault::Unavailable`] before the cluster has a key.
pub fn open(service: &Service, text: &str) -> Result<ShardIterator, Fault> {
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    open_with(&sealer, text, service.earliest_now_ms())
}

fn open_with(sealer: &Sealer, text: &str, now_ms: u64) -> Result<ShardIterator, Fault> {
    sealer.open_iterator(text, now_ms).map_err(|error| match error {
        TokenError::Damaged => InvalidTarget::ShardIterator.into(),
        TokenError::Expired { issued_ms } => Fault::ExpiredIterator { issued_ms, now_ms },
    })
}

fn find_stream(catalog: &Catalog, iterator: &ShardIterator) -> Result<Arc<Stream>, Fault> {
    let gone = || Fault::ResourceNotFound(NotFound::IteratedStream(iterator.shard));
    let stream = catalog.by_uid(iterator.stream_uid).ok_or_else(gone)?;
    match stream.status {
        StreamStatus::Deleting => Err(Fault::stream_not_found(&stream.key)),
        StreamStatus::Creating | StreamStatus::Active | StreamStatus::Updating => Ok(stream.clone()),
    }
}

/// A StreamARN beside the iterator must be that of its stream.
fn check_arn(call: &Call, input: &GetRecordsInput, stream: &Stream) -> Result<(), Fault> {
    match input.stream_arn.as_deref() {
        Some(arn) if target::named(call, None, Some(arn))? != stream.key => {
            Err(InvalidTarget::IteratorOfOtherStream.into())
        }
        _ => Ok(()),
    }
}

/// The children of a shard that was read to its end, from the newest metadata: they appear there with its closing.
fn children(service: &Service, stream: &Stream, id: ShardId) -> Vec<ChildShard> {
    let catalog = service.catalog();
    catalog.by_uid(stream.uid).map_or_else(Vec::new, |stream| description::children(stream, id))
}

/// Writes the sequence numbers of a shard's records; those of one second are counted up.
pub struct Numbers<'a> {
    shard: &'a Shard,
    time_s: u64,
    numbers: SequenceNumbers,
}

impl<'a> Numbers<'a> {
    /// The numbers of records of that shard.
    pub fn new(shard: &'a Shard) -> Self {
        Self { shard, time_s: 0, numbers: SequenceNumbers::new(shard.created_s, shard.index, 0) }
    }

    /// Appends the digits of the record's number.
    pub fn write(&mut self, record: &ReadRecord, out: &mut Vec<u8>) {
        let time_s = record.time_ms / 1_000;
        if time_s != self.time_s {
            self.time_s = time_s;
            self.numbers = SequenceNumbers::new(self.shard.created_s, self.shard.index, time_s);
        }
        self.numbers.format(record.ordinal, out);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::limits::ITERATOR_LIFE_MS;
    use crate::model::sequence_number::SequenceNumber;
    use crate::ops::cases::{self, NOW_MS};

    fn record(ordinal: u64, time_ms: u64, key: Option<&'static str>, data: &'static [u8]) -> ReadRecord {
        let partition_key = key.map(|key| Bytes::from_static(key.as_bytes()));
        ReadRecord { ordinal, time_ms, partition_key, data: Bytes::from_static(data) }
    }

    fn answered(read: &ReadAnswer, next: Option<&str>, children: &[ChildShard]) -> serde_json::Value {
        let stream = cases::stream("a", 1);
        let (shard, next) = (&stream.shards[0], next.map(ToOwned::to_owned));
        let json = json::write_answer(shard, read, next.clone(), children);
        let cbor = cbor::write_answer(shard, read, next, children);
        let answer = serde_json::from_slice(&json).unwrap();
        let document = Codec::Cbor.decode(&cbor.into()).unwrap();
        let same = serde_json::from_slice::<serde_json::Value>(&Codec::Json.encode(&document)).unwrap();
        assert_eq!(answer, same, "both codecs say the same");
        answer
    }

    #[test]
    fn records_are_written_as_aws_does() {
        let records = vec![
            record(7, NOW_MS + 5, Some("k\"é"), b"hi"),
            record(8, NOW_MS + 999, Some(""), b""),
            record(9, NOW_MS + 1_000, None, b"\xff\x00\xff"),
        ];
        let read = ReadAnswer { records, next_ordinal: 10, millis_behind: 1_500, end_of_shard: false };
        let number = |ordinal, time_s| {
            let starting = SequenceNumber::starting(cases::stream("a", 1).shards[0].created_s, 0);
            SequenceNumber { ordinal, time_s, ..starting }.to_string()
        };
        let second = NOW_MS / 1_000;
        let expected = serde_json::json!({
            "Records": [
                {
                    "SequenceNumber": number(7, second),
                    "ApproximateArrivalTimestamp": 1_700_000_000.005,
                    "Data": "aGk=",
                    "PartitionKey": "k\"é",
                },
                {
                    "SequenceNumber": number(8, second),
                    "ApproximateArrivalTimestamp": 1_700_000_000.999,
                    "Data": "",
                    "PartitionKey": "",
                },
                {
                    "SequenceNumber": number(9, second + 1),
                    "ApproximateArrivalTimestamp": 1_700_000_001.0,
                    "Data": "/wD/",
                },
            ],
            "MillisBehindLatest": 1_500,
            "NextShardIterator": "next",
        });
        assert_eq!(answered(&read, Some("next"), &[]), expected);
    }

    #[test]
    fn the_end_of_a_shard_names_its_children() {
        let read = ReadAnswer { records: vec![], next_ordinal: 1, millis_behind: 0, end_of_shard: true };
        let children = description::children(&cases::split_stream("a", 600_000), ShardId(0));
        let half = (1u128 << 127) - 1;
        let child = |id: &str, start: u128, end: u128| {
            serde_json::json!({
                "ShardId": id,
                "ParentShards": ["shardId-000000000000"],
                "HashKeyRange": {"StartingHashKey": start.to_string(), "EndingHashKey": end.to_string()},
            })
        };
        let expected = serde_json::json!({
            "Records": [],
            "MillisBehindLatest": 0,
            "ChildShards": [
                child("shardId-000000000001", 0, half),
                child("shardId-000000000002", half + 1, u128::MAX),
            ],
        });
        assert_eq!(answered(&read, None, &children), expected);
    }

    #[test]
    fn iterators_expire_and_cannot_be_made_up() {
        let sealer = Sealer::new([7; 32]);
        let iterator =
            ShardIterator { stream_uid: 42, shard: ShardId(0), position: Position(1), issued_ms: NOW_MS };
        let text = sealer.seal_iterator(&iterator);
        assert_eq!(open_with(&sealer, &text, NOW_MS), Ok(iterator));
        assert_eq!(open_with(&sealer, &format!("\"{text}\""), NOW_MS), Ok(iterator));
        assert_eq!(open_with(&sealer, "AAAA", NOW_MS), Err(InvalidTarget::ShardIterator.into()));
        let late = open_with(&sealer, &text, NOW_MS + ITERATOR_LIFE_MS + 1);
        assert!(matches!(late, Err(Fault::ExpiredIterator { .. })));
    }

    #[test]
    fn an_iterator_belongs_to_its_stream_and_to_no_namesake() {
        let iterator =
            ShardIterator { stream_uid: 42, shard: ShardId(0), position: Position(1), issued_ms: NOW_MS };
        let mut stream = cases::stream("a", 1);
        assert!(find_stream(&cases::catalog(vec![stream.clone()]), &iterator).is_ok());
        let arn =
            |name: &str| format!(r#"{{"ShardIterator":"x","StreamARN":"{}"}}"#, stream.key.arn() + name);
        for (body, agrees) in
            [(arn(""), true), (arn("b"), false), (r#"{"ShardIterator":"x"}"#.to_owned(), true)]
        {
            let call = cases::call(&body);
            let input = cases::read::<GetRecordsInput>(&call).unwrap();
            assert_eq!(check_arn(&call, &input, &stream).is_ok(), agrees, "{body}");
        }
        stream.status = StreamStatus::Deleting;
        let deleting = find_stream(&cases::catalog(vec![stream.clone()]), &iterator);
        assert!(matches!(deleting, Err(Fault::ResourceNotFound(_))));
        stream.uid = 43;
        let namesake = find_stream(&cases::catalog(vec![stream]), &iterator);
        assert!(matches!(namesake, Err(Fault::ResourceNotFound(_))));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let long = "a".repeat(513);
        let body = format!(r#"{{"ShardIterator":"{long}","Limit":10001}}"#);
        let fault = cases::input::<GetRecordsInput>(&body).unwrap_err();
        let expected = cases::expected(&[
            (&long, "shardIterator", "Member must have length less than or equal to 512"),
            ("10001", "limit", "Member must have value less than or equal to 10000"),
        ]);
        assert_eq!(cases::violations(&fault), expected);
        let wrong = cases::input::<GetRecordsInput>(r#"{"ShardIterator":"a","Limit":"5"}"#).unwrap_err();
        let text = "class java.lang.String can not be converted to an Integer";
        assert_eq!(wrong.exception().text(), text);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let call = Call { body: body.into(), ..cases::call("") };
            let _ = cases::read::<GetRecordsInput>(&call);
        }
    }
}
