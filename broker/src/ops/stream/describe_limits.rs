//! DescribeLimits: the shards and on-demand streams of the account in the region, and how many there may be.
//!
//! Errors: none of its own.

use std::sync::Arc;

use tidelog_proto::Document;

use crate::limits::{ON_DEMAND_STREAMS_MAX, SHARDS_PER_ACCOUNT_MAX};
use crate::model::stream::{Catalog, StreamMode};
use crate::ops::{Call, Fault, Reply, target};
use crate::service::Service;

/// Counts what there is.
pub fn run(service: &Arc<Service>, call: &Call) -> Result<Reply, Fault> {
    Ok(call.reply(&answer(&service.catalog(), call)))
}

fn answer(catalog: &Catalog, call: &Call) -> Document {
    let count = |number: usize| Document::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let open = target::streams_of(catalog, call).map(|stream| stream.routes.len()).sum();
    let on_demand = target::streams_of(catalog, call).filter(|stream| stream.mode == StreamMode::OnDemand);
    Document::structure([
        ("ShardLimit", SHARDS_PER_ACCOUNT_MAX.into()),
        ("OpenShardCount", count(open)),
        ("OnDemandStreamCount", count(on_demand.count())),
        ("OnDemandStreamCountLimit", ON_DEMAND_STREAMS_MAX.into()),
    ])
}

#[cfg(test)]
mod tests {
    use tidelog_proto::json;

    use super::*;
    use crate::ops::cases;

    #[test]
    fn open_shards_and_on_demand_streams_are_counted() {
        let mut on_demand = cases::stream("b", 4);
        on_demand.mode = StreamMode::OnDemand;
        let catalog = cases::catalog(vec![cases::split_stream("a", 1), on_demand]);
        let text = json::encode(&answer(&catalog, &cases::call("{}")));
        let expected = r#"{"ShardLimit":20000,"OpenShardCount":6,"OnDemandStreamCount":1,"OnDemandStreamCountLimit":50}"#;
        assert_eq!(str::from_utf8(&text), Ok(expected));
    }
}
