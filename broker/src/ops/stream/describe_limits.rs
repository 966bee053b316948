//! DescribeLimits: the shards and on-demand streams of the account in the region, and how many there may be.
//!
//! Errors: none of its own.

use std::sync::Arc;

use crate::limits::ControlLimits;
use crate::model::stream::{Catalog, StreamMode};
use crate::ops::api::DescribeLimitsOutput;
use crate::ops::{Call, target};
use crate::service::Service;

/// The figure for no limit: the most that the service model lets an answer say.
const FIGURE_MAX: u32 = 1_000_000;

/// Describes the limits of the caller's account, with its open shards and on-demand streams.
pub fn run(service: &Arc<Service>, call: &Call) -> DescribeLimitsOutput {
    answer(&service.catalog(), call, service.control_limits())
}

fn answer(catalog: &Catalog, call: &Call, limits: &ControlLimits) -> DescribeLimitsOutput {
    let figure = |limit: Option<u32>| limit.unwrap_or(FIGURE_MAX).min(FIGURE_MAX);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let open = target::streams_of(catalog, call).map(|stream| stream.routes.len()).sum();
    let on_demand = target::streams_of(catalog, call).filter(|stream| stream.mode == StreamMode::OnDemand);
    DescribeLimitsOutput {
        shard_limit: figure(limits.shards_max),
        open_shard_count: count(open),
        on_demand_stream_count: count(on_demand.count()),
        on_demand_stream_count_limit: figure(limits.on_demand_streams_max),
        // No channel can be created yet.
        channel_count: Some(0),
        channel_count_limit: Some(0),
    }
}

#[cfg(test)]
mod tests {
    use tidelog_proto::json;

    use super::*;
    use crate::ops::api::Structure;
    use crate::ops::cases;

    #[test]
    fn open_shards_and_on_demand_streams_are_counted() {
        let mut on_demand = cases::stream("b", 4);
        on_demand.mode = StreamMode::OnDemand;
        let catalog = cases::catalog(vec![cases::split_stream("a", 1), on_demand]);
        for (limits, expected) in [
            (
                ControlLimits::aws(),
                r#"{"ShardLimit":20000,"OpenShardCount":6,"OnDemandStreamCount":1,"OnDemandStreamCountLimit":50,"ChannelCount":0,"ChannelCountLimit":0}"#,
            ),
            (
                ControlLimits::off(),
                r#"{"ShardLimit":1000000,"OpenShardCount":6,"OnDemandStreamCount":1,"OnDemandStreamCountLimit":1000000,"ChannelCount":0,"ChannelCountLimit":0}"#,
            ),
        ] {
            let text = json::encode(&answer(&catalog, &cases::call("{}"), &limits).write());
            assert_eq!(str::from_utf8(&text), Ok(expected));
        }
    }
}
