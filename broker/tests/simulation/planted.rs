//! Mistakes that a broker could make, made around one that does not make them, so that nothing of them is in the
//! broker. Disks that lie are in `medium`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tidelog::model::hash_key::of_partition_key;
use tidelog::model::sequence_number::SequenceNumber;
use tidelog::model::stream::Stream;
use tidelog::replication::Leader;
use tidelog::service::Service;
use tidelog_proto::stored::{self, commit_reshard, data_command, meta_command, trim};
use tokio::time::sleep;

use crate::node::SimNode;
use crate::world::World;

/// The ordinals that records would be promised if ordinals were given out when records are proposed: the next ones of
/// their shards, as of now. By record.
pub fn ordinals_at_proposal(world: &World, stream: &str, keys: &[String]) -> Vec<Option<u64>> {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    let promise = |key: &String| {
        let services = world.nodes.iter().filter_map(|node| node.service());
        let (shard, ordinal) =
            services.filter_map(|service| next_ordinal(&service, stream, key)).max_by_key(|of| of.1)?;
        let due = next.entry(shard).or_insert(ordinal);
        *due += 1;
        Some(*due - 1)
    };
    keys.iter().map(promise).collect()
}

fn next_ordinal(service: &Service, name: &str, key: &str) -> Option<(u32, u64)> {
    let catalog = service.catalog();
    let stream = catalog.streams().values().find(|stream| &*stream.key.name == name)?;
    let shard = stream.route(of_partition_key(key))?;
    Some((shard.index, service.bounds(stream, shard)?.next_ordinal))
}

/// A sequence number with another ordinal in it.
pub fn with_ordinal(number: &str, ordinal: u64) -> String {
    SequenceNumber::parse(number)
        .map_or_else(String::new, |number| SequenceNumber { ordinal, ..number }.to_string())
}

/// Commits every reshard as soon as it has begun, with the ends that its parents have at that moment, and opens the
/// children: before any parent is sealed.
pub async fn open_children_early(node: Rc<SimNode>) {
    loop {
        sleep(Duration::from_millis(1)).await;
        let Some(service) = node.service() else { continue };
        let catalog = service.catalog();
        let begun = catalog.streams().values().find(|stream| stream.reshard.is_some());
        if let Some(stream) = begun {
            // The result is ignored: the mistake is made when it can be.
            let _ = commit(&service, stream).await;
        }
    }
}

async fn commit(service: &Service, stream: &Stream) -> Option<()> {
    let reshard = stream.reshard.as_ref()?;
    let end = |index: &u32| {
        let bounds = service.bounds(stream, stream.shard(*index)?)?;
        Some(commit_reshard::End { shard: *index, ordinal: bounds.next_ordinal })
    };
    let ends = reshard.sealed.iter().map(end).collect::<Option<Vec<_>>>()?;
    for shard in &reshard.opened {
        let open = stored::OpenShards { uid: stream.uid, shards: vec![shard.index] };
        service
            .groups()
            .proposals()
            .propose_data(shard.group, data_command::Command::OpenShards(open))
            .await
            .ok()?;
    }
    let commit = stored::CommitReshard { uid: stream.uid, ends };
    service
        .groups()
        .proposals()
        .propose_meta(service.now_ms(), meta_command::Command::CommitReshard(commit))
        .await
        .ok()?;
    Some(())
}

/// Trims records that are older than a day by the node's own wall clock, in the shards that it leads.
pub async fn trim_by_own_clock(node: Rc<SimNode>) {
    loop {
        sleep(Duration::from_millis(200)).await;
        let Some(service) = node.service() else { continue };
        let keep_from_ms = service.groups().clock().wall_ms().saturating_sub(24 * 3_600_000);
        for stream in service.catalog().streams().values() {
            for shard in stream
                .shards
                .iter()
                .filter(|shard| service.groups().leadership().leader(shard.group) == Leader::Here)
            {
                let Ok(ordinal) = service.ordinal_at_time(stream, shard, keep_from_ms).await else {
                    continue;
                };
                let points = vec![trim::Point { uid: stream.uid, shard: shard.index, ordinal }];
                let command = data_command::Command::Trim(stored::Trim { points });
                // The result is ignored: the mistake is made when it can be.
                let _ = service.groups().proposals().propose_data(shard.group, command).await;
            }
        }
    }
}
