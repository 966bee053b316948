//! TagResource: sets tags of a stream or a consumer; present ones of the same keys get the new values.
//!
//! Limits: 50 tags of a resource. Errors: ResourceNotFound, InvalidArgument for characters, reserved keys and too many
//! tags, ResourceInUse while the resource is not ACTIVE (a stream may be UPDATING).

use std::sync::Arc;

use super::changes;
use crate::ops::Fault;
use crate::ops::api::TagResourceInput;
use crate::ops::resource::Resource;
use crate::service::Service;

/// Sets the tags.
pub async fn run(service: &Arc<Service>, input: &TagResourceInput) -> Result<(), Fault> {
    changes::add(service, &Resource::named(&service.catalog(), input)?, &input.tags).await
}

#[cfg(test)]
mod tests {
    use crate::ops::api::TagResourceInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let expected =
            [("null", "tags", "Member must not be null"), ("null", "resourceARN", "Member must not be null")];
        let fault = cases::input::<TagResourceInput>("{}").unwrap_err();
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
