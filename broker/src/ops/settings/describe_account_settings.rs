//! DescribeAccountSettings: the commitment of the caller's account in the region.
//!
//! Errors: none of its own.

use std::sync::Arc;

use super::commitment;
use crate::ops::{Call, Fault, Reply};
use crate::service::Service;

/// Describes the settings.
pub fn run(service: &Arc<Service>, call: &Call) -> Result<Reply, Fault> {
    let place = (call.account.clone(), call.region.clone());
    let catalog = service.catalog();
    Ok(call.reply(&commitment::settings(catalog.commitments.get(&place), service.now_ms())))
}
