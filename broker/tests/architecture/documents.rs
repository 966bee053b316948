//! Holds the documents to the code and to each other: the files, functions, pages and headings that they name exist.
//! The test at the end plants violations of each rule.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use tidelog::limits;

use super::{files_below, workspace};

/// Documents outside of `docs/`.
const DOCUMENTS: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "benches/RESULTS.md",
    "client/README.md",
    "deploy/OPERATIONS.md",
    "deploy/RESOURCES.md",
    "storage/FORMAT.md",
];
/// Ends of names that are files of the repository wherever a document writes them with their directory.
const FILES: [&str; 8] = [".rs", ".md", ".py", ".proto", ".toml", ".json", ".bin", ".yml"];
/// Functions that the documents name at least: a document that loses its names is no longer compared with the code.
const NAMED_FUNCTIONS_MIN: usize = 270;

/// Texts by their path from the root.
type Texts = BTreeMap<String, String>;

/// The text of a file of the repository; empty for a directory or for bytes, `None` for nothing.
fn read(name: &str) -> Option<String> {
    let path = workspace().join(name);
    path.exists().then(|| std::fs::read_to_string(path).unwrap_or_default())
}

fn documents() -> Texts {
    let root = workspace();
    let from_root =
        |path: &Path| path.strip_prefix(root).expect("below").to_str().expect("a name").to_owned();
    let pages = files_below(&root.join("docs"), "md").into_iter().map(|path| from_root(&path));
    let names = DOCUMENTS.iter().map(|name| (*name).to_owned()).chain(pages);
    names.map(|name| (name.clone(), read(&name).unwrap_or_else(|| panic!("{name} is gone")))).collect()
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Pairs of (file, function) that a text names as `` `file`: `function`, `function` ``.
fn named_functions(text: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = text.split('`').collect();
    let mut found = Vec::new();
    let mut file: Option<&str> = None;
    // Odd pieces stand between backticks, even ones are the prose around them.
    for (index, word) in words.iter().enumerate().skip(1).step_by(2) {
        let before = words[index - 1].trim();
        if word.ends_with(".rs") || word.ends_with(".py") {
            file = Some(word);
        } else if let Some(file) = file
            && (before == ":" || before == ",")
        {
            found.push((file.to_owned(), (*word).to_owned()));
        } else {
            file = None;
        }
    }
    found
}

/// Functions that a document names and that their file does not define.
fn faults_of_functions(documents: &Texts, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (document, text) in documents {
        for (file, function) in named_functions(&prose(text)) {
            let code = read(&file).unwrap_or_default();
            let definitions =
                [format!("fn {function}("), format!("fn {function}<"), format!("def {function}(")];
            if !definitions.iter().any(|definition| code.contains(definition)) {
                faults.push(format!("{document} names {function} in {file}, which does not define it"));
            }
        }
    }
    faults
}

/// Pairs of (name, file) that a text names as `` `name` in `file` ``.
fn named_items(text: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = text.split('`').collect();
    let is_name = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let items = words.windows(3).enumerate().filter(|(at, _)| at % 2 == 1).map(|(_, words)| words);
    let named =
        items.filter(|words| words[1].trim() == "in" && is_name(words[0]) && words[2].ends_with(".rs"));
    named.map(|words| (words[0], words[2])).collect()
}

/// Types and constants that a document names and that their file does not have.
fn faults_of_items(documents: &Texts, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (document, text) in documents {
        let text = prose(text);
        for (name, file) in named_items(&text) {
            let code = read(file).unwrap_or_default();
            if !code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name) {
                faults.push(format!("{document} names {name} in {file}, which does not have it"));
            }
        }
    }
    faults
}

/// Files that a document names, from the root or from its own directory, and that are not there.
fn faults_of_files(documents: &Texts, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (document, text) in documents {
        let text = prose(text);
        let is_file = |word: &&str| {
            let is_name = word.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
            let is_path = word.contains('/') || word.ends_with(".rs");
            is_name && is_path && FILES.iter().any(|end| word.ends_with(end))
        };
        for word in text.split('`').skip(1).step_by(2).filter(is_file) {
            if read(word).or_else(|| read(&beside(document, word))).is_none() {
                faults.push(format!("{document} names {word}, which does not exist"));
            }
        }
    }
    faults
}

/// The path from the root of something that a document names from its own directory.
fn beside(document: &str, name: &str) -> String {
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in name.split('/') {
        match part {
            ".." => _ = path.pop(),
            "." => {}
            part => path.push(part),
        }
    }
    path.join("/")
}

/// The anchors of a document's headings, as the usual renderers make them.
fn anchors(text: &str) -> Vec<String> {
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings(text).map(anchor).collect()
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// Links between documents, and to files, that lead nowhere.
fn faults_of_links(documents: &Texts, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("an expression");
    let mut faults = Vec::new();
    for (document, text) in documents {
        for found in link.captures_iter(&prose(text)) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document.clone() } else { beside(document, file) };
            let Some(text) = read(&file) else {
                faults.push(format!("{document} links to {target}, which does not exist"));
                continue;
            };
            if !anchor.is_empty() && !anchors(&prose(&text)).iter().any(|found| found == anchor) {
                faults.push(format!("{document} links to {target}, and {file} has no such heading"));
            }
        }
    }
    faults
}

/// Headings that a text names as `DOCUMENT.md, "Heading"` and that the document does not have.
fn faults_of_headings(texts: &Texts, documents: &Texts) -> Vec<String> {
    let named = Regex::new(r#"([\w-]+\.md)\)?,\s+\\?"([^"\\]+)\\?""#).expect("an expression");
    let mut faults = Vec::new();
    for (from, text) in texts {
        for found in named.captures_iter(text) {
            let (name, heading) = (&found[1], &found[2]);
            let mut candidates = documents.iter().filter(|(path, _)| path.rsplit('/').next() == Some(name));
            if !candidates.any(|(_, text)| headings(&prose(text)).any(|found| found == heading)) {
                faults.push(format!("{from} names \"{heading}\" of {name}, which has no such heading"));
            }
        }
    }
    faults
}

#[test]
fn the_functions_and_files_of_the_documents_exist() {
    let documents = documents();
    let named: usize = documents.values().map(|text| named_functions(&prose(text)).len()).sum();
    assert!(named >= NAMED_FUNCTIONS_MIN, "the documents name only {named} functions");
    assert_eq!(faults_of_functions(&documents, &read), [""; 0]);
    assert_eq!(faults_of_items(&documents, &read), [""; 0]);
    assert_eq!(faults_of_files(&documents, &read), [""; 0]);
}

#[test]
fn the_links_and_headings_of_the_documents_exist() {
    let documents = documents();
    assert_eq!(faults_of_links(&documents, &read), [""; 0]);
    let root = workspace();
    let mut texts = documents.clone();
    for directory in ["broker/src", "storage/src", "cli/src", "client/src", "proto", "testkit/src", "benches"]
    {
        for path in ["rs", "proto"].iter().flat_map(|extension| files_below(&root.join(directory), extension))
        {
            let text = std::fs::read_to_string(&path).expect("a text");
            texts.insert(path.display().to_string(), text);
        }
    }
    assert_eq!(faults_of_headings(&texts, &documents), [""; 0]);
}

#[test]
fn the_metrics_of_the_documents_exist() {
    let metric = Regex::new(r"`(tidelog_[a-z_]+?)(_count)?[`{]").expect("an expression");
    let sources = files_below(&workspace().join("broker/src"), "rs");
    let code: String = sources.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect();
    let mut named = 0;
    for (document, text) in documents() {
        for found in metric.captures_iter(&prose(&text)) {
            named += 1;
            assert!(
                code.contains(&format!("\"{}\"", &found[1])),
                "{document} names {}: no such metric",
                &found[1]
            );
        }
    }
    assert!(named > 10, "the documents name only {named} metrics");
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[test]
fn the_limits_of_the_page_are_those_of_the_code() {
    const MIB: u64 = 1 << 20;
    let aws = limits::ShardLimits::aws();
    let [write_bytes, write_records, read_bytes, read_calls, iterators] = [
        aws.write_bytes_per_second,
        aws.write_records_per_second,
        aws.read_bytes_per_second,
        aws.read_calls_per_second,
        aws.iterators_per_second,
    ]
    .map(|limit| limit.expect("AWS limits it"));
    let record_mib = u64::from(limits::RECORD_KIB_MAX) / 1_024;
    let rows = [
        format!(
            "in, per shard | {} MiB/s and {} records/s, bursts to one record of {record_mib} MiB",
            write_bytes / MIB,
            grouped(write_records)
        ),
        format!("out, per shard | {} MiB/s and {read_calls} calls/s", read_bytes / MIB),
        format!("iterators, per open shard | {iterators}/s"),
        format!(
            "record | {} MiB of data and key by default, {record_mib} MiB at most",
            limits::RECORD_KIB_BY_DEFAULT / 1_024
        ),
        format!(
            "PutRecords | {} records, {} MiB",
            limits::PUT_RECORDS_MAX,
            limits::PUT_RECORDS_BYTES_MAX / MIB
        ),
        format!(
            "retention | {} h to {} h;",
            limits::RETENTION_HOURS_MIN,
            grouped(limits::RETENTION_HOURS_MAX.into())
        ),
        format!("iterator | {} minutes", limits::ITERATOR_LIFE_MS / 60_000),
    ];
    let page = read("docs/kinesis-api.md").expect("a page");
    let missing: Vec<&String> = rows.iter().filter(|row| !page.contains(&format!("| {row}"))).collect();
    assert!(missing.is_empty(), "docs/kinesis-api.md has to say {missing:?}");
}

#[test]
fn every_page_is_in_the_index() {
    let documents = documents();
    let index = &documents["docs/README.md"];
    let missing: Vec<&String> = documents
        .keys()
        .filter(|page| *page != "docs/README.md")
        .filter(|page| page.strip_prefix("docs/").is_some_and(|page| !index.contains(&format!("({page})"))))
        .collect();
    assert!(missing.is_empty(), "docs/README.md has no row for {missing:?}");
}

#[test]
fn planted_violations_are_found() {
    let one = |text: &str| Texts::from([("docs/page.md".to_owned(), text.to_owned())]);
    let read = |name: &str| {
        let texts = [("a/b.rs", "fn run() {}"), ("docs/page.md", "## One `two`: three\n"), ("docs/c.py", "")];
        texts.iter().find(|(found, _)| *found == name).map(|(_, text)| (*text).to_owned())
    };
    for (text, faults) in [
        ("goes on (`a/b.rs`: `run`)", 0),
        ("goes on (`a/b.rs`: `run`, `walk`)", 1),
        ("goes on (`a/c.rs`: `run`)", 1),
    ] {
        assert_eq!(faults_of_functions(&one(text), &read).len(), faults, "{text}");
    }
    for (text, faults) in
        [("by `run` in `a/b.rs`", 0), ("by `walk` in\n`a/b.rs`", 1), ("by `run` in `c.rs`", 1)]
    {
        assert_eq!(faults_of_items(&one(text), &read).len(), faults, "{text}");
    }
    for (text, faults) in [
        ("`a/b.rs` `c.py` `x.py` `of/*.rs`", 0),
        ("`b.rs`", 1),
        ("`a/x.md`", 1),
        ("```\n`a/x.md`\n```", 0),
        ("`../docs/c.py` `../a/x.py`", 1),
    ] {
        assert_eq!(faults_of_files(&one(text), &read).len(), faults, "{text}");
    }
    for (text, faults) in [
        ("[a](../a/b.rs) [b](#one-two-three) [c](page.md#one-two-three) [d](https://host/x)", 0),
        ("[a](a/b.rs)", 1),
        ("[b](#two)", 1),
        ("[c](page.md#two)", 1),
    ] {
        assert_eq!(faults_of_links(&one(text), &read).len(), faults, "{text}");
    }
    let documents = one("## One\n");
    for (text, faults) in
        [("(page.md, \"One\")", 0), ("(page.md,\n\\\"Two\\\")", 1), ("[p](page.md), \"Two\"", 1)]
    {
        assert_eq!(faults_of_headings(&one(text), &documents).len(), faults, "{text}");
    }
}
