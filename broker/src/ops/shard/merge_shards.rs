//! MergeShards: two open neighbours become one. ShardToMerge lies directly below AdjacentShardToMerge and becomes the
//! first parent.
//!
//! The stream is UPDATING until the child takes records; puts and reads go on. Errors: ResourceNotFound for the stream
//! or a shard, ResourceInUse when the stream is not ACTIVE, InvalidArgument for closed shards and for two that are not
//! such neighbours, Validation on an on-demand stream.

use std::sync::Arc;

use super::open_shard;
use crate::model::reshard::Plan;
use crate::model::shard_id::ShardId;
use crate::model::stream::Stream;
use crate::ops::api::MergeShardsInput;
use crate::ops::fault::InvalidReshard;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Begins the merge.
pub async fn run(service: &Arc<Service>, call: &Call, input: &MergeShardsInput) -> Result<(), Fault> {
    let key = target::key(call, input)?;
    for shard in [&input.shard_to_merge, &input.adjacent_shard_to_merge] {
        open_shard::parse(&key, shard)?;
    }
    let stream = target::find(&service.catalog(), &key)?;
    let plan = plan(&stream, input)?;
    let begun = service.begin_reshard(stream.uid, &plan, false).await;
    begun.map_err(|error| Fault::of_stream(error, &stream.key))
}

fn plan(stream: &Stream, input: &MergeShardsInput) -> Result<Plan, Fault> {
    open_shard::check_stream(stream, "MergeShards")?;
    let lower = open_shard::find(stream, &input.shard_to_merge)?;
    let upper = open_shard::find(stream, &input.adjacent_shard_to_merge)?;
    if lower.range.end.checked_add(1) != Some(upper.range.start) {
        let (lower, upper) = (ShardId(lower.index), ShardId(upper.index));
        return Err(Fault::invalid_reshard(&stream.key, InvalidReshard::NotAdjacent { lower, upper }));
    }
    Ok(Plan::merge(stream, lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn only_a_shard_and_the_one_above_it_are_merged() {
        let stream = cases::stream("a", 3);
        for (lower, upper, fits) in
            [(0, 1, true), (1, 2, true), (1, 0, false), (0, 2, false), (2, 0, false), (1, 1, false)]
        {
            let body = format!(
                r#"{{"StreamName":"a","ShardToMerge":"shardId-{lower}","AdjacentShardToMerge":"shardId-{upper}"}}"#
            );
            let found = plan(&stream, &cases::input::<MergeShardsInput>(&body).unwrap());
            match found {
                Ok(plan) => {
                    assert!(fits, "{body}");
                    let child = plan.children[0];
                    assert_eq!((child.parent, child.adjacent_parent), (lower, Some(upper)));
                }
                Err(fault) => {
                    assert!(!fits, "{body}");
                    let text = format!(
                        "Shards shardId-00000000000{lower} and shardId-00000000000{upper} in stream a under account \
                         000000000000 are not an adjacent pair of shards eligible for merging"
                    );
                    assert_eq!(fault.exception().text(), text);
                }
            }
        }
    }
}
