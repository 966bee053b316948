//! PutRecord: one record.
//!
//! Limits: the stream's record size; the budget of the shard. Errors: ResourceNotFound also while the stream is
//! CREATING or DELETING; InvalidArgument for size, hash key and a SequenceNumberForOrdering that no shard can have
//! given out; ProvisionedThroughputExceeded. SequenceNumberForOrdering is only checked: the order of a shard's
//! records is strict without it.

mod cbor;
mod json;

use std::sync::Arc;

use super::entry::{self, Entry};
use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Stream, StreamKey};
use crate::ops::api::validate::Violations;
use crate::ops::api::{Operation, PutRecordInput, Request};
use crate::ops::fault::{InvalidRecords, Unavailable};
use crate::ops::{Call, Codec, Fault, Reply, target};
use crate::service::{AppendFailure, PutRefusal, Service};

/// Puts the record.
pub async fn run(service: &Arc<Service>, call: &Call) -> Result<Reply, Fault> {
    match call.codec {
        Codec::Json => {
            if let Some(fast) = json::read(&call.body)
                && let Some(entry) = fast.entry()
            {
                return put(service, call, &Put::plain(call, fast.stream_name(), entry)?).await;
            }
        }
        Codec::Cbor => {
            if let Some((stream_name, entry)) = cbor::read(&call.body) {
                return put(service, call, &Put::plain(call, stream_name, entry)?).await;
            }
        }
    }
    let Request::PutRecord(input) = call.read(Operation::PutRecord)? else { unreachable!("a PutRecord") };
    put_input(service, call, &input).await
}

/// Puts the record of a request that no fast way takes.
pub async fn put_input(service: &Arc<Service>, call: &Call, input: &PutRecordInput) -> Result<Reply, Fault> {
    let after = input.sequence_number_for_ordering.as_deref();
    let is_dry_run = input.dry_run == Some(true);
    put(service, call, &Put { key: target::key(call, input)?, entry: entry(input), after, is_dry_run }).await
}

fn entry(input: &PutRecordInput) -> Entry<'_> {
    Entry::from_members(&input.data, input.partition_key.as_ref(), input.explicit_hash_key.as_ref())
}

/// Whether the fast reader, if it takes the request, reads it like the table of members.
pub fn paths_agree(call: &Call, input: Option<&PutRecordInput>) -> bool {
    match call.codec {
        Codec::Json => json::read(&call.body)
            .is_none_or(|fast| fast.entry().is_none_or(|entry| is_same(fast.stream_name(), &entry, input))),
        Codec::Cbor => {
            cbor::read(&call.body).is_none_or(|(stream_name, entry)| is_same(stream_name, &entry, input))
        }
    }
}

fn is_same(stream_name: &str, fast: &Entry<'_>, input: Option<&PutRecordInput>) -> bool {
    input.is_some_and(|input| {
        input.stream_name.as_deref() == Some(stream_name)
            && input.stream_arn.is_none()
            && input.sequence_number_for_ordering.is_none()
            && input.dry_run != Some(true)
            && entry(input) == *fast
    })
}

struct Put<'a> {
    key: StreamKey,
    entry: Entry<'a>,
    after: Option<&'a str>,
    is_dry_run: bool,
}

impl<'a> Put<'a> {
    /// A put of a request with no more than a name and a record.
    fn plain(call: &Call, stream_name: &str, entry: Entry<'a>) -> Result<Self, Fault> {
        let key = target::named(call, Some(stream_name), None)?;
        Ok(Self { key, entry, after: None, is_dry_run: false })
    }
}

async fn put(service: &Arc<Service>, call: &Call, put: &Put<'_>) -> Result<Reply, Fault> {
    let stream = target::find(&service.catalog(), &put.key)?;
    entry::check_takes_records(&stream)?;
    if let Some(after) = put.after {
        check_ordering(&stream, after, newest_ms(service, &stream, after))?;
    }
    let mut violations = Violations::default();
    put.entry.check_key(&stream, || "partitionKey".to_owned(), &mut violations);
    violations.into_result()?;
    let record = put.entry.record(&stream)?;
    if put.is_dry_run {
        return Err(Fault::DryRun);
    }
    let results = service.appender().append(&stream, std::slice::from_ref(&record), None).await;
    let result = results.into_iter().next().expect("an append answers for every record");
    let placed = result.map_err(|refusal| refused(&stream.key, &refusal, service.put_refusal()))?;
    let answer = match call.codec {
        Codec::Json => json::write_answer(&placed),
        Codec::Cbor => cbor::write_answer(&placed),
    };
    Ok(Reply::Complete(answer.into()))
}

/// The latest instant that a sequence number can carry: now by any node's clock, or that of the newest record of its
/// shard, which a clock that went back leaves ahead of now.
fn newest_ms(service: &Service, stream: &Stream, number: &str) -> u64 {
    let shard = SequenceNumber::parse(number).and_then(|number| stream.shard(number.shard));
    let last_ms =
        shard.and_then(|shard| service.bounds(stream, shard)).map_or(0, |bounds| bounds.last_time_ms);
    service.latest_now_ms().max(last_ms)
}

fn check_ordering(stream: &Stream, after: &str, newest_ms: u64) -> Result<(), Fault> {
    // Shards that come of quick reshards are created ahead of their time.
    let newest_s = newest_ms / 1_000;
    let created_s =
        stream.shards.iter().map(|shard| shard.created_s).max().map_or(newest_s, |last| newest_s.max(last));
    let is_past = |number: SequenceNumber| number.time_s <= newest_s && number.created_s <= created_s;
    if SequenceNumber::parse(after).is_some_and(is_past) {
        return Ok(());
    }
    let (key, number) = (stream.key.clone(), after.to_owned());
    Err(InvalidRecords::MinimumSequenceNumber { key, number }.into())
}

/// `of_node` is why the node refuses all puts, if it does.
fn refused(key: &StreamKey, refusal: &AppendFailure, of_node: Option<PutRefusal>) -> Fault {
    match refusal {
        AppendFailure::Throttled { shard } => Fault::rate_exceeded(key, ShardId(*shard)),
        AppendFailure::Unknown => Fault::Internal,
        // This protocol's records have no producer.
        AppendFailure::ProducerStale | AppendFailure::ProducerTableFull => Fault::Internal,
        AppendFailure::Unavailable => Fault::Unavailable(Unavailable::Puts(of_node)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::cases::{self, NOW_MS};
    use crate::service::AppendedRecord;

    #[test]
    fn both_paths_of_reading_agree() {
        let stream = cases::stream("a", 1);
        for (body, is_fast) in [
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k"}"#, true),
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k","ExplicitHashKey":"5"}"#, true),
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k","DryRun":false}"#, false),
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k","New":{}}"#, false),
        ] {
            let call = cases::call(body);
            let input = cases::read::<PutRecordInput>(&call).unwrap();
            let slow = entry(&input).record(&stream).unwrap();
            let fast = json::read(&call.body);
            assert_eq!(fast.is_some(), is_fast, "{body}");
            if let Some(fast) = fast {
                assert_eq!(fast.entry().unwrap().record(&stream).unwrap(), slow);
            }
        }
    }

    #[test]
    fn both_paths_of_reading_cbor_agree() {
        let stream = cases::stream("a", 1);
        for (body, is_fast) in [
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k"}"#, true),
            (r#"{"ExplicitHashKey":"5","StreamName":"a","Data":"aGk=","PartitionKey":"k"}"#, true),
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k","DryRun":false}"#, false),
            (r#"{"StreamName":"a","Data":"aGk=","PartitionKey":"k","New":{}}"#, false),
        ] {
            let call = cases::cbor_call(body);
            let input = cases::read::<PutRecordInput>(&call).unwrap();
            let slow = entry(&input).record(&stream).unwrap();
            let fast = cbor::read(&call.body).map(|(name, entry)| (name, entry.record(&stream).unwrap()));
            assert_eq!(fast, is_fast.then_some(("a", slow)), "{body}");
        }
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let body = r#"{"StreamName":"a","SequenceNumberForOrdering":"x","StreamId":"x"}"#;
        let fault = cases::input::<PutRecordInput>(body).unwrap_err();
        let expected = cases::expected(&[
            ("null", "data", "Member must not be null"),
            (
                "x",
                "sequenceNumberForOrdering",
                r"Member must satisfy regular expression pattern: 0|([1-9]\d{0,128})",
            ),
            ("x", "streamId", "Member must satisfy regular expression pattern: [a-z0-9]{20}-[a-z0-9]{3}"),
        ]);
        assert_eq!(cases::violations(&fault), expected);
    }

    #[test]
    fn a_number_to_order_by_must_exist_by_now() {
        let stream = cases::stream("a", 1);
        let at =
            |time_s| SequenceNumber { time_s, ordinal: 7, ..SequenceNumber::starting(time_s, 0) }.to_string();
        let now_s = NOW_MS / 1_000;
        assert_eq!(check_ordering(&stream, &at(now_s), NOW_MS), Ok(()));
        let created_later = SequenceNumber { time_s: now_s, ..SequenceNumber::starting(now_s + 1, 0) };
        for text in [at(now_s + 1), created_later.to_string(), "0".to_owned(), "123".to_owned()] {
            let expected = format!(
                "ExclusiveMinimumSequenceNumber {text} used in PutRecord on stream a under account 000000000000 is \
                 invalid."
            );
            let found = check_ordering(&stream, &text, NOW_MS);
            assert_eq!(cases::said(found), ("InvalidArgumentException", expected));
        }
    }

    #[test]
    fn the_answer_tells_shard_and_number() {
        let placed =
            AppendedRecord { shard: 0, created_s: 1_421_279_230, ordinal: 469, time_ms: 1_421_279_386_123 };
        let expected = r#"{"SequenceNumber":"49546986683135544286507457936321625675700192471156785154","ShardId":"shardId-000000000000"}"#;
        assert_eq!(str::from_utf8(&json::write_answer(&placed)), Ok(expected));
        let same = Codec::Json.decode(&expected.into());
        assert_eq!(Codec::Cbor.decode(&cbor::write_answer(&placed).into()), same);
    }

    #[test]
    fn refusals_become_faults() {
        let key = cases::stream("a", 1).key;
        let text = "Rate exceeded for shard shardId-000000000003 in stream a under account 000000000000.";
        let throttled = refused(&key, &AppendFailure::Throttled { shard: 3 }, None);
        assert_eq!(throttled, Fault::rate_exceeded(&key, ShardId(3)));
        assert_eq!(throttled.exception().text(), text);
        assert_eq!(refused(&key, &AppendFailure::Unknown, None), Fault::Internal);
        assert!(matches!(refused(&key, &AppendFailure::Unavailable, None), Fault::Unavailable(_)));
        let low = PutRefusal::SpaceLow { free: 12 << 20, reserved: 40 << 20 };
        let text = "The record was not written, because the disk is almost full (12 MiB are free, and 40 MiB stay free by \
            --disk-reserve); try again.";
        assert_eq!(refused(&key, &AppendFailure::Unavailable, Some(low)).exception().text(), text);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let call = Call { body: body.into(), ..cases::call("") };
            let _ = json::read(&call.body);
            let _ = cbor::read(&call.body);
            let cbor = Call { codec: Codec::Cbor, ..call.clone() };
            let _ = cases::read::<PutRecordInput>(&cbor);
            let _ = cases::read::<PutRecordInput>(&call);
        }
    }
}
