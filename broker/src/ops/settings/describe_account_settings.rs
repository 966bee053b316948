//! DescribeAccountSettings: the commitment of the caller's account in the region.
//!
//! Errors: none of its own.

use std::sync::Arc;

use super::commitment;
use crate::ops::Call;
use crate::ops::api::{DescribeAccountSettingsOutput, MinimumThroughputBillingCommitmentOutput};
use crate::service::Service;

/// Describes the settings.
pub fn run(service: &Arc<Service>, call: &Call) -> DescribeAccountSettingsOutput {
    DescribeAccountSettingsOutput { minimum_throughput_billing_commitment: Some(commitment(service, call)) }
}

/// The commitment of the caller's account.
pub fn commitment(service: &Service, call: &Call) -> MinimumThroughputBillingCommitmentOutput {
    let place = (call.account.clone(), call.region.clone());
    commitment::describe(service.catalog().commitments.get(&place), service.now_ms())
}
