//! EnableEnhancedMonitoring: begins to report metrics of a stream's shards one by one, in the broker's `/metrics`.
//!
//! Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE.

use std::sync::Arc;

use super::monitoring::{self, Direction};
use crate::ops::api::{EnableEnhancedMonitoringInput, EnhancedMonitoringOutput};
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Enables the metrics.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &EnableEnhancedMonitoringInput,
) -> Result<EnhancedMonitoringOutput, Fault> {
    monitoring::run(service, call, input, &input.shard_level_metrics, Direction::Enable).await
}
