//! Checkpoints: the position that a member reports is checked against the shard before it is proposed.

use std::sync::Arc;

use tidelog_proto::stored::{self, group_command::Change};

use super::{ConsumerGroupError, Service};
use crate::model::consumer_group::{GroupName, LeaseRef, Progress, RecordPosition};
use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream};
use crate::replication::{META_GROUP, MetaOutcome, store_progress};
use crate::service::read::behind::Unread;

/// How far a member has come with a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardProgress {
    /// The lease under which it was processed.
    pub lease: LeaseRef,
    /// How far.
    pub reached: Reached,
}

/// How far a shard was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Everything up to the record of this sequence number.
    Through(String),
    /// To its end.
    End,
}

impl Service {
    /// Records how far shards were processed. Returns those whose lease the member has lost: nothing is recorded for
    /// them.
    ///
    /// # Errors
    /// [`ConsumerGroupError`], and nothing is recorded: [`ConsumerGroupError::OutOfRange`] for a number that is not of
    /// the shard or that no record has yet, and for the end of a shard that is open;
    /// [`GroupRefusal::MemberUnknown`](super::GroupRefusal::MemberUnknown).
    pub async fn checkpoint_group(
        &self,
        stream: &Arc<Stream>,
        group: &GroupName,
        member: u64,
        shards: &[ShardProgress],
    ) -> Result<Vec<u32>, ConsumerGroupError> {
        let mut stream = stream.clone();
        if shards.iter().any(|own| !is_certain(&stream, own)) {
            self.groups.proposals().read_index(META_GROUP).await.map_err(super::not_now)?;
            if let Some(newest) = self.catalog().by_uid(stream.uid) {
                stream = newest.clone();
            }
        }
        let mut progress = Vec::with_capacity(shards.len());
        for own in shards {
            let through = match stream.shard(own.lease.shard) {
                Some(shard) => reached(shard, &own.reached)?,
                // The shard is forgotten: the lease is lost, however far the member came.
                None => None,
            };
            progress.push(Progress { lease: own.lease, through });
        }
        self.check_is_there(&stream, &progress).await?;
        let shards = progress.iter().map(store_progress).collect();
        let change = Change::Checkpoint(stored::CheckpointGroup { member, shards });
        match self.change_group(stream.uid, group, change).await? {
            MetaOutcome::LeasesLost(lost) => Ok(lost),
            _ => Ok(Vec::new()),
        }
    }

    /// A position beyond the shard's records would skip later ones. Where the end is not known now, it is let
    /// through: the member was given the number by a node that knew.
    async fn check_is_there(&self, stream: &Stream, progress: &[Progress]) -> Result<(), ConsumerGroupError> {
        let is_here = |shard: &Shard, ordinal: u64| {
            self.bounds(stream, shard).is_some_and(|bounds| ordinal < bounds.next_ordinal)
        };
        let doubtful: Vec<(u32, u64)> = (progress.iter())
            .filter_map(|own| Some((stream.shard(own.lease.shard)?, own.through?.ordinal)))
            .filter(|(shard, ordinal)| shard.end_ordinal.is_none() && !is_here(shard, *ordinal))
            .map(|(shard, ordinal)| (shard.index, ordinal))
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let unread: Vec<_> = doubtful.iter().map(|(index, _)| (*index, Unread::Ordinal(u64::MAX))).collect();
        let found = self.behind(stream, &unread).await;
        let is_beyond = |(index, ordinal): &&(u32, u64)| {
            found.get(index).is_some_and(|behind| *ordinal >= behind.next_ordinal)
        };
        match doubtful.iter().find(is_beyond) {
            Some((index, _)) => Err(beyond(*index)),
            None => Ok(()),
        }
    }
}

/// Whether this node's metadata is new enough to judge it: shards never open again.
fn is_certain(stream: &Stream, own: &ShardProgress) -> bool {
    let shard = stream.shard(own.lease.shard);
    shard.is_some_and(|shard| own.reached != Reached::End || shard.closed_ms.is_some())
}

fn reached(shard: &Shard, reached: &Reached) -> Result<Option<RecordPosition>, ConsumerGroupError> {
    let id = ShardId(shard.index);
    let out_of_range = |reason: String| Err(ConsumerGroupError::OutOfRange(reason));
    let Reached::Through(text) = reached else {
        return match shard.closed_ms {
            Some(_) => Ok(None),
            None => out_of_range(format!("{id} is open: nobody can have come to its end.")),
        };
    };
    let Some(number) = SequenceNumber::parse(text) else {
        return out_of_range(format!("{text} is no sequence number."));
    };
    if (number.shard, number.created_s) != (shard.index, shard.created_s) {
        return out_of_range(format!("The sequence number {text} is not of {id} of this stream."));
    }
    if shard.end_ordinal.is_some_and(|end| number.ordinal >= end) {
        return Err(beyond(shard.index));
    }
    Ok(Some(RecordPosition { ordinal: number.ordinal, time_s: number.time_s }))
}

fn beyond(index: u32) -> ConsumerGroupError {
    ConsumerGroupError::OutOfRange(format!("{} has no record of that sequence number (yet).", ShardId(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    #[test]
    fn only_records_and_the_end_of_the_shard_are_reached() {
        let open = fixture::stream("a", 2).shards[0].clone();
        let closed = Shard { closed_ms: Some(1), end_ordinal: Some(8), ..open.clone() };
        let number = |ordinal| SequenceNumber { ordinal, ..SequenceNumber::starting(open.created_s, 0) };
        let through = |number: SequenceNumber| Reached::Through(number.to_string());
        let place = |ordinal| Ok(Some(RecordPosition { ordinal, time_s: open.created_s }));
        for (shard, own, expected) in [
            (&open, through(number(7)), Some(place(7))),
            (&open, through(number(0)), Some(place(0))),
            (&open, through(SequenceNumber { after: true, ..number(7) }), Some(place(7))),
            (&open, through(SequenceNumber { shard: 1, ..number(7) }), None),
            (&open, through(SequenceNumber { created_s: 5, ..number(7) }), None),
            (&open, Reached::Through("7".to_owned()), None),
            (&open, Reached::End, None),
            (&closed, through(number(7)), Some(place(7))),
            (&closed, through(number(8)), None),
            (&closed, Reached::End, Some(Ok(None))),
        ] {
            let found = reached(shard, &own);
            match expected {
                Some(expected) => assert_eq!(found, expected, "{own:?}"),
                None => {
                    assert!(matches!(found, Err(ConsumerGroupError::OutOfRange(_))), "{own:?}: {found:?}");
                }
            }
        }
    }
}
