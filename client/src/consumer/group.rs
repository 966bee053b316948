//! The calls of a consumer group. Used by `membership` and by batches.

use std::time::Duration;

use tidelog_proto::v1;

use super::lease::Lease;
use super::record::Position;
use crate::connection::Connection;
use crate::error::Error;

/// A group, and how to be in it.
#[derive(Debug)]
pub(super) struct Group {
    pub connection: Connection,
    pub stream: String,
    pub name: String,
    pub member_name: String,
    pub from: Position,
    /// 0: the broker's default.
    pub lease_ms: u32,
}

impl Group {
    pub async fn join(&self) -> Result<v1::JoinResponse, Error> {
        let node = self.connection.node();
        let request = node.request(v1::JoinRequest {
            stream: self.stream.clone(),
            group: self.name.clone(),
            member_name: self.member_name.clone(),
            from: Some(self.from.clone().into()),
            lease_ms: self.lease_ms,
        });
        node.answer(node.groups().join(request)).await
    }

    pub async fn sync(
        &self,
        member_id: &str,
        released: Vec<v1::LeaseRef>,
        within: Duration,
    ) -> Result<Vec<v1::Lease>, Error> {
        let node = self.connection.node();
        let (stream, group, member_id) = (self.stream.clone(), self.name.clone(), member_id.to_owned());
        let request = node.request(v1::SyncRequest { stream, group, member_id, released });
        Ok(node.answer_within(within, node.groups().sync(request)).await?.leases)
    }

    /// The shards whose lease is lost.
    pub async fn checkpoint(&self, member_id: &str, shards: Vec<v1::Progress>) -> Result<Vec<String>, Error> {
        let node = self.connection.node();
        let (stream, group, member_id) = (self.stream.clone(), self.name.clone(), member_id.to_owned());
        let request = node.request(v1::CheckpointRequest { stream, group, member_id, shards });
        Ok(node.answer(node.groups().checkpoint(request)).await?.lost)
    }

    pub async fn leave(&self, member_id: &str) -> Result<(), Error> {
        let node = self.connection.node();
        let (stream, group, member_id) = (self.stream.clone(), self.name.clone(), member_id.to_owned());
        let request = node.request(v1::LeaveRequest { stream, group, member_id });
        node.answer(node.groups().leave(request)).await.map(|_| ())
    }

    /// Takes note that a lease is lost. False when it was given up before.
    pub fn lose(&self, lease: &Lease) -> bool {
        if lease.lose() {
            metrics::counter!(crate::metrics::LEASES_LOST).increment(1);
            tracing::warn!(group = self.name, shard = lease.shard_id, epoch = lease.epoch, "lease lost");
        }
        lease.is_lost()
    }
}
