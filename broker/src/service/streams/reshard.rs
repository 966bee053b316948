//! Resharding: shards are closed and others opened in their place, by a saga that the metadata group drives.
//!
//! begin (UPDATING, the new shards are written down) → every group seals its parents and opens its children → the
//! children remember their parents' producers → commit (parents closed, children listed, in one step). Records go
//! to a parent until its group has sealed it, and to the children only after the commit; a put that meets a sealed
//! parent waits for that. Each step may run again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidelog_proto::stored::{self, commit_reshard, data_command, meta_command::Command};
use tidelog_storage::shard::ShardKey;

use crate::model::producers::Table;
use crate::model::reshard::{Child, Plan};
use crate::model::stream::{Reshard, Stream};
use crate::replication::{Outcome, ProposeError, store_hash_key};
use crate::service::{Service, ServiceError};

impl Service {
    /// Begins a change of a stream's shards and waits for its end for a moment. `is_count_update` counts it against the
    /// ten updates of a day.
    pub async fn begin_reshard(
        self: &Arc<Self>,
        uid: u64,
        plan: &Plan,
        is_count_update: bool,
    ) -> Result<(), ServiceError> {
        let new_shard = |child: &Child| stored::NewShard {
            hash_start: store_hash_key(child.range.start),
            hash_end: store_hash_key(child.range.end),
            parent: Some(child.parent),
            adjacent_parent: child.adjacent_parent,
        };
        let opened = plan.children.iter().map(new_shard).collect();
        let begin = stored::BeginReshard {
            uid,
            sealed: plan.sealed.clone(),
            opened,
            is_count_update,
            first_new_shard: plan.first,
        };
        self.begin(Command::BeginReshard(begin)).await
    }

    /// Takes the steps of a reshard that is under way, to its end.
    pub(in crate::service) async fn seal_and_open(&self, stream: &Stream) -> Result<(), ProposeError> {
        let Some(reshard) = &stream.reshard else { return Ok(()) };
        let uid = stream.uid;
        let mut steps: BTreeMap<u8, stored::SealAndOpen> = BTreeMap::new();
        for shard in reshard.sealed.iter().filter_map(|index| stream.shard(*index)) {
            steps.entry(shard.group).or_default().sealed.push(shard.index);
        }
        for shard in &reshard.opened {
            steps.entry(shard.group).or_default().opened.push(shard.index);
        }
        let taking = steps.into_iter().map(|(group, step)| {
            let step = stored::SealAndOpen { uid, ..step };
            self.groups.proposals().propose_data(group, data_command::Command::SealAndOpen(step))
        });
        let outcomes = futures_util::future::try_join_all(taking).await?;
        self.pass_on_producers(stream, reshard).await?;
        let ends = outcomes.into_iter().flat_map(|outcome| match outcome {
            Outcome::Sealed(ends) => ends,
            other => panic!("a step of a reshard was answered with {other:?}"),
        });
        let ends = ends.map(|(shard, ordinal)| commit_reshard::End { shard, ordinal }).collect();
        let commit = Command::CommitReshard(stored::CommitReshard { uid, ends });
        self.groups.proposals().propose_meta(self.now_ms(), commit).await.map(drop)
    }

    /// Makes the children remember the producers of their sealed parents, so that a batch that comes again after
    /// the commit is known.
    async fn pass_on_producers(&self, stream: &Stream, reshard: &Reshard) -> Result<(), ProposeError> {
        let key = |shard| ShardKey { stream_uid: stream.uid, shard };
        for child in reshard.opened.iter().filter(|shard| shard.closed_ms.is_none()) {
            let mut parents: BTreeMap<u8, BTreeSet<ShardKey>> = BTreeMap::new();
            for parent in reshard.sealed_ancestors(child).into_iter().filter_map(|index| stream.shard(index))
            {
                parents.entry(parent.group).or_default().insert(key(parent.index));
            }
            let (mut table, mut clock_ms) = (Table::default(), 0);
            for (group, parents) in parents {
                let (theirs, their_clock_ms) = self.groups.proposals().producers_of(group, parents).await?;
                // Groups forget producers by clocks of their own: both tables move to the later of the two clocks.
                let later_ms = their_clock_ms.max(clock_ms);
                table = table.moved(clock_ms, later_ms);
                table.unite(theirs.moved(their_clock_ms, later_ms));
                clock_ms = later_ms;
            }
            self.groups.proposals().copy_producers(child.group, key(child.index), &table, clock_ms).await?;
        }
        Ok(())
    }
}
