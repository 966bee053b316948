//! AddTagsToStream: sets tags of a stream; present ones of the same keys get the new values.
//!
//! Limits: 50 tags of a stream. Errors: ResourceNotFound, InvalidArgument for characters, reserved keys and too many
//! tags, ResourceInUse while the stream is CREATING or DELETING.

use std::sync::Arc;

use super::changes;
use crate::ops::api::AddTagsToStreamInput;
use crate::ops::resource::Resource;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Sets the tags.
pub async fn run(service: &Arc<Service>, call: &Call, input: &AddTagsToStreamInput) -> Result<(), Fault> {
    changes::add(service, &Resource::named_stream(&service.catalog(), call, input)?, &input.tags).await
}

#[cfg(test)]
mod tests {
    use crate::ops::api::AddTagsToStreamInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let long = "a".repeat(129);
        let body = format!(r#"{{"StreamName":"a b","Tags":{{"{long}":"v","k":"{long}{long}"}}}}"#);
        let violations = cases::violations(&cases::input::<AddTagsToStreamInput>(&body).unwrap_err());
        let about = |path: &str| violations.iter().filter(|text| text.contains(path)).count();
        assert_eq!(
            (about("'streamName'"), about("Map keys must"), about("Map value must")),
            (1, 1, 1),
            "{violations:?}"
        );
        let fault = cases::input::<AddTagsToStreamInput>("{}").unwrap_err();
        let expected = cases::expected(&[("null", "tags", "Member must not be null")]);
        assert_eq!(cases::violations(&fault), expected);
    }
}
