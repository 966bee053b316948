//! ARCHITECTURE.md tells the paths of requests by file and function, README.md which operations there are; this holds
//! both to the code, and the code to the matrix of allowed imports.

mod imports;
mod matrix;
mod tidy;

use std::path::{Path, PathBuf};

use tidelog::ops::{OPERATIONS, UNAVAILABLE};
use tidelog::room::{self, resources};

/// Pairs of (file, function) that the text names as `` `file`: `function`, `function` ``.
fn named_functions(text: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = text.split('`').collect();
    let mut found = Vec::new();
    let mut file: Option<&str> = None;
    // Odd pieces stand between backticks, even ones are the prose around them.
    for (index, word) in words.iter().enumerate().skip(1).step_by(2) {
        let before = words[index - 1].trim();
        if word.ends_with(".rs") {
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

#[test]
fn the_paths_of_architecture_md_exist() {
    let root = workspace();
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let named = named_functions(&text);
    assert!(named.len() >= 20, "the paths name files and functions: found only {named:?}");
    for (file, function) in named {
        let code = std::fs::read_to_string(root.join(&file))
            .unwrap_or_else(|error| panic!("ARCHITECTURE.md names {file}: {error}"));
        let defined = [format!("fn {function}("), format!("fn {function}<")];
        assert!(
            defined.iter().any(|definition| code.contains(definition)),
            "ARCHITECTURE.md names {function} in {file}, which does not define it"
        );
    }
    for file in text.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs")) {
        assert!(root.join(file).exists(), "ARCHITECTURE.md names {file}, which does not exist");
    }
}

/// The root of the workspace.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_readme_tells_the_state_of_every_operation() {
    let root = workspace();
    let text = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let (_, table) = text.split_once("| operation | there | note |\n|---|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let told: Vec<(&str, &str)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1], cells[2])
        })
        .collect();
    let state = |name| if UNAVAILABLE.contains(&name) { "not yet" } else { "yes" };
    let expected: Vec<_> =
        OPERATIONS.iter().map(|operation| (operation.name, state(operation.name))).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_tables_of_memory_and_resources_are_those_of_the_code() {
    let root = workspace();
    for (document, table) in [("ARCHITECTURE.md", room::table()), ("deploy/RESOURCES.md", resources::table())]
    {
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
