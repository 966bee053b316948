//! UpdateShardCount: brings a stream to a number of open shards with equal ranges of hash keys, in one step.
//!
//! Limits: at most double and at least half of the open shards, 10,000 in all, ten times within 24 hours; the account's
//! shards. Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE, InvalidArgument for a target out of
//! bounds, Validation on an on-demand stream, LimitExceeded.

use std::sync::Arc;

use super::open_shard;
use crate::limits::SHARD_COUNT_MAX;
use crate::model::reshard::Plan;
use crate::model::stream::Stream;
use crate::ops::api::{UpdateShardCountInput, UpdateShardCountOutput};
use crate::ops::fault::{InvalidReshard, ScaleBound};
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Begins the update. Where the ranges are equal already nothing changes.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &UpdateShardCountInput,
) -> Result<UpdateShardCountOutput, Fault> {
    let catalog = service.catalog();
    let stream = target::stream(&catalog, call, input)?;
    let target = input.target_shard_count;
    let current = stream.routes.len() as u32;
    check(&stream, current, target)?;
    let plan = Plan::even(&stream, target);
    if !plan.is_empty() {
        let begun = service.begin_reshard(stream.uid, &plan, true).await;
        begun.map_err(|error| Fault::of_stream(error, &stream.key))?;
    }
    Ok(UpdateShardCountOutput {
        stream_name: Some(stream.key.name.to_string()),
        current_shard_count: Some(current),
        target_shard_count: Some(target),
        stream_arn: Some(stream.key.arn()),
    })
}

fn check(stream: &Stream, current: u32, target: u32) -> Result<(), Fault> {
    open_shard::check_stream(stream, "UpdateShardCount")?;
    let bound = if target > SHARD_COUNT_MAX {
        ScaleBound::Most
    } else if u64::from(target) > 2 * u64::from(current) {
        ScaleBound::Double
    } else if 2 * u64::from(target) < u64::from(current) {
        ScaleBound::Half
    } else {
        return Ok(());
    };
    Err(Fault::invalid_reshard(&stream.key, InvalidReshard::ShardCount { current, target, bound }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn a_call_doubles_or_halves_at_most() {
        for (current, target, fits) in [
            (5, 10, true),
            (5, 11, false),
            (5, 3, true),
            (5, 2, false),
            (4, 3, true),
            (1, 1, true),
            (6_000, 10_000, true),
            (6_000, 10_001, false),
        ] {
            let found = check(&cases::stream("a", 1), current, target);
            assert_eq!(found.is_ok(), fits, "{current} to {target}: {found:?}");
        }
    }
}
