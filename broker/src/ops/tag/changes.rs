//! Changes of tags, shared by the operations on a stream's tags and those on a resource's tags.

use std::sync::Arc;

use super::rules;
use crate::ops::Fault;
use crate::ops::api::TextMap;
use crate::ops::fault::InvalidTags;
use crate::ops::resource::Resource;
use crate::replication::{Quota, QuotaExceeded};
use crate::service::{Service, ServiceError};

/// Sets the tags of a request. Present ones of the same keys get the new values.
pub async fn add(service: &Arc<Service>, resource: &Resource, tags: &TextMap) -> Result<(), Fault> {
    let tags = rules::read(Some(tags));
    resource.check_usable()?;
    rules::check_added(&resource.name(), resource.tags(), &tags)?;
    let set = service.change_tags(resource.id(), Vec::new(), tags).await;
    set.map_err(|error| match error {
        ServiceError::QuotaExceeded(QuotaExceeded { quota: Quota::Tags, limit, .. }) => {
            Fault::invalid_tags(resource.name(), InvalidTags::TooMany { limit: limit as usize })
        }
        other => Fault::of_stream(other, &resource.stream().key),
    })
}

/// Removes the tags whose keys a request lists; keys that are not there are no error.
pub async fn remove(service: &Arc<Service>, resource: &Resource, keys: &[String]) -> Result<(), Fault> {
    resource.check_usable()?;
    rules::check_removed(&resource.name(), keys)?;
    let removed = service.change_tags(resource.id(), keys.to_vec(), Default::default()).await;
    removed.map_err(|error| Fault::of_stream(error, &resource.stream().key))
}
