//! Records that came to another node, for a group that is led here: charged, dated and proposed here.
//!
//! They come encoded, and go into the log as they are unless some of a sub-batch are beyond their shard's limits: these
//! are left out. Nothing is charged when the group is led elsewhere. Called by the peers' server, and by
//! [`super::forward`] when this node has become the leader.

use std::time::Duration;

use bytes::Bytes;
use tidelog_proto::peer;
use tidelog_storage::record::{self, BodyError, Records};
use tidelog_storage::shard::ShardKey;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Service;
use crate::model::stream::{Catalog, Shard, Stream};
use crate::replication::{AppendOutcome, DATA_GROUPS, Leader, META_GROUP, ProposeError, SubBatch};

/// How long a part waits for the end of an election that this node may have won.
const TAKING_OVER: Duration = Duration::from_millis(200);

/// What became of a sub-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What became of the records that were not beyond their shard's limits; `None` when all were.
    pub outcome: Option<AppendOutcome>,
    /// Positions in the sub-batch of those that were, ascending; they were left out.
    pub throttled: Vec<u32>,
}

/// Why a part has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Nothing was proposed: another node leads the group.
    #[error("not proposed")]
    NotProposed,
    /// Nothing was proposed: this node takes no records right now.
    #[error("{0}")]
    Refused(String),
    /// It may be applied or not, now or later.
    #[error("outcome unknown")]
    Unknown,
}

impl From<ProposeError> for Undelivered {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotProposed => Self::NotProposed,
            ProposeError::Unknown => Self::Unknown,
        }
    }
}

impl From<oneshot::error::RecvError> for Undelivered {
    fn from(_: oneshot::error::RecvError) -> Self {
        Self::Unknown
    }
}

impl From<BodyError> for Undelivered {
    fn from(error: BodyError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Service {
    /// Takes a part of a request that came to another node. One outcome per sub-batch.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub async fn receive(
        &self,
        group: u8,
        mut batches: Vec<SubBatch>,
        is_paid: bool,
    ) -> Result<Vec<Delivered>, Undelivered> {
        // Whoever is told of a new leader asks it at once: before it knows of itself that a majority follows it.
        if self.groups.leader_within(group, Instant::now() + TAKING_OVER).await != Leader::Here {
            return Err(Undelivered::NotProposed);
        }
        if let Some(reason) = self.put_refusal() {
            return Err(Undelivered::Refused(reason.to_owned()));
        }
        let mut delivered = vec![Delivered { outcome: None, throttled: Vec::new() }; batches.len()];
        if !is_paid {
            let catalog = self.catalog_with(&batches).await?;
            for (batch, delivered) in batches.iter_mut().zip(&mut delivered) {
                match find(&catalog, batch.shard) {
                    Some((stream, shard)) => delivered.throttled = self.charge_batch(stream, shard, batch)?,
                    None => delivered.outcome = Some(AppendOutcome::NoSuchShard),
                }
            }
        }
        let now_ms = self.now_ms();
        let mut going = Vec::with_capacity(batches.len());
        let mut awaited = Vec::with_capacity(batches.len());
        for (batch, delivered) in batches.into_iter().zip(&mut delivered) {
            if batch.count > 0 && delivered.outcome.is_none() {
                going.push(SubBatch { time_ms: now_ms, ..batch });
                awaited.push(&mut delivered.outcome);
            }
        }
        if !going.is_empty() {
            // What finds no room was not queued.
            let queueing = self.groups.while_led_here(group, self.groups.append(group, going));
            let outcome = queueing.await.ok_or(Undelivered::NotProposed)?;
            let outcomes =
                self.groups.while_led_here(group, outcome).await.ok_or(Undelivered::Unknown)???;
            assert_eq!(outcomes.len(), awaited.len(), "one outcome per sub-batch");
            for (outcome, awaited) in outcomes.into_iter().zip(awaited) {
                *awaited = Some(outcome);
            }
        }
        Ok(delivered)
    }

    /// A catalog that has the shards of all of those, unless they are gone: the node that sends them may have heard of
    /// them earlier.
    async fn catalog_with(&self, batches: &[SubBatch]) -> Result<std::sync::Arc<Catalog>, Undelivered> {
        let catalog = self.catalog();
        if batches.iter().all(|batch| find(&catalog, batch.shard).is_some()) {
            return Ok(catalog);
        }
        self.groups.read_index(META_GROUP).await.map_err(|_| Undelivered::NotProposed)?;
        Ok(self.catalog())
    }

    /// Charges the records of a sub-batch and leaves out those beyond the shard's limits, whose positions are returned.
    fn charge_batch(
        &self,
        stream: &Stream,
        shard: &Shard,
        batch: &mut SubBatch,
    ) -> Result<Vec<u32>, BodyError> {
        let records = Records::new(batch.body.clone()).collect::<Result<Vec<_>, _>>()?;
        let sized = (0..records.len()).map(|at| (at as u32, records[at].charged_bytes()));
        let mut throttled = Vec::new();
        self.charge(stream, shard, self.now_ms(), sized, |position| throttled.push(position));
        if !throttled.is_empty() {
            let count = batch.count - throttled.len() as u32;
            *batch = SubBatch::new(batch.shard, 0, count, without(&batch.body, &records, &throttled));
        }
        Ok(throttled)
    }

    /// Takes a part for a peer.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when this node takes no records now; INVALID_ARGUMENT for what is damaged. Nothing was
    /// proposed then.
    pub async fn receive_for(
        &self,
        request: peer::PutRequest,
    ) -> Result<peer::PutResponse, Box<tonic::Status>> {
        let group = u8::try_from(request.group).ok().filter(|group| (1..=DATA_GROUPS).contains(group));
        let batches = request.batches.into_iter().map(read_batch).collect::<Option<Vec<_>>>();
        let (Some(group), Some(batches)) = (group, batches) else {
            return Err(Box::new(tonic::Status::invalid_argument("records that are damaged")));
        };
        match self.receive(group, batches, request.is_paid).await {
            Ok(delivered) => Ok(peer::PutResponse {
                outcome: peer::Outcome::Applied.into(),
                results: delivered.into_iter().map(send_delivered).collect(),
            }),
            Err(Undelivered::Refused(reason)) => Err(Box::new(tonic::Status::resource_exhausted(reason))),
            Err(Undelivered::NotProposed) => Ok(without_outcome(peer::Outcome::NotProposed)),
            Err(Undelivered::Unknown) => Ok(without_outcome(peer::Outcome::Unknown)),
        }
    }
}

fn find(catalog: &Catalog, key: ShardKey) -> Option<(&Stream, &Shard)> {
    let stream = catalog.by_uid(key.stream_uid)?;
    Some((stream, stream.shard(key.shard)?))
}

/// A body without some of its records.
fn without(body: &Bytes, records: &[record::Record], left_out: &[u32]) -> Bytes {
    let mut kept = Vec::with_capacity(body.len());
    let (mut offset, mut left_out) = (0, left_out.iter().peekable());
    for (at, record) in (0..).zip(records) {
        let key_bytes = record.partition_key.as_ref().map_or(0, Bytes::len);
        let end = offset + record::encoded_len(key_bytes, record.data.len());
        if left_out.next_if_eq(&&at).is_none() {
            kept.extend_from_slice(&body[offset..end]);
        }
        offset = end;
    }
    kept.into()
}

/// `None` for what is damaged.
fn read_batch(batch: peer::PutBatch) -> Option<SubBatch> {
    let key = ShardKey { stream_uid: batch.stream_uid, shard: batch.shard };
    let read = SubBatch::new(key, 0, batch.count, batch.body);
    let mut records = Records::new(read.body.clone());
    let is_whole = (0..read.count).all(|_| matches!(records.next(), Some(Ok(_)))) && records.next().is_none();
    (read.count > 0 && read.body_crc == batch.body_crc && is_whole).then_some(read)
}

fn without_outcome(outcome: peer::Outcome) -> peer::PutResponse {
    peer::PutResponse { outcome: outcome.into(), results: Vec::new() }
}

fn send_delivered(delivered: Delivered) -> peer::PutResult {
    use peer::put_result::Kind;
    let (kind, first_ordinal, time_ms) = match delivered.outcome {
        Some(AppendOutcome::Placed { first_ordinal, time_ms }) => (Kind::Placed, first_ordinal, time_ms),
        Some(AppendOutcome::NoSuchShard) => (Kind::NoSuchShard, 0, 0),
        Some(AppendOutcome::Sealed) => (Kind::Sealed, 0, 0),
        None => (Kind::Throttled, 0, 0),
    };
    peer::PutResult { kind: kind.into(), first_ordinal, time_ms, throttled: delivered.throttled }
}

/// What a leader answered for these sub-batches. An answer that does not fit them leaves the outcome unknown.
pub(super) fn read_response(
    answer: peer::PutResponse,
    sent: &[SubBatch],
) -> Result<Vec<Delivered>, Undelivered> {
    use peer::put_result::Kind;
    match answer.outcome() {
        peer::Outcome::Applied if answer.results.len() == sent.len() => {}
        peer::Outcome::NotProposed => return Err(Undelivered::NotProposed),
        peer::Outcome::Applied | peer::Outcome::Unknown => return Err(Undelivered::Unknown),
    }
    let read = |(result, sent): (peer::PutResult, &SubBatch)| {
        let is_sound = result.throttled.is_sorted_by(|a, b| a < b)
            && result.throttled.last().is_none_or(|last| *last < sent.count);
        let outcome = match result.kind() {
            Kind::Placed => {
                let peer::PutResult { first_ordinal, time_ms, .. } = result;
                Some(AppendOutcome::Placed { first_ordinal, time_ms })
            }
            Kind::NoSuchShard => Some(AppendOutcome::NoSuchShard),
            Kind::Sealed => Some(AppendOutcome::Sealed),
            Kind::Throttled => None,
        };
        is_sound.then_some(Delivered { outcome, throttled: result.throttled }).ok_or(Undelivered::Unknown)
    };
    answer.results.into_iter().zip(sent).map(read).collect()
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
    fn what_is_left_out_leaves_the_others_as_they_were() {
        let all = [("a", "one"), ("", ""), ("ccc", "three"), ("d", "4")];
        let whole = body(&all);
        let records: Vec<_> = Records::new(whole.clone()).map(Result::unwrap).collect();
        for left_out in [vec![], vec![0], vec![1, 2], vec![3], vec![0, 1, 2, 3]] {
            let kept: Vec<_> =
                (0..4).filter(|at| !left_out.contains(at)).map(|at| all[at as usize]).collect();
            assert_eq!(without(&whole, &records, &left_out), body(&kept), "{left_out:?}");
        }
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
    fn an_answer_that_does_not_fit_leaves_the_outcome_unknown() {
        let placed = Some(AppendOutcome::Placed { first_ordinal: 7, time_ms: 9 });
        let answer =
            |throttled: &[u32], outcome| send_delivered(Delivered { outcome, throttled: throttled.to_vec() });
        let answered = |results| peer::PutResponse { outcome: peer::Outcome::Applied.into(), results };
        for (results, is_read) in [
            (vec![answer(&[], placed)], true),
            (vec![answer(&[0, 2], placed)], true),
            (vec![answer(&[0, 1, 2], None)], true),
            (vec![answer(&[], Some(AppendOutcome::Sealed))], true),
            (vec![answer(&[3], placed)], false),
            (vec![answer(&[1, 1], placed)], false),
            (vec![], false),
            (vec![answer(&[], placed); 2], false),
        ] {
            let read = read_response(answered(results.clone()), &[sent(3)]);
            assert_eq!(read.is_ok(), is_read, "{results:?}");
            assert!(is_read || read == Err(Undelivered::Unknown));
        }
        let refused = without_outcome(peer::Outcome::NotProposed);
        assert_eq!(read_response(refused, &[sent(3)]), Err(Undelivered::NotProposed));
    }
}
