//! Writes the operations and the tables of members with their bounds.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::{Model, upper_snake};

/// Constants of `src/limits.rs` that are upper bounds of shapes: name, type and shape.
const BOUNDS: [(&str, &str, &str); 7] = [
    ("STREAM_NAME_LENGTH_MAX", "usize", "StreamName"),
    ("PARTITION_KEY_LENGTH_MAX", "usize", "PartitionKey"),
    ("PUT_RECORDS_MAX", "usize", "PutRecordsRequestEntryList"),
    ("GET_RECORDS_MAX", "usize", "GetRecordsInputLimit"),
    ("RECORD_DATA_BYTES_MAX", "u64", "Data"),
    ("RECORD_KIB_MAX", "u32", "MaxRecordSizeInKiB"),
    ("SHARD_ITERATOR_LENGTH_MAX", "usize", "ShardIterator"),
];

/// The enumeration of operations, the tables of all structures, and the patterns.
pub fn write(model: &Model<'_>) -> String {
    let mut out = String::new();
    write_operations(model, &mut out);
    let patterns: BTreeSet<&str> = model.shapes().filter_map(|shape| shape["pattern"].as_str()).collect();
    let tables = Tables { model, patterns: patterns.into_iter().collect() };
    for name in &model.reached {
        tables.write_shape(name, &mut out);
    }
    let pairs: Vec<_> = tables.patterns.iter().map(|pattern| (*pattern, for_regex(pattern))).collect();
    writeln!(out, "/// The patterns of the model: as the model writes them, and for the regex library.")
        .unwrap();
    writeln!(out, "pub static PATTERNS: [(&str, &str); {}] = {pairs:?};", pairs.len()).unwrap();
    out
}

/// The upper bounds of shapes that code outside of the tables needs, as constants.
pub fn write_bounds(model: &Model<'_>) -> String {
    let mut out = String::new();
    for (name, kind, shape) in BOUNDS {
        let max = model.shape(shape)["max"].as_u64().unwrap_or_else(|| panic!("{shape} has no upper bound"));
        writeln!(out, "pub const {name}: {kind} = {max};").unwrap();
    }
    out
}

fn write_operations(model: &Model<'_>, out: &mut String) {
    let count = model.operations.len();
    writeln!(out, "/// An operation of the service model; they are in order of name.").unwrap();
    writeln!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]").unwrap();
    writeln!(out, "pub enum Operation {{").unwrap();
    for name in &model.operations {
        writeln!(out, "/// {name}.\n{name},").unwrap();
    }
    writeln!(out, "}}").unwrap();
    writeln!(out, "impl Operation {{").unwrap();
    writeln!(out, "/// All operations, in order of name.").unwrap();
    writeln!(out, "pub const ALL: [Self; {count}] = [").unwrap();
    for name in &model.operations {
        writeln!(out, "Self::{name},").unwrap();
    }
    writeln!(out, "];").unwrap();
    writeln!(out, "/// The operation's name, such as `CreateStream`.").unwrap();
    writeln!(out, "#[must_use]\npub const fn name(self) -> &'static str {{ match self {{").unwrap();
    for name in &model.operations {
        writeln!(out, "Self::{name} => {name:?},").unwrap();
    }
    writeln!(out, "}} }}").unwrap();
    writeln!(out, "/// Names of the exceptions that the operation declares.").unwrap();
    writeln!(out, "#[must_use]\npub const fn errors(self) -> &'static [&'static str] {{ match self {{")
        .unwrap();
    for name in &model.operations {
        writeln!(out, "Self::{name} => &{},", model.errors(name)).unwrap();
    }
    writeln!(out, "}} }}").unwrap();
    writeln!(out, "}}").unwrap();
}

struct Tables<'a> {
    model: &'a Model<'a>,
    /// Patterns as the model writes them; a table refers to a pattern by its position.
    patterns: Vec<&'a str>,
}

impl Tables<'_> {
    fn write_shape(&self, name: &str, out: &mut String) {
        if self.model.kind(name) == "structure" {
            let members = self.model.table(name);
            writeln!(out, "static {}: [Member; {}] = [", members_name(name), members.len()).unwrap();
            for (member, shape) in members {
                let (required, kind) = (self.model.is_required(name, member), kind_name(shape));
                writeln!(out, "Member {{ name: {member:?}, required: {required}, kind: {kind} }},").unwrap();
            }
            out.push_str("];\n");
        }
        if self.model.is_part(name) {
            writeln!(out, "const {}: Kind = {};", kind_name(name), self.kind(name)).unwrap();
        }
    }

    fn kind(&self, name: &str) -> String {
        let shape = self.model.shape(name);
        let bound = |side: &str| shape[side].as_i64();
        let sized = format!("min: {}, max: {}", bound("min").unwrap_or(0), limit(bound("max")));
        match self.model.kind(name) {
            "string" => format!("Kind::Text({})", self.text(name)),
            "integer" => format!("Kind::Integer {{ min: {:?}, max: {:?} }}", bound("min"), bound("max")),
            "boolean" => "Kind::Boolean".to_owned(),
            "timestamp" => "Kind::Timestamp".to_owned(),
            "blob" => format!("Kind::Blob {{ max: {} }}", bound("max").expect("a blob is bounded")),
            "structure" => format!("Kind::Structure(&{})", members_name(name)),
            "list" => {
                format!("Kind::List {{ element: &{}, {sized} }}", kind_name(self.model.element(name)))
            }
            "map" => {
                let part = |side: &str| self.text(shape[side].as_str().expect("a map has keys and values"));
                format!("Kind::TextMap {{ key: {}, value: {}, {sized} }}", part("key"), part("value"))
            }
            other => panic!("shape {name} has the unknown type {other}"),
        }
    }

    fn text(&self, name: &str) -> String {
        let shape = self.model.shape(name);
        let (min, max) = (shape["min"].as_i64(), shape["max"].as_i64());
        let length = match (min, max) {
            (None, None) => "None".to_owned(),
            _ => format!("Some(({}, {}))", min.unwrap_or(0), limit(max)),
        };
        let position =
            shape["pattern"].as_str().and_then(|own| self.patterns.iter().position(|at| *at == own));
        let pattern = position.map_or_else(|| "None".to_owned(), |at| format!("Some(Pattern({at}))"));
        format!("Text {{ length: {length}, pattern: {pattern}, choices: &{:?} }}", self.model.choices(name))
    }
}

/// Translates a pattern of Java for the regex crate, which is built without Unicode's tables (`\d`, `\S`) and ends
/// lines differently. The pattern matches the whole of a text.
fn for_regex(pattern: &str) -> String {
    let mut out = String::from("^(?:");
    let mut letters = pattern.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next().expect("nothing ends with a backslash") {
                'd' if !in_class => out.push_str("[0-9]"),
                'S' if !in_class => out.push_str(r"[^ \t\n\x0B\f\r]"),
                escaped if escaped.is_ascii_punctuation() => out.extend(['\\', escaped]),
                other => panic!("\\{other} in {pattern} is not translated"),
            },
            '.' if !in_class => out.push_str(r"[^\n\r\u{85}\u{2028}\u{2029}]"),
            _ => {
                in_class = (in_class || letter == '[') && letter != ']';
                out.push(letter);
            }
        }
    }
    out.push_str(")$");
    out
}

fn limit(max: Option<i64>) -> String {
    max.map_or_else(|| "usize::MAX".to_owned(), |max| max.to_string())
}

/// The name of a structure's table.
pub fn members_name(shape: &str) -> String {
    format!("MEMBERS_OF_{}", upper_snake(shape))
}

fn kind_name(shape: &str) -> String {
    format!("KIND_{}", upper_snake(shape))
}
