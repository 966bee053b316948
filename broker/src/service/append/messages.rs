//! Records on their way between nodes, and their outcomes, as `peer.proto` has them; messages of peers are checked.
//! Called by [`super::forward`] and [`super::receive`].

use bytes::Bytes;
use prost::Message;
use tidelog_proto::peer;
use tidelog_storage::record::Records;
use tidelog_storage::shard::ShardKey;
use tokio::time::Instant;

use super::outcomes::{BatchOutcome, PartError};
use super::prepare::GroupPart;
use crate::model::producer::{Positions, Stamp};
use crate::model::producers::{ProducerRefusal, Run};
use crate::replication::{AppendOutcome, Origin, SubBatch};

/// Encodes a part for the leader of its group.
pub(in crate::service) fn send_part(part: &GroupPart, deadline: Instant) -> peer::PutRequest {
    let time_left = deadline.saturating_duration_since(Instant::now());
    peer::PutRequest {
        group: part.group.into(),
        batches: part.batches.iter().map(send_batch).collect(),
        is_charged: part.is_charged,
        deadline_ms: u32::try_from(time_left.as_millis()).unwrap_or(u32::MAX),
        ..peer::PutRequest::default()
    }
}

/// Encodes a sub-batch for the leader of its group.
fn send_batch(batch: &SubBatch) -> peer::PutBatch {
    let origin = |origin: &Origin| peer::Origin {
        producer: origin.stamp.producer(),
        batch: origin.stamp.batch(),
        settled_below: origin.stamp.settled_below(),
        positions: origin.positions.words().to_vec(),
        created_s: origin.created_s,
    };
    peer::PutBatch {
        stream_uid: batch.shard.stream_uid,
        shard: batch.shard.shard,
        count: batch.count,
        body: batch.body.clone(),
        body_crc: batch.body_crc,
        origin: batch.origin.as_deref().map(origin),
    }
}

/// `None` for a damaged one.
pub(in crate::service) fn read_batch(batch: peer::PutBatch) -> Option<SubBatch> {
    let key = ShardKey { stream_uid: batch.stream_uid, shard: batch.shard };
    let read = SubBatch::new(key, 0, batch.count, batch.body);
    let mut records = Records::new(read.body.clone());
    let is_complete =
        (0..read.count).all(|_| matches!(records.next(), Some(Ok(_)))) && records.next().is_none();
    let is_sound = read.count > 0 && read.body_crc == batch.body_crc && is_complete;
    let origin = match batch.origin {
        Some(origin) => Some(read_origin(&origin).filter(|origin| origin.positions.len() == read.count)?),
        None => None,
    };
    is_sound.then(|| read.with_origin(origin))
}

fn read_origin(origin: &peer::Origin) -> Option<Origin> {
    Some(Origin {
        stamp: Stamp::new(origin.producer, origin.batch, origin.settled_below).ok()?,
        positions: Positions::from_words(&origin.positions)?,
        created_s: origin.created_s,
    })
}

/// Encodes the outcome of a part.
pub(in crate::service) fn send_response(received: Result<Vec<BatchOutcome>, PartError>) -> peer::PutResponse {
    let (outcome, results, refusal) = match received {
        Ok(delivered) => {
            (peer::Outcome::Applied, delivered.into_iter().map(send_outcome).collect(), String::new())
        }
        Err(PartError::Refused(reason)) => (peer::Outcome::NotProposed, Vec::new(), reason),
        Err(PartError::NotProposed | PartError::NoLeader | PartError::NoRoom) => {
            (peer::Outcome::NotProposed, Vec::new(), String::new())
        }
        Err(PartError::Unknown) => (peer::Outcome::Unknown, Vec::new(), String::new()),
    };
    peer::PutResponse { outcome: outcome.into(), results, id: 0, refusal }
}

/// The answer for a sub-batch.
fn send_outcome(delivered: BatchOutcome) -> peer::PutResult {
    use peer::put_result::Kind;
    let mut result = peer::PutResult { throttled: delivered.throttled, ..Default::default() };
    let kind = match delivered.outcome {
        Some(AppendOutcome::Appended { first_ordinal, time_ms }) => {
            (result.first_ordinal, result.time_ms) = (first_ordinal, time_ms);
            Kind::Appended
        }
        Some(AppendOutcome::NoSuchShard) => Kind::NoSuchShard,
        Some(AppendOutcome::Sealed) => Kind::Sealed,
        Some(AppendOutcome::Duplicate(runs)) => {
            result.runs = runs.iter().map(send_run).collect();
            Kind::Duplicate
        }
        Some(AppendOutcome::Refused(ProducerRefusal::Stale)) => Kind::ProducerStale,
        Some(AppendOutcome::Refused(ProducerRefusal::TableFull)) => Kind::ProducerTableFull,
        None => Kind::Throttled,
    };
    result.kind = kind.into();
    result
}

fn send_run(run: &Run) -> peer::put_result::Run {
    peer::put_result::Run {
        positions: run.positions.words().to_vec(),
        shard: run.shard,
        created_s: run.created_s,
        first_ordinal: run.first_ordinal,
        time_ms: run.time_ms,
    }
}

fn read_run(run: &peer::put_result::Run) -> Option<Run> {
    Some(Run {
        positions: Positions::from_words(&run.positions)?,
        shard: run.shard,
        created_s: run.created_s,
        first_ordinal: run.first_ordinal,
        time_ms: run.time_ms,
    })
}

/// Decodes a leader's answer for these sub-batches.
///
/// # Errors
/// [`PartError`]; an answer that does not fit them leaves the outcome unknown.
pub(in crate::service) fn read_response(
    answer: peer::PutResponse,
    sent: &[SubBatch],
) -> Result<Vec<BatchOutcome>, PartError> {
    // A number that this version does not know may stand for anything.
    match peer::Outcome::try_from(answer.outcome).unwrap_or(peer::Outcome::Unknown) {
        peer::Outcome::Applied if answer.results.len() == sent.len() => {}
        peer::Outcome::NotProposed if answer.refusal.is_empty() => return Err(PartError::NotProposed),
        peer::Outcome::NotProposed => return Err(PartError::Refused(answer.refusal)),
        peer::Outcome::Applied | peer::Outcome::Unknown => return Err(PartError::Unknown),
    }
    let read = |(result, sent)| read_result(result, sent).ok_or(PartError::Unknown);
    answer.results.into_iter().zip(sent).map(read).collect()
}

fn read_result(result: peer::PutResult, sent: &SubBatch) -> Option<BatchOutcome> {
    use peer::put_result::Kind;
    let is_sound = result.throttled.is_sorted_by(|a, b| a < b)
        && result.throttled.last().is_none_or(|last| *last < sent.count);
    let outcome = match Kind::try_from(result.kind).ok()? {
        Kind::Appended => {
            let peer::PutResult { first_ordinal, time_ms, .. } = result;
            Some(AppendOutcome::Appended { first_ordinal, time_ms })
        }
        Kind::NoSuchShard => Some(AppendOutcome::NoSuchShard),
        Kind::Sealed => Some(AppendOutcome::Sealed),
        Kind::Duplicate => {
            let runs = result.runs.iter().map(read_run).collect::<Option<_>>()?;
            Some(AppendOutcome::Duplicate(runs))
        }
        Kind::ProducerStale => Some(AppendOutcome::Refused(ProducerRefusal::Stale)),
        Kind::ProducerTableFull => Some(AppendOutcome::Refused(ProducerRefusal::TableFull)),
        Kind::Throttled => None,
    };
    is_sound.then_some(BatchOutcome { outcome, throttled: result.throttled })
}

/// Reads a request of records as one that a peer sends, and returns whether a node takes all of its batches: fuzz
/// targets call it with any bytes.
///
/// # Panics
/// When a batch that is taken is sent with other contents than were read.
pub fn check_peer_put(body: Bytes) -> bool {
    let Ok(request) = peer::PutRequest::decode(body) else { return false };
    request.batches.into_iter().all(|batch| {
        let Some(read) = read_batch(batch) else { return false };
        assert!(read_batch(send_batch(&read)) == Some(read), "a batch is read as it was sent");
        true
    })
}

#[cfg(test)]
mod tests {
    use tidelog_storage::record::RecordRef;

    use super::*;

    fn body(records: &[(&str, &str)]) -> Bytes {
        let mut body = Vec::new();
        for (key, data) in records {
            let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
            RecordRef { key, data: data.as_bytes() }.encode(&mut body);
        }
        body.into()
    }

    fn sent(count: u32) -> SubBatch {
        SubBatch::new(
            ShardKey { stream_uid: 1, shard: 0 },
            0,
            count,
            body(&vec![("k", "data"); count as usize]),
        )
    }

    #[test]
    fn damaged_batches_are_not_taken() {
        let good = sent(2);
        let put = |count, body: &Bytes, body_crc| peer::PutBatch {
            stream_uid: 1,
            shard: 0,
            count,
            body: body.clone(),
            body_crc,
            origin: None,
        };
        let cut = good.body.slice(..good.body.len() - 1);
        for (batch, is_taken) in [
            (put(2, &good.body, good.body_crc), true),
            (put(2, &good.body, good.body_crc ^ 1), false),
            (put(1, &good.body, good.body_crc), false),
            (put(3, &good.body, good.body_crc), false),
            (put(0, &Bytes::new(), 0), false),
            (put(2, &cut, crc32fast::hash(&cut)), false),
        ] {
            assert_eq!(read_batch(batch.clone()).is_some(), is_taken, "{batch:?}");
        }
    }

    #[test]
    fn stamped_batches_come_as_they_went() {
        let origin = Origin {
            stamp: Stamp::new(u64::MAX, 9, 4).expect("a stamp"),
            positions: [0, 499].into_iter().collect(),
            created_s: 1_700_000_000,
        };
        let stamped = sent(2).with_origin(Some(origin));
        let put = send_batch(&stamped);
        assert!(read_batch(put.clone()) == Some(stamped));
        let sound = put.origin.clone().expect("an origin");
        for origin in [
            peer::Origin { producer: 0, ..sound.clone() },
            peer::Origin { settled_below: 10, ..sound.clone() },
            peer::Origin { positions: vec![1], ..sound.clone() },
            peer::Origin { positions: vec![1; 9], ..sound.clone() },
            peer::Origin { positions: Vec::new(), ..sound.clone() },
        ] {
            let put = peer::PutBatch { origin: Some(origin.clone()), ..put.clone() };
            assert!(read_batch(put).is_none(), "{origin:?}");
        }
    }

    #[test]
    fn every_outcome_comes_as_it_went() {
        let run = Run {
            positions: [1, 70].into_iter().collect(),
            shard: 3,
            created_s: 4,
            first_ordinal: 5,
            time_ms: 6,
        };
        for (outcome, throttled) in [
            (Some(AppendOutcome::Appended { first_ordinal: 7, time_ms: 9 }), vec![1]),
            (Some(AppendOutcome::NoSuchShard), vec![]),
            (Some(AppendOutcome::Sealed), vec![0]),
            (Some(AppendOutcome::Duplicate(vec![run; 2])), vec![]),
            (Some(AppendOutcome::Refused(ProducerRefusal::Stale)), vec![]),
            (Some(AppendOutcome::Refused(ProducerRefusal::TableFull)), vec![]),
            (None, vec![0, 1, 2]),
        ] {
            let delivered = BatchOutcome { outcome, throttled };
            assert_eq!(read_result(send_outcome(delivered.clone()), &sent(3)), Some(delivered));
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_leaves_the_outcome_unknown() {
        let appended = || Some(AppendOutcome::Appended { first_ordinal: 7, time_ms: 9 });
        let answer = |throttled: &[u32], outcome| {
            send_outcome(BatchOutcome { outcome, throttled: throttled.to_vec() })
        };
        let answered = |results| peer::PutResponse {
            outcome: peer::Outcome::Applied.into(),
            results,
            ..Default::default()
        };
        for (results, is_read) in [
            (vec![answer(&[], appended())], true),
            (vec![answer(&[0, 2], appended())], true),
            (vec![answer(&[0, 1, 2], None)], true),
            (vec![answer(&[], Some(AppendOutcome::Sealed))], true),
            (vec![answer(&[3], appended())], false),
            (vec![answer(&[1, 1], appended())], false),
            (vec![], false),
            (vec![answer(&[], appended()); 2], false),
        ] {
            let read = read_response(answered(results.clone()), &[sent(3)]);
            assert_eq!(read.is_ok(), is_read, "{results:?}");
            assert!(is_read || read == Err(PartError::Unknown));
        }
        let newer = peer::PutResult { kind: 99, ..answer(&[], appended()) };
        assert_eq!(read_response(answered(vec![newer]), &[sent(3)]), Err(PartError::Unknown));
        let newer = peer::PutResponse { outcome: 99, ..answered(vec![answer(&[], appended())]) };
        assert_eq!(read_response(newer, &[sent(3)]), Err(PartError::Unknown));
        for undelivered in [PartError::NotProposed, PartError::Unknown, PartError::Refused("no space".into())]
        {
            let answer = send_response(Err(undelivered.clone()));
            assert_eq!(read_response(answer, &[sent(3)]), Err(undelivered));
        }
    }
}
