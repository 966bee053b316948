//! ListTagsForStream: the tags of a stream, sorted by key, in pages.
//!
//! Limits: 50 tags a page, which is all a stream can have. Errors: ResourceNotFound.

use std::sync::Arc;

use super::entries;
use crate::limits::TAGS_PER_RESOURCE_MAX;
use crate::model::stream::Tags;
use crate::ops::api::{ListTagsForStreamInput, ListTagsForStreamOutput};
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Lists a page.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &ListTagsForStreamInput,
) -> Result<ListTagsForStreamOutput, Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    Ok(answer(&stream.tags, input))
}

fn answer(tags: &Tags, input: &ListTagsForStreamInput) -> ListTagsForStreamOutput {
    let limit = input.limit.map_or(TAGS_PER_RESOURCE_MAX, |limit| limit as usize);
    let after = input.exclusive_start_tag_key.as_deref();
    let mut tags = tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let listed = entries(tags.by_ref().take(limit));
    ListTagsForStreamOutput { tags: listed, has_more_tags: tags.next().is_some() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ops::cases;

    #[test]
    fn pages_follow_one_another_by_key() {
        let tags = ["b", "a", "c"].map(|key| (key.to_owned(), format!("of {key}"))).into();
        let entry = |key: &str| json!({"Key": key, "Value": format!("of {key}")});
        for (body, keys, has_more) in [
            ("{}", vec!["a", "b", "c"], false),
            (r#"{"Limit":2}"#, vec!["a", "b"], true),
            (r#"{"Limit":3}"#, vec!["a", "b", "c"], false),
            (r#"{"ExclusiveStartTagKey":"a","Limit":1}"#, vec!["b"], true),
            (r#"{"ExclusiveStartTagKey":"bb"}"#, vec!["c"], false),
            (r#"{"ExclusiveStartTagKey":"c"}"#, vec![], false),
        ] {
            let input = cases::input::<ListTagsForStreamInput>(body).unwrap();
            let tags_shown = keys.into_iter().map(entry).collect::<Vec<_>>();
            let expected = json!({"Tags": tags_shown, "HasMoreTags": has_more});
            assert_eq!(cases::json(&answer(&tags, &input)), expected, "{body}");
        }
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault =
            cases::input::<ListTagsForStreamInput>(r#"{"Limit":51,"ExclusiveStartTagKey":""}"#).unwrap_err();
        let expected = cases::expected(&[
            ("51", "limit", "Member must have value less than or equal to 50"),
            ("", "exclusiveStartTagKey", "Member must have length greater than or equal to 1"),
        ]);
        assert_eq!(cases::violations(&fault), expected);
    }
}
