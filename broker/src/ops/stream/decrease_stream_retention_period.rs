//! DecreaseStreamRetentionPeriod: keeps records shorter from now on. The present value is fine and changes nothing.
//!
//! Limits: 24 to 8,760 hours. Errors: ResourceNotFound, InvalidArgument for hours out of bounds or on the wrong
//! side of the present ones, ResourceInUse when the stream is not ACTIVE.

use std::sync::Arc;

use super::retention::{self, Direction};
use crate::ops::api::DecreaseStreamRetentionPeriodInput;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Decreases the retention.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &DecreaseStreamRetentionPeriodInput,
) -> Result<(), Fault> {
    retention::run(service, call, input, input.retention_period_hours, Direction::Down).await
}
