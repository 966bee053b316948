//! What tags may be, for every operation that sets or removes some.
//!
//! The first text below and the one about illegal characters are AWS's own: a percent sign passes its first check and
//! fails its second.

use crate::limits::TAGS_PER_RESOURCE_MAX;
use crate::model::stream::Tags;
use crate::ops::Fault;
use crate::ops::input::Input;

/// Beginning of keys that AWS keeps for itself, in any case (guide).
const RESERVED_PREFIX: &str = "aws:";

/// The tags of a request; of a key that comes twice the last value counts.
pub fn read(input: &Input) -> Tags {
    input.text_map("Tags").iter().cloned().collect()
}

/// Whether `added` may be set on a resource that has `present`. `resource` names it in messages: `stream a under
/// account 000000000000`.
///
/// # Errors
/// [`Fault::InvalidArgument`] for a character that no tag may have, a key of AWS's own, or more than 50 tags.
pub fn check_added(resource: &str, present: &Tags, added: &Tags) -> Result<(), Fault> {
    let texts = || added.keys().chain(added.values()).map(String::as_str);
    check_characters(texts(), &format!("add tags to {resource}"))?;
    if let Some(key) = added.keys().find(|key| is_reserved(key)) {
        return Err(Fault::InvalidArgument(format!(
            "Failed to add tags to {resource} because the key {key} begins with {RESERVED_PREFIX}, which is reserved."
        )));
    }
    let count = present.len() + added.keys().filter(|key| !present.contains_key(*key)).count();
    if count <= TAGS_PER_RESOURCE_MAX { Ok(()) } else { Err(too_many(resource, TAGS_PER_RESOURCE_MAX)) }
}

/// The resource would have more tags than it may.
pub fn too_many(resource: &str, limit: usize) -> Fault {
    let kind = resource.split_once(' ').map_or(resource, |(kind, _)| kind);
    Fault::InvalidArgument(format!(
        "Failed to add tags to {resource} because a given {kind} cannot have more than {limit} tags associated with it."
    ))
}

/// Whether keys can be those of tags to be removed.
///
/// # Errors
/// [`Fault::InvalidArgument`] for a character that no tag may have.
pub fn check_removed(resource: &str, keys: &[String]) -> Result<(), Fault> {
    check_characters(keys.iter().map(String::as_str), &format!("remove tags from {resource}"))
}

fn check_characters<'a>(texts: impl Iterator<Item = &'a str>, action: &str) -> Result<(), Fault> {
    let mut has_percent = false;
    for text in texts {
        if !text.chars().all(is_known) {
            let text = "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, \
                        _ . / = + - % @ :.";
            return Err(Fault::InvalidArgument(text.to_owned()));
        }
        has_percent |= text.contains('%');
    }
    if !has_percent {
        return Ok(());
    }
    Err(Fault::InvalidArgument(format!(
        "Failed to {action} because some tags contained illegal characters. The allowed characters are Unicode \
         letters, white-spaces, '_',',','/','=','+','-','@',':'."
    )))
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

    const RESOURCE: &str = "stream a under account 000000000000";

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
            let found = check_added(RESOURCE, &Tags::new(), &tags(&[(key, value)]));
            match (found, expected) {
                (Ok(()), None) => {}
                (Err(Fault::InvalidArgument(text)), Some(start)) => {
                    assert!(text.starts_with(start), "{text}");
                }
                (found, _) => panic!("{key} {value}: {found:?}"),
            }
        }
        let removed = check_removed(RESOURCE, &["a%".to_owned()]);
        let Err(Fault::InvalidArgument(text)) = removed else { panic!("{removed:?}") };
        assert!(text.starts_with("Failed to remove tags from stream a under"), "{text}");
        assert_eq!(check_removed(RESOURCE, &["aws:x".to_owned()]), Ok(()));
    }

    #[test]
    fn a_resource_has_fifty_tags_at_most() {
        let many = |from: usize, to: usize| -> Tags {
            (from..to).map(|number| (format!("key{number}"), String::new())).collect()
        };
        assert_eq!(check_added(RESOURCE, &many(0, 40), &many(30, 50)), Ok(()));
        let text = "Failed to add tags to stream a under account 000000000000 because a given stream cannot have more \
                    than 50 tags associated with it.";
        let found = check_added(RESOURCE, &many(0, 40), &many(30, 51));
        assert_eq!(found, Err(Fault::InvalidArgument(text.to_owned())));
    }
}
