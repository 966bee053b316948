//! The one group of the fake broker. Which shard is whose is for the test to say, but that a child is leased to the
//! first member when all its parents are finished.

use std::collections::BTreeMap;

use tidelog_proto::v1::{self, position, progress};
use tonic::{Code, Status};

use super::world::{World, refusal, shard_id};

/// A lease and the member that has it.
#[derive(Clone, Debug, Default)]
pub struct FakeLease {
    pub member: String,
    pub epoch: u64,
    pub is_revoked: bool,
}

/// Members, leases, checkpoints.
#[derive(Debug, Default)]
pub struct FakeGroup {
    pub lease_ms: u32,
    /// Members that were ever there, and whether they are.
    pub members: Vec<(String, bool)>,
    pub leases: BTreeMap<String, FakeLease>,
    pub checkpoints: BTreeMap<String, progress::Reached>,
    /// Sync and checkpoint are refused for now.
    pub is_out_of_reach: bool,
    /// The events, in words.
    pub history: Vec<String>,
}

impl World {
    pub fn join(&mut self, request: &v1::JoinRequest) -> v1::JoinResponse {
        let member_id = format!("member-{}", self.group.members.len());
        self.group.members.push((member_id.clone(), true));
        if self.group.lease_ms == 0 {
            self.group.lease_ms = if request.lease_ms == 0 { 10_000 } else { request.lease_ms };
        }
        self.group.history.push(format!("join {member_id}"));
        v1::JoinResponse { member_id, lease_ms: self.group.lease_ms }
    }

    pub fn leave(&mut self, member_id: &str) {
        self.group.history.push(format!("leave {member_id}"));
        self.group.members.iter_mut().filter(|(id, _)| id == member_id).for_each(|(_, is_there)| {
            *is_there = false;
        });
        self.group.leases.retain(|_, lease| lease.member != member_id);
    }

    /// Leases a shard to a member under a new epoch.
    pub fn lease(&mut self, shard: usize, member: usize) {
        let epoch = self.group.leases.get(&shard_id(shard)).map_or(0, |lease| lease.epoch) + 1;
        let member = format!("member-{member}");
        self.group.leases.insert(shard_id(shard), FakeLease { member, epoch, is_revoked: false });
    }

    fn admit(&self, member_id: &str) -> Result<(), Status> {
        if self.group.is_out_of_reach {
            return Err(refusal(Code::Unavailable, "UNAVAILABLE", None));
        }
        let is_there = |(id, is_there): &(String, bool)| id == member_id && *is_there;
        if self.group.members.iter().any(is_there) {
            return Ok(());
        }
        Err(refusal(Code::FailedPrecondition, "MEMBER_UNKNOWN", None))
    }

    pub fn sync(&mut self, request: &v1::SyncRequest) -> Result<v1::SyncResponse, Status> {
        self.admit(&request.member_id)?;
        for released in &request.released {
            self.group.history.push(format!("release {}", released.shard_id));
            self.group.leases.retain(|id, lease| *id != released.shard_id || lease.epoch != released.epoch);
        }
        let leases = self.group.leases.iter().filter(|(_, lease)| lease.member == request.member_id);
        let leases = leases.map(|(id, lease)| v1::Lease {
            shard_id: id.clone(),
            epoch: lease.epoch,
            from: Some(self.reached(id)),
            is_revoked: lease.is_revoked,
        });
        Ok(v1::SyncResponse { leases: leases.collect() })
    }

    fn reached(&self, id: &str) -> v1::Position {
        let at = match self.group.checkpoints.get(id) {
            Some(progress::Reached::SequenceNumber(number)) => {
                position::At::AfterSequenceNumber(number.clone())
            }
            _ => position::At::TrimHorizon(v1::TrimHorizon {}),
        };
        v1::Position { at: Some(at) }
    }

    pub fn checkpoint(&mut self, request: v1::CheckpointRequest) -> Result<v1::CheckpointResponse, Status> {
        self.admit(&request.member_id)?;
        let mut lost = Vec::new();
        for v1::Progress { shard_id: id, epoch, reached } in request.shards {
            let lease = self.group.leases.get(&id);
            if !lease.is_some_and(|lease| lease.member == request.member_id && lease.epoch == epoch) {
                lost.push(id);
                continue;
            }
            let reached = reached.expect("progress says how far");
            if let progress::Reached::Finished(_) = reached {
                self.group.history.push(format!("finish {id}"));
                self.group.leases.remove(&id);
            }
            self.group.checkpoints.insert(id, reached);
        }
        self.lease_children();
        Ok(v1::CheckpointResponse { lost })
    }

    fn lease_children(&mut self) {
        let is_finished = |at: &usize| {
            matches!(self.group.checkpoints.get(&shard_id(*at)), Some(progress::Reached::Finished(_)))
        };
        let ready: Vec<usize> = (0..self.shards.len())
            .filter(|at| {
                let parents = &self.shards[*at].parents;
                let is_new = !self.group.leases.contains_key(&shard_id(*at)) && !is_finished(at);
                is_new && !parents.is_empty() && parents.iter().all(is_finished)
            })
            .collect();
        ready.into_iter().for_each(|at| self.lease(at, 0));
    }
}
