//! IncreaseStreamRetentionPeriod: keeps records longer from now on. The present value is fine and changes nothing.
//!
//! Limits: 24 to 8,760 hours. Errors: ResourceNotFound, InvalidArgument for hours out of bounds or on the wrong
//! side of the present ones, ResourceInUse when the stream is not ACTIVE.

use std::sync::Arc;

use super::retention::{self, Direction};
use crate::ops::api::IncreaseStreamRetentionPeriodInput;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Increases the retention.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &IncreaseStreamRetentionPeriodInput,
) -> Result<(), Fault> {
    retention::run(service, call, input, input.retention_period_hours, Direction::Up).await
}
