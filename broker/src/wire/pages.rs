//! What operators and their tools ask for: health and metrics. Never authenticated, never a user's data.

use hyper::StatusCode;

use super::Gateway;
use super::exchange::Answer;
use crate::observability;

/// Content type of the pages that are JSON.
pub(super) const JSON: &str = "application/json";
/// Prometheus text exposition format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// `services` is what scripts that wait for LocalStack look for.
const HEALTH: &str = concat!(
    "{\"status\":\"ok\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"services\":{\"kinesis\":\"running\"}}"
);

/// The broker takes requests: whoever reads this has been accepted.
pub(super) fn health() -> Answer {
    Answer::new(StatusCode::OK, JSON, HEALTH)
}

/// Every metric, as Prometheus reads it, those of single shards at the end.
pub(super) fn metrics(gateway: &Gateway) -> Answer {
    let page = observability::recorder().render();
    let of_shards = gateway.service.shard_level_page(&gateway.account, &gateway.region);
    Answer::new(StatusCode::OK, PROMETHEUS, page + &of_shards)
}
