//! Operations on the tags of streams and consumers.

pub mod add_tags_to_stream;
mod changes;
pub mod list_tags_for_resource;
pub mod list_tags_for_stream;
pub mod remove_tags_from_stream;
pub mod rules;
pub mod tag_resource;
pub mod untag_resource;

use crate::ops::api::Tag;

/// Tags as the lists show them.
fn entries<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Tag> {
    let entry = |(key, value): (&String, &String)| Tag { key: key.clone(), value: Some(value.clone()) };
    tags.into_iter().map(entry).collect()
}
