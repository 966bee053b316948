//! GetShardIterator: where to begin to read a shard.
//!
//! TRIM_HORIZON begins at the oldest record kept at the time of reading, LATEST after the newest one of now.
//! AT_ and AFTER_SEQUENCE_NUMBER take any number of the shard, that of a trimmed record and the shard's
//! StartingSequenceNumber too: reading begins at the first record kept at or after it.
//!
//! Limits: an iterator is good for 300 s; 5 per second and open shard. Errors: ResourceNotFound, only when the
//! shard is certainly gone; InvalidArgument for numbers of other shards or streams, for a time in the future, and
//! for a type without the member that it needs.

use std::sync::Arc;

use super::position::{self, Asked};
use crate::model::shard_id::ShardId;
use crate::ops::api::{GetShardIteratorInput, GetShardIteratorOutput};
use crate::ops::shard::open_shard;
use crate::ops::{Call, Fault, target};
use crate::service::Service;
use crate::service::iterator::{Position, ShardIterator};

/// Returns a sealed iterator at the requested position.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &GetShardIteratorInput,
) -> Result<GetShardIteratorOutput, Fault> {
    let key = target::key(call, input)?;
    let id = open_shard::parse(&key, &input.shard_id)?;
    // AWS denies the shard, not its stream (recorded).
    let stream = target::find(&service.catalog(), &key).map_err(|_| Fault::shard_not_found(&key, id))?;
    let shard = position::find_shard(&stream, &input.shard_id)?;
    let now_ms = service.now_ms();
    let begin = asked(input).begin(&stream, shard, service.latest_now_ms())?;
    let admitted = service.admit_iterator(&stream, shard);
    admitted.map_err(|error| Fault::of_shard(error, &stream.key, ShardId(shard.index)))?;
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    if input.dry_run == Some(true) {
        return Err(Fault::DryRun);
    }
    let iterator = ShardIterator {
        stream_uid: stream.uid,
        shard: ShardId(shard.index),
        position: Position(begin.ordinal(service, &stream, shard).await?),
        issued_ms: now_ms,
    };
    Ok(GetShardIteratorOutput { shard_iterator: Some(sealer.seal_iterator(&iterator)) })
}

fn asked(input: &GetShardIteratorInput) -> Asked<'_> {
    Asked {
        operation: "GetShardIterator",
        kind: input.shard_iterator_type,
        number: input.starting_sequence_number.as_deref(),
        time_ms: input.timestamp.map(|time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::position::Begin;
    use super::*;
    use crate::model::sequence_number::{ORDINAL_MAX, SequenceNumber};
    use crate::model::stream::{Stream, StreamStatus};
    use crate::ops::cases::{self, NOW_MS};

    fn begun(stream: &Stream, body: &str) -> Result<Begin, Fault> {
        let input = cases::input::<GetShardIteratorInput>(body)?;
        let shard = position::find_shard(stream, &input.shard_id)?;
        Ok(asked(&input).begin(stream, shard, NOW_MS)?)
    }

    fn at(kind: &str, rest: &str) -> String {
        format!(r#"{{"StreamName":"S","ShardId":"shardId-000000000000","ShardIteratorType":"{kind}"{rest}}}"#)
    }

    fn at_number(kind: &str, number: SequenceNumber) -> String {
        at(kind, &format!(r#","StartingSequenceNumber":"{number}""#))
    }

    fn first_shard_number(stream: &Stream, ordinal: u64) -> SequenceNumber {
        SequenceNumber { ordinal, ..SequenceNumber::starting(stream.shards[0].created_s, 0) }
    }

    #[test]
    fn every_type_has_its_place() {
        let stream = cases::stream("S", 2);
        let number = |ordinal| first_shard_number(&stream, ordinal);
        let continuation = SequenceNumber { after: true, ..number(7) };
        for (body, expected) in [
            (at("TRIM_HORIZON", ""), Begin::Ordinal(1)),
            (at("LATEST", ""), Begin::Latest),
            (at("AT_TIMESTAMP", r#","Timestamp":1699999999.5"#), Begin::Time(1_699_999_999_500)),
            (at("AT_TIMESTAMP", r#","Timestamp":-1"#), Begin::Time(0)),
            (at("AT_TIMESTAMP", r#","Timestamp":1700000000"#), Begin::Time(NOW_MS)),
            (at_number("AT_SEQUENCE_NUMBER", number(0)), Begin::Ordinal(1)),
            (at_number("AFTER_SEQUENCE_NUMBER", number(0)), Begin::Ordinal(1)),
            (at_number("AT_SEQUENCE_NUMBER", number(7)), Begin::Ordinal(7)),
            (at_number("AFTER_SEQUENCE_NUMBER", number(7)), Begin::Ordinal(8)),
            (at_number("AT_SEQUENCE_NUMBER", continuation), Begin::Ordinal(8)),
            (at_number("AFTER_SEQUENCE_NUMBER", continuation), Begin::Ordinal(8)),
        ] {
            assert_eq!(begun(&stream, &body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn the_ending_number_belongs_to_closed_shards() {
        let closed = cases::split_stream("S", 600_000);
        let ending = first_shard_number(&closed, ORDINAL_MAX);
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let body = at_number(kind, ending);
            assert_eq!(begun(&closed, &body), Ok(Begin::Ordinal(ORDINAL_MAX)));
            assert!(matches!(begun(&cases::stream("S", 1), &body), Err(Fault::InvalidPosition(_))));
        }
    }

    #[test]
    fn arguments_are_refused_in_aws_words() {
        let stream = cases::stream("S", 2);
        let number = first_shard_number(&stream, 7);
        let foreign = SequenceNumber { created_s: number.created_s - 1, ..number };
        let other_shard = SequenceNumber { shard: 7, ..number };
        for (body, expected) in [
            (
                at_number("AT_SEQUENCE_NUMBER", other_shard),
                "Invalid StartingSequenceNumber. It encodes shardId-000000000007, while it was used in a call to a \
                 shard with shardId-000000000000"
                    .to_owned(),
            ),
            (
                at_number("AFTER_SEQUENCE_NUMBER", foreign),
                format!(
                    "StartingSequenceNumber {foreign} used in GetShardIterator on shard shardId-000000000000 in \
                     stream S under account 000000000000 is invalid because it did not come from this stream."
                ),
            ),
            (
                at("AT_SEQUENCE_NUMBER", r#","StartingSequenceNumber":"5""#),
                "StartingSequenceNumber 5 used in GetShardIterator on shard shardId-000000000000 in stream S under \
                 account 000000000000 is invalid."
                    .to_owned(),
            ),
            (
                at("AFTER_SEQUENCE_NUMBER", ""),
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or \
                 (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified AFTER_SEQUENCE_NUMBER \
                 and no StartingSequenceNumber."
                    .to_owned(),
            ),
            (
                at_number("LATEST", number),
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or \
                 (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified LATEST and also a \
                 StartingSequenceNumber."
                    .to_owned(),
            ),
            (
                at("AT_TIMESTAMP", r#","Timestamp":1700000000.001"#),
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                 timestampInMillis: 1700000000001, currentTimestampInMillis: 1700000000000"
                    .to_owned(),
            ),
            (at("AT_TIMESTAMP", ""), "Must specify timestampInMillis for AT_TIMESTAMP iterator type.".to_owned()),
        ] {
            assert_eq!(cases::said(begun(&stream, &body)), ("InvalidArgumentException", expected), "{body}");
        }
    }

    #[test]
    fn only_a_shard_that_is_certainly_gone_is_not_found() {
        let mut stream = cases::stream("S", 2);
        let body =
            |shard: &str| format!(r#"{{"StreamName":"S","ShardId":"{shard}","ShardIteratorType":"LATEST"}}"#);
        let text = "Shard shardId-000000000009 in stream S under account 000000000000 does not exist";
        assert_eq!(
            cases::said(begun(&stream, &body("any-9"))),
            ("ResourceNotFoundException", text.to_owned())
        );
        assert!(matches!(begun(&stream, &body("x")), Err(Fault::ResourceNotFound(_))));
        assert_eq!(begun(&stream, &body("shardId-1")), Ok(Begin::Latest));
        stream.status = StreamStatus::Creating;
        assert!(matches!(begun(&stream, &body("shardId-1")), Err(Fault::Unavailable(_))));
        stream.status = StreamStatus::Deleting;
        assert!(matches!(begun(&stream, &body("shardId-1")), Err(Fault::ResourceNotFound(_))));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault =
            cases::input::<GetShardIteratorInput>(r#"{"ShardIteratorType":"x","ShardId":""}"#).unwrap_err();
        let expected = cases::expected(&[
            ("", "shardId", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
            ("", "shardId", "Member must have length greater than or equal to 1"),
            (
                "x",
                "shardIteratorType",
                "Member must satisfy enum value set: [AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, \
                 LATEST, AT_TIMESTAMP]",
            ),
        ]);
        assert_eq!(cases::violations(&fault), expected);
        let wrong =
            cases::input::<GetShardIteratorInput>(&at("AT_TIMESTAMP", r#","Timestamp":"now""#)).unwrap_err();
        let text = "class java.lang.String can not be converted to milliseconds since epoch";
        assert_eq!(wrong.exception().text(), text);
    }
}
