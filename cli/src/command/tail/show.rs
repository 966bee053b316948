//! One record as text: for people, as JSON, or its bytes alone.

use std::ops::RangeInclusive;
use std::sync::Arc;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::template::Template;
use crate::command::output::Screen;
use crate::command::shards::short;
use crate::command::time;
use tidelog_client::aggregation::deaggregate;
use tidelog_kinesis::Timestamp;
use tidelog_kinesis::operations::Record;

/// Escapes of a terminal: grey, cyan, green, yellow, and as before.
const GREY: &str = "\u{1b}[90m";
const CYAN: &str = "\u{1b}[36m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) enum Form {
    /// For people: a line each, and on a terminal JSON indented.
    Human(Screen),
    /// One object a line.
    Json,
    /// The data alone.
    Raw,
    /// A line each, by a template of the user.
    Template(Template),
}

/// A record of the application, with where it lay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct Shown {
    /// Name of the stream, where records of several are shown.
    pub(in crate::command) stream: Option<Arc<str>>,
    pub(in crate::command) shard: String,
    pub(in crate::command) sequence_number: String,
    /// The number in an aggregated record; `None` for a record as it is.
    pub(in crate::command) part: Option<usize>,
    pub(in crate::command) arrival: Timestamp,
    pub(in crate::command) key: String,
    /// The hash key that was given for a part of an aggregated record; a record as it is does not carry its own.
    pub(in crate::command) hash_key: Option<String>,
    pub(in crate::command) data: Bytes,
}

impl Shown {
    /// The records that were put together in this one, or itself. Of an aggregated record only those within the
    /// shard's `range` count, if that is known: the others were written again where they belong.
    pub(in crate::command) fn parts(
        shard: &str,
        record: &Record,
        range: Option<&RangeInclusive<u128>>,
    ) -> Vec<Self> {
        let shown = |part, key: String, hash_key, data: Bytes| Self {
            stream: None,
            shard: shard.into(),
            sequence_number: record.sequence_number.clone(),
            part,
            arrival: record.approximate_arrival_timestamp,
            key,
            hash_key,
            data,
        };
        let Some(parts) = deaggregate(&record.data.0) else {
            return vec![shown(None, record.partition_key.clone(), None, record.data.0.clone())];
        };
        let own = parts.into_iter().enumerate();
        let own = own.filter(|(_, part)| range.is_none_or(|range| part.belongs_to(range)));
        own.map(|(at, part)| shown(Some(at), part.partition_key, part.explicit_hash_key, part.data)).collect()
    }
}

/// The record with the line's end behind it.
pub(in crate::command) fn written(shown: &Shown, form: &Form) -> Vec<u8> {
    match form {
        Form::Raw => [&shown.data[..], b"\n"].concat(),
        Form::Json => json(shown).into_bytes(),
        Form::Human(screen) => human(shown, *screen).into_bytes(),
        Form::Template(template) => template.written(shown).into_bytes(),
    }
}

/// One object on a line, from which the record can be restored exactly: `data` is the record's own text where that
/// is an object or an array of JSON on one line, and else a string of its text; bytes that are no text are in
/// `data_base64`.
fn json(shown: &Shown) -> String {
    let mut object = json!({
        "shard": shown.shard,
        "sequence_number": shown.sequence_number,
        "arrival": time::written(shown.arrival),
        "key": shown.key,
    });
    if let Some(part) = shown.part {
        object["part"] = part.into();
    }
    if let Some(hash_key) = &shown.hash_key {
        object["explicit_hash_key"] = hash_key.as_str().into();
    }
    if let Some(stream) = &shown.stream {
        object["stream"] = stream.as_ref().into();
    }
    match std::str::from_utf8(&shown.data) {
        Ok(text) if is_json_on_a_line(text) => {
            let mut line = object.to_string();
            line.pop();
            return format!("{line},\"data\":{text}}}\n");
        }
        Ok(text) => object["data"] = text.into(),
        Err(_) => object["data_base64"] = STANDARD.encode_to_string(&shown.data).into(),
    }
    object.to_string() + "\n"
}

/// Whether the text is an object or an array of JSON, without a line's end in it or white space around it.
fn is_json_on_a_line(text: &str) -> bool {
    let has_ends =
        (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'));
    has_ends && !text.contains(['\n', '\r']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn human(shown: &Shown, screen: Screen) -> String {
    let part = shown.part.map(|part| format!("/{part}")).unwrap_or_default();
    let head = [time::written(shown.arrival), format!("{}{part}", short(&shown.shard)), visible(&shown.key)];
    let data = match std::str::from_utf8(&shown.data) {
        Ok(text) => data(text, screen),
        Err(_) => line_of(&shown.data),
    };
    let stream = shown.stream.as_ref().map(|stream| format!("{stream}  ")).unwrap_or_default();
    let [arrival, shard, key] = head;
    if screen.has_colour {
        return format!("{GREY}{arrival}  {stream}{shard}{PLAIN}  {CYAN}{key}{PLAIN}  {data}\n");
    }
    format!("{arrival}  {stream}{shard}  {key}  {data}\n")
}

/// The data on one line: text with its controls as escapes, other bytes in base64.
pub(super) fn line_of(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) => visible(text),
        Err(_) => format!("base64:{}", STANDARD.encode_to_string(data)),
    }
}

/// On a terminal objects and arrays of JSON are indented; anything else is a line.
fn data(text: &str, screen: Screen) -> String {
    let value = if screen.is_terminal { serde_json::from_str::<Value>(text).ok() } else { None };
    match value {
        Some(value) if value.is_object() || value.is_array() => {
            let mut pretty = String::new();
            indented(&value, 0, screen.has_colour, &mut pretty);
            pretty
        }
        _ => visible(text),
    }
}

/// Controls could make a terminal do things; they are written as escapes.
pub(in crate::command) fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut visible, letter| {
        if letter.is_control() && letter != '\t' {
            visible.extend(letter.escape_default());
        } else {
            visible.push(letter);
        }
        visible
    })
}

fn indented(value: &Value, depth: usize, has_colour: bool, pretty: &mut String) {
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    match value {
        Value::Object(members) if !members.is_empty() => {
            pretty.push('{');
            for (place, (name, member)) in members.iter().enumerate() {
                pretty.push_str(if place == 0 { "" } else { "," });
                pretty.push_str(&line(depth + 1));
                pretty.push_str(&coloured(&Value::from(name.as_str()).to_string(), CYAN, has_colour));
                pretty.push_str(": ");
                indented(member, depth + 1, has_colour, pretty);
            }
            pretty.push_str(&line(depth));
            pretty.push('}');
        }
        Value::Array(members) if !members.is_empty() => {
            pretty.push('[');
            for (place, member) in members.iter().enumerate() {
                pretty.push_str(if place == 0 { "" } else { "," });
                pretty.push_str(&line(depth + 1));
                indented(member, depth + 1, has_colour, pretty);
            }
            pretty.push_str(&line(depth));
            pretty.push(']');
        }
        // JSON escapes the controls in it, but for those above 7F.
        Value::String(_) => pretty.push_str(&coloured(&visible(&value.to_string()), GREEN, has_colour)),
        _ => pretty.push_str(&coloured(&value.to_string(), YELLOW, has_colour)),
    }
}

fn coloured(text: &str, colour: &str, has_colour: bool) -> String {
    if has_colour { format!("{colour}{text}{PLAIN}") } else { text.into() }
}

#[cfg(test)]
mod tests;
