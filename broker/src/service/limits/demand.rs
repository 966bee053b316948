//! Demand on shards, on any node: each leader counts its own shards, and the leader of the metadata
//! group asks for the counts that it needs.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tidelog_proto::peer;
use tokio::time::timeout;

use super::throttle::Demand;
use crate::cluster::peers::Lane;
use crate::service::Service;

/// How long a node may take to answer. One that does not is asked again at the next look.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Demand on shards, by stream and shard, and the node that counted it.
pub type Counted = HashMap<(u64, u32), (u64, Demand)>;

impl Service {
    /// Counts the demand on the open shards of those streams that are led here, since this node
    /// began to count.
    pub fn demand_here(&self, stream_uids: &[u64]) -> Vec<(u64, u32, Demand)> {
        let catalog = self.catalog();
        let streams = stream_uids.iter().filter_map(|uid| catalog.by_uid(*uid));
        let of_stream = |stream: &crate::model::stream::Stream| {
            let budgets = self.accounts.budgets.of(stream);
            let led = stream.open_shards().filter(|shard| self.leads(shard.group));
            let counted = led.map(|shard| {
                let budget = budgets.of(shard);
                let demand = budget.lock().expect("no code panics while it holds this lock").demand();
                (stream.uid, shard.index, demand)
            });
            counted.collect::<Vec<_>>()
        };
        streams.flat_map(|stream| of_stream(stream)).collect()
    }

    /// Asks all nodes for the demand on the shards that they lead, and leaves out nodes that do not
    /// answer.
    pub(in crate::service) async fn demand_everywhere(&self, stream_uids: &[u64]) -> Counted {
        let peers = self.groups.peers();
        let members = peers.members();
        let others = members.keys().copied().filter(|node| *node != peers.node());
        let asking = others.map(|node| async move {
            let ask = async {
                let mut client = peers.client(node, Lane::Requests).await.ok()?;
                let message = peer::CountDemandRequest { stream_uids: stream_uids.to_vec() };
                let answer = client.count_demand(peers.request(node, message, Some(ANSWER_DEADLINE))).await;
                Some((node, answer.ok()?.into_inner().shards))
            };
            timeout(ANSWER_DEADLINE, ask).await.ok().flatten()
        });
        let mut counted = Counted::new();
        for (node, shards) in join_all(asking).await.into_iter().flatten() {
            let shards = shards.into_iter().map(|shard| {
                let demand = Demand { bytes: shard.bytes, records: shard.records };
                ((shard.stream_uid, shard.shard), (node, demand))
            });
            counted.extend(shards);
        }
        let own = self.demand_here(stream_uids).into_iter();
        counted.extend(own.map(|(uid, shard, demand)| ((uid, shard), (peers.node(), demand))));
        counted
    }
}

/// Encodes counted demand as the answer to a peer.
pub fn send_demand(counted: Vec<(u64, u32, Demand)>) -> peer::CountDemandResponse {
    let send = |(stream_uid, shard, demand): (u64, u32, Demand)| peer::count_demand_response::Shard {
        stream_uid,
        shard,
        bytes: demand.bytes,
        records: demand.records,
    };
    peer::CountDemandResponse { shards: counted.into_iter().map(send).collect() }
}
