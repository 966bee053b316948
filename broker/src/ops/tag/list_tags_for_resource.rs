//! ListTagsForResource: all tags of a stream or a consumer, sorted by key.
//!
//! Errors: ResourceNotFound, InvalidArgument for an ARN of something else.

use std::sync::Arc;

use super::entries;
use crate::ops::Fault;
use crate::ops::api::{ListTagsForResourceInput, ListTagsForResourceOutput};
use crate::ops::resource::Resource;
use crate::service::Service;

/// Lists the tags.
pub fn run(
    service: &Arc<Service>,
    input: &ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Fault> {
    Ok(answer(&Resource::named(&service.catalog(), input)?))
}

fn answer(resource: &Resource) -> ListTagsForResourceOutput {
    ListTagsForResourceOutput { tags: Some(entries(resource.tags())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn a_stream_and_its_consumer_have_tags_of_their_own() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        stream.tags.insert("b".to_owned(), "2".to_owned());
        stream.tags.insert("a".to_owned(), String::new());
        stream.consumers[0].tags.insert("c".to_owned(), "3".to_owned());
        let catalog = cases::catalog(vec![stream.clone()]);
        let arn = stream.key.arn();
        for (arn, expected) in [
            (arn.clone(), serde_json::json!([{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}])),
            (format!("{arn}/consumer/app:1699998200"), serde_json::json!([{"Key": "c", "Value": "3"}])),
        ] {
            let body = format!(r#"{{"ResourceARN":"{arn}"}}"#);
            let input = cases::input::<ListTagsForResourceInput>(&body).unwrap();
            let found = answer(&Resource::named(&catalog, &input).unwrap());
            assert_eq!(cases::json(&found), serde_json::json!({"Tags": expected}));
        }
    }
}
