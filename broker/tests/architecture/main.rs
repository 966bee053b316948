//! Holds the documents to the code (files and functions, the operations, the tables that are made from code, alerts and
//! the reasons of `/ready`), and the code to the matrix of allowed imports and to the guide for comments and files.

mod comments;
mod documents;
mod imports;
mod lengths;
mod matrix;
mod monitoring;
mod tidy;

use std::path::{Path, PathBuf};

use tidelog::ops::api::{Operation, State};
use tidelog::room::{self, resources};

/// Directories with the workspace's Rust code.
const CODE: [&str; 11] = [
    "benches",
    "broker",
    "cli",
    "client",
    "fuzz",
    "kinesis",
    "proto",
    "storage",
    "tables",
    "testkit",
    "tests/clients/rust-sdk/src",
];

/// The root of the workspace.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    files_below(directory, "rs")
}

fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files
}

/// Findings of a rule in all of the workspace's code.
fn find_everywhere(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let root = workspace();
    let mut found = Vec::new();
    for path in CODE.iter().flat_map(|directory| rust_files(&root.join(directory))) {
        let name = path.strip_prefix(root).expect("below the root").to_str().expect("a name");
        if !name.split('/').any(|part| part == "target") {
            found.extend(rule(name, &std::fs::read_to_string(&path).expect("a text")));
        }
    }
    found
}

#[test]
fn the_page_of_the_api_has_the_state_of_every_operation() {
    let root = workspace();
    let text = std::fs::read_to_string(root.join("docs/kinesis-api.md")).expect("docs/kinesis-api.md");
    let (_, table) = text.split_once("| operation | there | note |\n|---|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let documented: Vec<(&str, &str)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1], cells[2])
        })
        .collect();
    let state = |operation: Operation| match operation.properties().state {
        State::Built => "yes",
        State::NotBuilt(_) => "not yet",
    };
    let expected: Vec<_> =
        Operation::ALL.into_iter().map(|operation| (operation.name(), state(operation))).collect();
    assert_eq!(documented, expected);
}

#[test]
fn the_tables_of_memory_and_resources_are_those_of_the_code() {
    let root = workspace();
    let tables = [("docs/design/memory.md", room::table()), ("deploy/RESOURCES.md", resources::table())];
    for (document, table) in tables {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        assert!(text.contains(&table), "{document} has to contain this table:\n{table}");
    }
    for resource in resources::RESOURCES {
        let (file, function) = resource.test.split_once(": ").expect("file and function");
        let code = std::fs::read_to_string(root.join(file))
            .unwrap_or_else(|error| panic!("{} names {file}: {error}", resource.name));
        let defined = [format!("fn {function}("), format!("def {function}(")];
        assert!(defined.iter().any(|definition| code.contains(definition)), "{file} has no {function}");
    }
}
