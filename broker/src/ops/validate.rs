//! The bounds of the service model, checked by table and told in AWS's words.
//!
//! Within one member the pattern comes before the length; the order among members is free. At most ten violations
//! are named.

use std::fmt::Write as _;

use super::fault::Fault;
use super::input::{Input, Value};
use super::shape::{Kind, Member, Text, utf16_length};
use crate::limits::VIOLATIONS_MAX;

/// Characters of a value shown in a violation; a longer value is cut.
const SHOWN_LENGTH_MAX: usize = 8_192;

/// Checks every bound of the table.
///
/// # Errors
/// [`Fault::Validation`] that names what is violated.
pub fn check(input: &Input, members: &[Member]) -> Result<(), Fault> {
    let mut violations = Violations::default();
    check_members(input, members, "", &mut violations);
    violations.into_result()
}

/// What is violated so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<String>);

impl Violations {
    /// Whether no further one would be named.
    fn is_full(&self) -> bool {
        self.0.len() >= VIOLATIONS_MAX
    }

    /// Adds one, in AWS's words: the value as Java shows it, the member's path, and the constraint.
    pub fn add(&mut self, value: &str, path: &str, constraint: &str) {
        if !self.is_full() {
            let shown = shortened(value);
            self.0.push(format!("Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"));
        }
    }

    /// Adds a required member that is missing.
    pub fn add_missing(&mut self, path: &str) {
        if !self.is_full() {
            self.0.push(format!(
                "Value null at '{path}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// Adds a length or a number of elements out of bounds.
    fn add_length(&mut self, value: &str, path: &str, length: usize, min: usize, max: usize) {
        if length < min {
            self.add(value, path, &format!("Member must have length greater than or equal to {min}"));
        }
        if length > max {
            self.add(value, path, &format!("Member must have length less than or equal to {max}"));
        }
    }

    /// The fault that names them all; nothing when there are none.
    ///
    /// # Errors
    /// [`Fault::Validation`] when there is any.
    pub fn into_result(self) -> Result<(), Fault> {
        let count = self.0.len();
        let plural = if count == 1 { "" } else { "s" };
        match count {
            0 => Ok(()),
            _ => Err(Fault::Validation(format!(
                "{count} validation error{plural} detected: {}",
                self.0.join("; ")
            ))),
        }
    }
}

fn check_members(input: &Input, members: &[Member], prefix: &str, violations: &mut Violations) {
    for member in members {
        let path = || format!("{prefix}{}", lower_camel(member.name));
        match input.get(member.name) {
            Some(value) => check_value(value, &member.kind, &path(), violations),
            None if member.required => violations.add_missing(&path()),
            None => {}
        }
    }
}

fn check_value(value: &Value, kind: &Kind, path: &str, violations: &mut Violations) {
    match (kind, value) {
        (Kind::Text(shape), Value::Text(text)) => check_text(text, shape, path, violations),
        (Kind::Integer { min, max }, Value::Integer(number)) => {
            check_number(*number, (*min, *max), path, violations);
        }
        (Kind::Blob { max }, Value::Blob(blob)) => {
            let max = usize::try_from(*max).unwrap_or(usize::MAX);
            violations.add_length(&shown(value), path, blob.decoded_len(), 0, max);
        }
        (Kind::Structure(members), Value::Structure(input)) => {
            check_members(input, members, &format!("{path}."), violations);
        }
        (Kind::List { element, min, max }, Value::List(elements)) => {
            if !(*min..=*max).contains(&elements.len()) {
                violations.add_length(&shown(value), path, elements.len(), *min, *max);
            }
            // One element of a wrong length is reported for the whole list (recorded for TagKeys).
            if let (Kind::Text(shape), true) =
                (element, elements.iter().any(|inner| has_wrong_length(inner, element)))
                && let Some((min, max)) = shape.length
            {
                violations.add(&shown(value), path, &inner_lengths("Member", min, max));
                return;
            }
            for (position, inner) in elements.iter().enumerate() {
                if violations.is_full() {
                    return;
                }
                check_value(inner, element, &format!("{path}.{}.member", position + 1), violations);
            }
        }
        (Kind::TextMap { key, value: inner, min, max }, Value::TextMap(entries)) => {
            let shown = shown(value);
            violations.add_length(&shown, path, entries.len(), *min, *max);
            // Keys and values are reported for the whole map, once each (recorded for Tags).
            let mut check = |what: &str, shape: &Text, is_kept: bool| {
                if !is_kept {
                    let (min, max) = shape.length.unwrap_or_default();
                    violations.add(&shown, path, &inner_lengths(what, min, max));
                }
            };
            check("Map keys", key, entries.iter().all(|(name, _)| key.allows(name)));
            check("Map value", inner, entries.iter().all(|(_, text)| inner.allows(text)));
        }
        _ => {}
    }
}

fn inner_lengths(what: &str, min: usize, max: usize) -> String {
    format!(
        "{what} must satisfy constraint: [Member must have length less than or equal to {max}, Member must have \
         length greater than or equal to {min}]"
    )
}

fn has_wrong_length(value: &Value, kind: &Kind) -> bool {
    match (kind, value) {
        (Kind::Text(Text { length: Some((min, max)), .. }), Value::Text(text)) => {
            !(*min..=*max).contains(&utf16_length(text))
        }
        _ => false,
    }
}

fn check_text(text: &str, shape: &Text, path: &str, violations: &mut Violations) {
    if let Some(pattern) = shape.pattern
        && !pattern.matches(text)
    {
        let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text());
        violations.add(text, path, &constraint);
    }
    if let Some((min, max)) = shape.length {
        violations.add_length(text, path, utf16_length(text), min, max);
    }
    if !shape.choices.is_empty() && !shape.choices.contains(&text) {
        let choices = shape.choices.join(", ");
        violations.add(text, path, &format!("Member must satisfy enum value set: [{choices}]"));
    }
}

fn check_number(number: i64, bounds: (Option<i64>, Option<i64>), path: &str, violations: &mut Violations) {
    if let Some(min) = bounds.0.filter(|min| number < *min) {
        let constraint = format!("Member must have value greater than or equal to {min}");
        violations.add(&number.to_string(), path, &constraint);
    }
    if let Some(max) = bounds.1.filter(|max| number > *max) {
        violations.add(
            &number.to_string(),
            path,
            &format!("Member must have value less than or equal to {max}"),
        );
    }
}

/// `StreamARN` is `streamARN`: only the first letter changes.
fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + characters.as_str())
}

/// A value as Java shows it.
fn shown(value: &Value) -> String {
    let mut out = String::new();
    show(value, &mut out);
    out
}

fn show(value: &Value, out: &mut String) {
    let written = match value {
        _ if out.len() > SHOWN_LENGTH_MAX => Ok(()),
        Value::Text(text) => out.write_str(text),
        Value::Integer(number) | Value::Timestamp(number) => write!(out, "{number}"),
        Value::Boolean(value) => write!(out, "{value}"),
        Value::Blob(blob) => {
            write!(
                out,
                "java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]",
                length = blob.decoded_len()
            )
        }
        Value::Structure(_) => out.write_str("{…}"),
        Value::List(elements) => {
            out.push('[');
            for (position, element) in elements.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                show(element, out);
            }
            out.write_char(']')
        }
        Value::TextMap(entries) => {
            out.push('{');
            for (position, (key, value)) in entries.iter().enumerate() {
                if out.len() > SHOWN_LENGTH_MAX {
                    break;
                }
                out.push_str(if position > 0 { ", " } else { "" });
                write!(out, "{key}={value}").expect("writing to memory cannot fail");
            }
            out.write_char('}')
        }
    };
    written.expect("writing to memory cannot fail");
}

fn shortened(value: &str) -> &str {
    let end = value.char_indices().nth(SHOWN_LENGTH_MAX).map_or(value.len(), |(at, _)| at);
    &value[..end]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::ops::cases;

    #[test]
    fn a_request_full_of_violations_is_refused_at_once() {
        let long = "k".repeat(1_900);
        let tags: Vec<String> = (0..10_000).map(|number| format!(r#""{long}{number}":"""#)).collect();
        let body = format!(r#"{{"StreamName":"a","Tags":{{{}}}}}"#, tags.join(","));
        let began = Instant::now();
        let fault = cases::input("AddTagsToStream", &body).unwrap_err();
        // Showing the whole map for each key took minutes.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(format!("{fault:?}").starts_with("Validation(\"2 validation errors detected: "));
    }
}
