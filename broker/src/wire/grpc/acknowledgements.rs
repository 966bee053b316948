//! Framed PutStreamResponses, written without a message in between: there is one for every few hundred records.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tidelog_proto::v1::{PutResult, PutStreamResponse, put_result};

use super::framing::{PREFIX_BYTES, framed};
use super::status;
use crate::model::sequence_number::DIGITS;
use crate::model::shard_id::ShardId;
use crate::ops::native::AcknowledgementWriter;
use crate::service::{AppendFailure, AppendedRecord};

/// Number of `results` in a PutStreamResponse.
const RESULTS: u8 = 2;
/// Number of `record` in a PutResult.
const RECORD: u8 = 1;
/// Numbers of the members of an AppendedRecord.
const SHARD_ID: u8 = 1;
const SEQUENCE_NUMBER: u8 = 2;
/// Bytes of a tag and a length below 128.
const HEAD_BYTES: usize = 2;
/// Bytes of an AppendedRecord.
const RECORD_BYTES: usize = HEAD_BYTES + ShardId::LENGTH + HEAD_BYTES + DIGITS;
/// Bytes of a PutResult with an AppendedRecord.
const RESULT_BYTES: usize = HEAD_BYTES + RECORD_BYTES;
const _: () = assert!(RESULT_BYTES < 128);

type Results = [Result<AppendedRecord, AppendFailure>];

/// A result for each record.
pub(super) fn each(position: u64, results: &Results) -> Bytes {
    let mut out = begun(position, BTreeMap::new(), results.len() * (HEAD_BYTES + RESULT_BYTES));
    let mut writer = AcknowledgementWriter::default();
    for result in results {
        match result {
            Ok(record) => {
                out.extend_from_slice(&head(RESULTS, RESULT_BYTES));
                out.extend_from_slice(&head(RECORD, RECORD_BYTES));
                out.extend_from_slice(&head(SHARD_ID, ShardId::LENGTH));
                ShardId(record.shard).write(&mut out);
                out.extend_from_slice(&head(SEQUENCE_NUMBER, DIGITS));
                writer.write_sequence_number(record, &mut out);
            }
            Err(refusal) => {
                let result = put_result::Result::Failure(status::failure(*refusal));
                out.push(tag(RESULTS));
                out.extend(PutResult { result: Some(result) }.encode_length_delimited_to_vec());
            }
        }
    }
    framed(out)
}

/// The failed records, by their place.
pub(super) fn failed(position: u64, results: &Results) -> Bytes {
    let failure = |(place, result): (u32, &Result<AppendedRecord, AppendFailure>)| {
        let refusal = result.as_ref().err()?;
        Some((place, status::failure(*refusal)))
    };
    framed(begun(position, (0..).zip(results).filter_map(failure).collect(), 0))
}

/// A response without results, behind room for its prefix and before room for `more` bytes.
fn begun(position: u64, failures: BTreeMap<u32, tidelog_proto::v1::Failure>, more: usize) -> Vec<u8> {
    let begun = PutStreamResponse { position, results: Vec::new(), failures };
    let mut out = Vec::with_capacity(PREFIX_BYTES + begun.encoded_len() + more);
    out.resize(PREFIX_BYTES, 0);
    begun.encode(&mut out).expect("memory grows");
    out
}

/// Tag and length of a member that has a length.
const fn head(number: u8, length: usize) -> [u8; HEAD_BYTES] {
    [tag(number), length as u8]
}

/// Tag of a member that has a length.
const fn tag(number: u8) -> u8 {
    const LENGTH_DELIMITED: u8 = 2;
    number << 3 | LENGTH_DELIMITED
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    fn read(framed: &Bytes) -> PutStreamResponse {
        let length = u32::try_from(framed.len() - PREFIX_BYTES).unwrap();
        assert_eq!(framed[..PREFIX_BYTES], [&[0][..], &length.to_be_bytes()].concat());
        PutStreamResponse::decode(framed.slice(PREFIX_BYTES..)).unwrap()
    }

    #[test]
    fn acknowledgements_read_as_the_messages_they_are() {
        let record = |shard, ordinal| AppendedRecord {
            shard,
            created_s: 1_700_000_000,
            ordinal,
            time_ms: 1_700_000_001_234,
        };
        let results = [
            Ok(record(0, 0)),
            Ok(record(0, 1)),
            Err(AppendFailure::Throttled { shard: 7 }),
            Ok(record(2_147_483_647, 1 << 40)),
            Err(AppendFailure::Unknown),
        ];
        for position in [0, 1, 127, 128, u64::MAX] {
            let expected = PutStreamResponse {
                position,
                results: messages::results(&results),
                failures: BTreeMap::new(),
            };
            assert_eq!(read(&each(position, &results)), expected);
            let read = read(&failed(position, &results));
            assert_eq!((read.position, read.results.len()), (position, 0));
            let failed: Vec<_> =
                read.failures.iter().map(|(place, failure)| (*place, &*failure.reason)).collect();
            assert_eq!(failed, [(2, "THROTTLED"), (4, "UNKNOWN_OUTCOME")]);
        }
    }
}
