//! Where the partition key of a line comes from.

use serde_json::Value;

/// Bound of a partition key, in characters.
const KEY_MAX: usize = 256;

/// Where the partition key of a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// The same for all.
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

fn of_field(line: &[u8], field: &str) -> Result<String, String> {
    if std::str::from_utf8(line).is_err() {
        return Err("not UTF-8, so not JSON".into());
    }
    let value: Value = serde_json::from_slice(line).map_err(|_| "not JSON".to_owned())?;
    if !value.is_object() {
        return Err("JSON, but not an object".into());
    }
    let key = match found(&value, field) {
        Some(Value::String(text)) => text.clone(),
        Some(number @ (Value::Number(_) | Value::Bool(_))) => number.to_string(),
        Some(_) => return Err(format!("the field {field} is neither text nor a number")),
        None => return Err(format!("no field {field}")),
    };
    match fixed(&key) {
        Ok(key) => Ok(key),
        Err(_) => Err(format!("the field {field} is empty or longer than {KEY_MAX} characters")),
    }
}

/// A field whose name has the points in it goes before fields of fields.
fn found<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    if let Some(own) = value.get(field) {
        return Some(own);
    }
    field.split('.').try_fold(value, |value, name| value.get(name))
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
        let cases: [(&[u8], &str, Result<&str, &str>); 12] = [
            (b"{\"user\": \"ada\"}", "user", Ok("ada")),
            (b"{\"user\": {\"id\": 42}}", "user.id", Ok("42")),
            (b"{\"user.id\": true, \"user\": {\"id\": 1}}", "user.id", Ok("true")),
            (b"{\"n\": 1.50}", "n", Ok("1.5")),
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
