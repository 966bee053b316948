//! The bounds of the service model, checked by table.
//!
//! Within one member the pattern comes before the length; the order among members is free. At most ten violations
//! are named.

use std::fmt::Write as _;

use super::fields::Fields;
use super::shape::{Kind, Member, Text, utf16_length};
use super::value::{TextMap, Timestamp, Value};
use crate::limits::VIOLATIONS_MAX;
use crate::ops::fault::{Constraint, Fault, Validation, Violation};

/// Characters of a value shown in a violation; a longer value is truncated.
const SHOWN_LENGTH_MAX: usize = 8_192;

/// Checks every bound of the table.
///
/// # Errors
/// [`Fault::Validation`] that names the violations.
pub fn check(fields: &Fields, members: &[Member]) -> Result<(), Fault> {
    let mut violations = Violations::default();
    check_members(fields, members, "", &mut violations);
    violations.into_result()
}

/// Violations so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Whether no further one would be named.
    fn is_full(&self) -> bool {
        self.0.len() >= VIOLATIONS_MAX
    }

    /// Adds one: the value as Java shows it, the member's path, and the constraint.
    pub fn add(&mut self, value: &str, path: &str, constraint: Constraint) {
        if !self.is_full() {
            let value = Some(shortened(value).to_owned());
            self.0.push(Violation { value, path: path.to_owned(), constraint });
        }
    }

    /// Adds a required member that is missing.
    pub fn add_missing(&mut self, path: &str) {
        if !self.is_full() {
            self.0.push(Violation { value: None, path: path.to_owned(), constraint: Constraint::NotNull });
        }
    }

    /// Adds a length or a number of elements out of bounds.
    fn add_length(&mut self, value: &str, path: &str, length: usize, min: usize, max: usize) {
        if length < min {
            self.add(value, path, Constraint::LengthMin(min));
        }
        if length > max {
            self.add(value, path, Constraint::LengthMax(max));
        }
    }

    /// The fault that names them all; nothing when there are none.
    ///
    /// # Errors
    /// [`Fault::Validation`] when there is any.
    pub fn into_result(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Validation(Validation::Violations(self.0))) }
    }
}

fn check_members(fields: &Fields, members: &[Member], prefix: &str, violations: &mut Violations) {
    for (member, value) in members.iter().zip(fields.values()) {
        let path = || format!("{prefix}{}", lower_camel(member.name));
        match value {
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
            check_number(i64::from(*number), (*min, *max), path, violations);
        }
        (Kind::Blob { max }, Value::Blob(blob)) => {
            let max = usize::try_from(*max).unwrap_or(usize::MAX);
            violations.add_length(&shown(value), path, blob.decoded_len(), 0, max);
        }
        (Kind::Structure(members), Value::Structure(fields)) => {
            check_members(fields, members, &format!("{path}."), violations);
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
                violations.add(&shown(value), path, Constraint::ElementLength(min, max));
                return;
            }
            for (position, inner) in elements.iter().enumerate() {
                if violations.is_full() {
                    return;
                }
                check_value(inner, element, &format!("{path}.{}.member", position + 1), violations);
            }
        }
        (Kind::TextMap { key, value: inner, min, max }, Value::TextMap(TextMap(entries))) => {
            let shown = shown(value);
            violations.add_length(&shown, path, entries.len(), *min, *max);
            // Keys and values are reported for the whole map, once each (recorded for Tags).
            let mut check = |is_kept: bool, constraint: Constraint| {
                if !is_kept {
                    violations.add(&shown, path, constraint);
                }
            };
            let length = |shape: &Text| shape.length.unwrap_or_default();
            let ((key_min, key_max), (value_min, value_max)) = (length(key), length(inner));
            let are_keys = entries.iter().all(|(name, _)| key.allows(name));
            check(are_keys, Constraint::KeyLength(key_min, key_max));
            let are_values = entries.iter().all(|(_, text)| inner.allows(text));
            check(are_values, Constraint::ValueLength(value_min, value_max));
        }
        _ => {}
    }
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
        violations.add(text, path, Constraint::Pattern(pattern.text().into()));
    }
    if let Some((min, max)) = shape.length {
        violations.add_length(text, path, utf16_length(text), min, max);
    }
    if !shape.choices.is_empty() && !shape.choices.contains(&text) {
        let choices = shape.choices.iter().copied().map(Into::into).collect();
        violations.add(text, path, Constraint::Choices(choices));
    }
}

fn check_number(number: i64, bounds: (Option<i64>, Option<i64>), path: &str, violations: &mut Violations) {
    if let Some(min) = bounds.0.filter(|min| number < *min) {
        violations.add(&number.to_string(), path, Constraint::Min(min));
    }
    if let Some(max) = bounds.1.filter(|max| number > *max) {
        violations.add(&number.to_string(), path, Constraint::Max(max));
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
        Value::Integer(number) => write!(out, "{number}"),
        Value::Timestamp(Timestamp(time_ms)) => write!(out, "{time_ms}"),
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
        Value::TextMap(TextMap(entries)) => {
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

    use crate::ops::api::AddTagsToStreamInput;
    use crate::ops::cases;

    #[test]
    fn a_request_full_of_violations_is_refused_at_once() {
        let long = "k".repeat(1_900);
        let tags: Vec<String> = (0..10_000).map(|number| format!(r#""{long}{number}":"""#)).collect();
        let body = format!(r#"{{"StreamName":"a","Tags":{{{}}}}}"#, tags.join(","));
        let began = Instant::now();
        let fault = cases::input::<AddTagsToStreamInput>(&body).unwrap_err();
        // Showing the whole map for each key took minutes.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(fault.exception().text().starts_with("2 validation errors detected: "));
    }
}
