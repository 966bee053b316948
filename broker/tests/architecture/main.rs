//! Holds the documents to the code (files and functions, the operations, the tables that are made from code), and the
//! code to the matrix of allowed imports and to the guide for comments.

mod comments;
mod documents;
mod imports;
mod matrix;
mod tidy;

use std::path::{Path, PathBuf};

use tidelog::ops::api::{Operation, State};
use tidelog::room::{self, resources};

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

#[test]
fn the_page_of_the_api_has_the_state_of_every_operation() {
    let root = workspace();
    let text = std::fs::read_to_string(root.join("docs/kinesis-api.md")).expect("docs/kinesis-api.md");
    let (_, table) = text.split_once("| operation | there | note |\n|---|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let told: Vec<(&str, &str)> = rows
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
    assert_eq!(told, expected);
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
