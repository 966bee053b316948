//! UntagResource: removes tags of a stream or a consumer; keys that are not there are no error.
//!
//! Limits: 50 keys. Errors: ResourceNotFound, InvalidArgument for characters, ResourceInUse while the resource is not
//! ACTIVE (a stream may be UPDATING).

use std::sync::Arc;

use super::changes;
use crate::ops::Fault;
use crate::ops::api::UntagResourceInput;
use crate::ops::resource::Resource;
use crate::service::Service;

/// Removes the tags.
pub async fn run(service: &Arc<Service>, input: &UntagResourceInput) -> Result<(), Fault> {
    changes::remove(service, &Resource::named(&service.catalog(), input)?, &input.tag_keys).await
}

#[cfg(test)]
mod tests {
    use crate::ops::api::UntagResourceInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let expected = [
            ("null", "tagKeys", "Member must not be null"),
            ("null", "resourceARN", "Member must not be null"),
        ];
        let fault = cases::input::<UntagResourceInput>("{}").unwrap_err();
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
