//! Turns the service model (`service-model.json`: shapes, bounds and errors of all operations) into tables of Rust.
//!
//! Also says when the program was built, before which no clock can be right: SOURCE_DATE_EPOCH, or the time of the newest
//! commit, less a day. The same sources give the same date; an incremental build may keep an older one, which is as right.
//!
//! The one place where bounds of members come from; `src/ops/service_model.rs` includes the result. Only what a
//! request can reach is generated.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const MODEL: &str = "service-model.json";
/// A clock of whoever commits may be ahead, and the build may run elsewhere at once.
const DAY_S: u64 = 86_400;
/// 2026-11-01T00:00:00Z.
const FIRST_RELEASE_S: u64 = 1_793_491_200;

fn main() {
    println!("cargo::rerun-if-changed={MODEL}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string(MODEL).expect("the service model stands beside the manifest");
    let model: Value = serde_json::from_str(&text).expect("the service model is JSON");
    let generated = Tables::new(&model).write();
    let out = env::var_os("OUT_DIR").expect("cargo names the directory");
    fs::write(Path::new(&out).join("service_model.rs"), generated).expect("the directory can be written");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let built_ms = built_s().saturating_sub(DAY_S) * 1_000;
    fs::write(Path::new(&out).join("built_ms.rs"), built_ms.to_string())
        .expect("the directory can be written");
}

/// Seconds since the epoch: the date that the build is asked for, or that of the newest commit, or, for sources without
/// either, that of the first release.
fn built_s() -> u64 {
    let asked = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.trim().parse().ok());
    let of_commit = || {
        let git = Command::new("git").args(["log", "-1", "--format=%ct"]).output().ok()?;
        std::str::from_utf8(&git.stdout).ok()?.trim().parse().ok()
    };
    asked.or_else(of_commit).unwrap_or(FIRST_RELEASE_S)
}

struct Tables<'a> {
    model: &'a Value,
    /// Patterns as the model writes them; a pattern is known by its position.
    patterns: Vec<&'a str>,
}

impl<'a> Tables<'a> {
    fn new(model: &'a Value) -> Self {
        let shapes = model["shapes"].as_object().expect("shapes by name");
        let patterns: BTreeSet<&str> =
            shapes.values().filter_map(|shape| shape["pattern"].as_str()).collect();
        Self { model, patterns: patterns.into_iter().collect() }
    }

    fn write(&self) -> String {
        let mut out = String::new();
        let operations = self.model["operations"].as_object().expect("operations by name");
        let mut reached = BTreeSet::new();
        let count = operations.len();
        writeln!(out, "/// Every operation of the service model, in order of name.").unwrap();
        writeln!(out, "pub static OPERATIONS: [Operation; {count}] = [").unwrap();
        for (name, operation) in operations {
            let input = operation["input"].as_str();
            input.inspect(|input| self.reach(input, &mut reached));
            let members = input.map_or_else(|| "&[]".to_owned(), |input| format!("&{}", members_name(input)));
            let errors = &operation["errors"];
            let has_output = operation["output"].is_string();
            writeln!(
                out,
                "    Operation {{ name: {name:?}, members: {members}, has_output: {has_output}, errors: &{errors} }},"
            )
            .unwrap();
        }
        out.push_str("];\n");
        for name in reached {
            self.write_shape(name, &mut out);
        }
        writeln!(out, "/// The patterns of the model: as it writes them, and for the regex library.")
            .unwrap();
        writeln!(out, "pub static PATTERNS: [(&str, &str); {}] = {:?};", self.patterns.len(), self.pairs())
            .unwrap();
        out
    }

    fn shape(&self, name: &str) -> &'a Value {
        &self.model["shapes"][name]
    }

    /// Adds a shape and all that it is made of.
    fn reach(&self, name: &'a str, reached: &mut BTreeSet<&'a str>) {
        if !reached.insert(name) {
            return;
        }
        let shape = self.shape(name);
        let members = shape["members"].as_object().into_iter().flat_map(|members| members.values());
        // Keys and values of maps are texts, which are written where they stand.
        for part in members.chain([&shape["member"]]).filter_map(Value::as_str) {
            self.reach(part, reached);
        }
    }

    fn write_shape(&self, name: &str, out: &mut String) {
        let shape = self.shape(name);
        if let Some(members) = shape["members"].as_object() {
            let required = |member: &str| {
                shape["required"]
                    .as_array()
                    .is_some_and(|required| required.iter().any(|name| name == member))
            };
            writeln!(out, "static {}: [Member; {}] = [", members_name(name), members.len()).unwrap();
            for (member, of) in members {
                let kind = kind_name(of.as_str().expect("a member names its shape"));
                writeln!(
                    out,
                    "    Member {{ name: {member:?}, required: {}, kind: {kind} }},",
                    required(member)
                )
                .unwrap();
            }
            out.push_str("];\n");
        }
        let operations = self.model["operations"].as_object().expect("operations by name");
        if operations.values().all(|operation| operation["input"].as_str() != Some(name)) {
            writeln!(out, "const {}: Kind = {};", kind_name(name), self.kind(name)).unwrap();
        }
    }

    fn kind(&self, name: &str) -> String {
        let shape = self.shape(name);
        let bound = |side: &str| shape[side].as_i64();
        let sized = format!("min: {}, max: {}", bound("min").unwrap_or(0), limit(bound("max")));
        match shape["type"].as_str().expect("a shape has a type") {
            "string" => format!("Kind::Text({})", self.text(name)),
            "integer" => format!("Kind::Integer {{ min: {:?}, max: {:?} }}", bound("min"), bound("max")),
            "boolean" => "Kind::Boolean".to_owned(),
            "timestamp" => "Kind::Timestamp".to_owned(),
            "blob" => format!("Kind::Blob {{ max: {} }}", bound("max").expect("a blob is bounded")),
            "structure" => format!("Kind::Structure(&{})", members_name(name)),
            "list" => {
                let element = kind_name(shape["member"].as_str().expect("a list has elements"));
                format!("Kind::List {{ element: &{element}, {sized} }}")
            }
            "map" => {
                let part = |side: &str| self.text(shape[side].as_str().expect("a map has keys and values"));
                format!("Kind::TextMap {{ key: {}, value: {}, {sized} }}", part("key"), part("value"))
            }
            other => panic!("shape {name} of a request has the unknown type {other}"),
        }
    }

    fn text(&self, name: &str) -> String {
        let shape = self.shape(name);
        let (min, max) = (shape["min"].as_i64(), shape["max"].as_i64());
        let length = match (min, max) {
            (None, None) => "None".to_owned(),
            _ => format!("Some(({}, {}))", min.unwrap_or(0), limit(max)),
        };
        let position =
            shape["pattern"].as_str().and_then(|own| self.patterns.iter().position(|at| *at == own));
        let pattern = position.map_or_else(|| "None".to_owned(), |at| format!("Some(Pattern({at}))"));
        let choices = shape["enum"].as_array().map_or_else(|| "[]".to_owned(), |_| shape["enum"].to_string());
        format!("Text {{ length: {length}, pattern: {pattern}, choices: &{choices} }}")
    }

    fn pairs(&self) -> Vec<(&'a str, String)> {
        self.patterns.iter().map(|pattern| (*pattern, for_regex(pattern))).collect()
    }
}

/// A pattern of Java for the regex library, which knows neither `\d` without Unicode's tables nor what ends a line in
/// Java. It matches the whole of a text.
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

fn members_name(shape: &str) -> String {
    format!("MEMBERS_OF_{}", upper_snake(shape))
}

fn kind_name(shape: &str) -> String {
    format!("KIND_{}", upper_snake(shape))
}

/// `StreamARN` is `STREAM_ARN`, `MaxRecordSizeInKiB` is `MAX_RECORD_SIZE_IN_KI_B`: unique is enough.
fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    let mut before = 'A';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
        before = letter;
    }
    out
}
