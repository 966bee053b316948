//! Rules for tags, for every operation that sets or removes some.

use crate::limits::TAGS_PER_RESOURCE_MAX;
use crate::model::stream::Tags;
use crate::ops::Fault;
use crate::ops::api::TextMap;
use crate::ops::fault::{InvalidTags, ResourceName};

/// Beginning of keys that AWS keeps for itself, in any case (guide).
pub const RESERVED_PREFIX: &str = "aws:";

/// The tags of a request; of a key that comes twice the last value counts.
pub fn read(tags: Option<&TextMap>) -> Tags {
    tags.into_iter().flat_map(|tags| &tags.0).cloned().collect()
}

/// Whether `added` may be set on a resource that has `present`.
///
/// # Errors
/// [`Fault::InvalidArgument`] for a character that no tag may have, a key of AWS's own, or more than 50 tags.
pub fn check_added(resource: &ResourceName, present: &Tags, added: &Tags) -> Result<(), Fault> {
    let invalid = |reason| Err(Fault::invalid_tags(resource.clone(), reason));
    let mut texts = added.keys().chain(added.values()).map(String::as_str);
    if let Some(reason) = wrong_characters(&mut texts, InvalidTags::PercentAdded) {
        return invalid(reason);
    }
    if let Some(key) = added.keys().find(|key| is_reserved(key)) {
        return invalid(InvalidTags::Reserved { key: key.clone() });
    }
    let count = present.len() + added.keys().filter(|key| !present.contains_key(*key)).count();
    if count <= TAGS_PER_RESOURCE_MAX {
        return Ok(());
    }
    invalid(InvalidTags::TooMany { limit: TAGS_PER_RESOURCE_MAX })
}

/// Whether keys can be those of tags to be removed.
///
/// # Errors
/// [`Fault::InvalidArgument`] for a character that no tag may have.
pub fn check_removed(resource: &ResourceName, keys: &[String]) -> Result<(), Fault> {
    let mut texts = keys.iter().map(String::as_str);
    match wrong_characters(&mut texts, InvalidTags::PercentRemoved) {
        None => Ok(()),
        Some(reason) => Err(Fault::invalid_tags(resource.clone(), reason)),
    }
}

/// A percent sign passes the first of AWS's two checks and fails the second, after all other characters.
fn wrong_characters(texts: &mut dyn Iterator<Item = &str>, percent: InvalidTags) -> Option<InvalidTags> {
    let mut has_percent = false;
    for text in texts {
        if !text.chars().all(is_known) {
            return Some(InvalidTags::Characters);
        }
        has_percent |= text.contains('%');
    }
    has_percent.then_some(percent)
}

fn is_known(character: char) -> bool {
    character.is_alphanumeric()
        || (character.is_whitespace() && !character.is_control())
        || "_./=+-%@:".contains(character)
}

fn is_reserved(key: &str) -> bool {
    key.get(..RESERVED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    fn resource() -> ResourceName {
        ResourceName::Stream(cases::stream("a", 1).key)
    }

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn letters_digits_white_space_and_a_few_signs_are_taken() {
        for (key, value, expected) in [
            ("Stage", "prod 2", None),
            ("größe", "大_./=+-@:", None),
            ("awsome", "", None),
            ("a;b", "c", Some("Some tags contain invalid characters. Valid")),
            ("a", "b\u{0}", Some("Some tags contain invalid characters. Valid")),
            ("a\tb", "c", Some("Some tags contain invalid characters. Valid")),
            ("a", "b\n", Some("Some tags contain invalid characters. Valid")),
            ("a", "b\u{85}", Some("Some tags contain invalid characters. Valid")),
            ("a\u{2003}b", "", None),
            (
                "a%",
                "b",
                Some("Failed to add tags to stream a under account 000000000000 because some tags contained"),
            ),
            (
                "AWS:x",
                "b",
                Some("Failed to add tags to stream a under account 000000000000 because the key AWS:x"),
            ),
        ] {
            let found = check_added(&resource(), &Tags::new(), &tags(&[(key, value)]));
            match (found, expected) {
                (Ok(()), None) => {}
                (Err(fault @ Fault::InvalidArgument(_)), Some(start)) => {
                    assert!(fault.exception().text().starts_with(start), "{fault:?}");
                }
                (found, _) => panic!("{key} {value}: {found:?}"),
            }
        }
        let (_, text) = cases::said(check_removed(&resource(), &["a%".to_owned()]));
        assert!(text.starts_with("Failed to remove tags from stream a under"), "{text}");
        assert_eq!(check_removed(&resource(), &["aws:x".to_owned()]), Ok(()));
    }

    #[test]
    fn a_resource_has_fifty_tags_at_most() {
        let many = |from: usize, to: usize| -> Tags {
            (from..to).map(|number| (format!("key{number}"), String::new())).collect()
        };
        assert_eq!(check_added(&resource(), &many(0, 40), &many(30, 50)), Ok(()));
        let text = "Failed to add tags to stream a under account 000000000000 because a given stream cannot have more \
                    than 50 tags associated with it.";
        let found = check_added(&resource(), &many(0, 40), &many(30, 51));
        assert_eq!(cases::said(found), ("InvalidArgumentException", text.to_owned()));
    }
}
