//! Where the partition key of a line comes from.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Bound of a partition key, in characters.
const KEY_MAX: usize = 256;

/// Where the partition key of a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// One key for all records.
    Fixed(String),
    /// A field of the line, which is a JSON object; fields of fields with a point between.
    Field(String),
    /// One of its own for each, so that lines go to all shards alike.
    Random,
}

impl KeySource {
    /// The key of that line.
    ///
    /// # Errors
    /// Why it has none, in words that are the same for all lines with that fault.
    pub(super) fn of(&self, line: &[u8]) -> Result<String, String> {
        match self {
            Self::Fixed(key) => Ok(key.clone()),
            Self::Random => Ok(format!("{:016x}", rand::random::<u64>())),
            Self::Field(field) => of_field(line, field),
        }
    }
}

/// Fields of an object of JSON, as they are written.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn of_field(line: &[u8], field: &str) -> Result<String, String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8, so not JSON".to_owned())?;
    let fields: Fields<'_> = serde_json::from_str(line).map_err(|_| {
        let is_other =
            !line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok();
        if is_other { "JSON, but not an object".to_owned() } else { "not JSON".to_owned() }
    })?;
    let Some(value) = found(&fields, field) else { return Err(format!("no field {field}")) };
    let key = match value.get() {
        text if text.starts_with('"') => serde_json::from_str(text).map_err(|_| "not JSON".to_owned())?,
        other if other == "null" || other.starts_with(['{', '[']) => {
            return Err(format!("the field {field} is neither text nor a number"));
        }
        // The text of the number stays: a float would make one key of two large numbers.
        number => number.to_owned(),
    };
    match fixed(&key) {
        Ok(key) => Ok(key),
        Err(_) => Err(format!("the field {field} is empty or longer than {KEY_MAX} characters")),
    }
}

/// A field whose name has the points in it goes before fields of fields.
fn found<'a>(fields: &Fields<'a>, field: &str) -> Option<&'a RawValue> {
    if let Some(own) = fields.get(field) {
        return Some(own);
    }
    let mut names = field.split('.');
    let first: &RawValue = fields.get(names.next()?)?;
    names.try_fold(first, |value, name| {
        serde_json::from_str::<Fields<'a>>(value.get()).ok()?.get(name).copied()
    })
}

/// A key that may be one.
pub(super) fn fixed(key: &str) -> Result<String, String> {
    if (1..=KEY_MAX).contains(&key.chars().count()) {
        return Ok(key.into());
    }
    Err(format!("a partition key has 1 to {KEY_MAX} characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_gives_its_text_or_says_why_not() {
        let long = format!("{{\"user\": \"{}\"}}", "x".repeat(257));
        let cases: [(&[u8], &str, Result<&str, &str>); 19] = [
            (b"{\"user\": \"ada\"}", "user", Ok("ada")),
            (b"{\"user\": {\"id\": 42}}", "user.id", Ok("42")),
            (b"{\"user.id\": true, \"user\": {\"id\": 1}}", "user.id", Ok("true")),
            (b"{\"n\": 1.50}", "n", Ok("1.50")),
            (b"{\"n\":18446744073709551616}", "n", Ok("18446744073709551616")),
            (b"{\"n\":{\"n\":18446744073709551617}}", "n.n", Ok("18446744073709551617")),
            (b"{\"n\": 1e400 }", "n", Ok("1e400")),
            (b"{\"u\": \"a\\u00e9\", \"n\": 1e400}", "u", Ok("a\u{e9}")),
            (b"{\"u\": 1, \"u\": 2}", "u", Ok("2")),
            (b"{\"u\": 1}", "u.v", Err("no field u.v")),
            (b"1e400", "u", Err("JSON, but not an object")),
            (b"{\"user\": null}", "user", Err("the field user is neither text nor a number")),
            (b"{\"user\": []}", "user", Err("the field user is neither text nor a number")),
            (b"{\"other\": 1}", "user", Err("no field user")),
            (b"{\"user\": \"\"}", "user", Err("the field user is empty or longer than 256 characters")),
            (long.as_bytes(), "user", Err("the field user is empty or longer than 256 characters")),
            (b"[1]", "user", Err("JSON, but not an object")),
            (b"{\"user\": \"ada\"", "user", Err("not JSON")),
            (b"{\"user\": \"\xff\"}", "user", Err("not UTF-8, so not JSON")),
        ];
        for (line, field, expected) in cases {
            let key = KeySource::Field(field.into()).of(line);
            assert_eq!(key.as_deref().map_err(String::as_str), expected, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(KeySource::Fixed("k".into()).of(b"\xff"), Ok("k".into()));
        assert_ne!(KeySource::Random.of(b""), KeySource::Random.of(b""));
    }
}
