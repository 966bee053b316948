//! DisableEnhancedMonitoring: stops reporting metrics of a stream's shards one by one, in the broker's `/metrics`.
//!
//! Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE.

use std::sync::Arc;

use super::monitoring::{self, Direction};
use crate::ops::input::Input;
use crate::ops::{Call, Fault, Reply};
use crate::service::Service;

/// Disables the metrics.
pub async fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    monitoring::run(service, call, input, Direction::Disable).await
}
