//! RemoveTagsFromStream: removes tags of a stream; keys that are not there are no error.
//!
//! Limits: 50 keys. Errors: ResourceNotFound, InvalidArgument for characters, ResourceInUse while the stream is
//! CREATING or DELETING.

use std::sync::Arc;

use super::changes;
use crate::ops::api::RemoveTagsFromStreamInput;
use crate::ops::resource::Resource;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Removes the tags.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &RemoveTagsFromStreamInput,
) -> Result<(), Fault> {
    changes::remove(service, &Resource::named_stream(&service.catalog(), call, input)?, &input.tag_keys).await
}

#[cfg(test)]
mod tests {
    use crate::ops::api::RemoveTagsFromStreamInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault =
            cases::input::<RemoveTagsFromStreamInput>(r#"{"StreamName":"a","TagKeys":[""]}"#).unwrap_err();
        let constraint = "Member must satisfy constraint: [Member must have length less than or equal to 128, Member \
                          must have length greater than or equal to 1]";
        let expected = cases::expected(&[("[]", "tagKeys", constraint)]);
        assert_eq!(cases::violations(&fault), expected);
        let keys = (0..51).map(|key| format!("\"k{key}\"")).collect::<Vec<_>>().join(",");
        let fault =
            cases::input::<RemoveTagsFromStreamInput>(&format!(r#"{{"TagKeys":[{keys}]}}"#)).unwrap_err();
        assert_eq!(cases::violations(&fault).len(), 1);
    }
}
