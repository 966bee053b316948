//! Holds the code to the tables of [`super::matrix`]: imports go down, and each exception is needed. The tests at the
//! end plant a violation of each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::imports::Imports;
use super::matrix::{ABSENT, BROKER, CRATES, HOMES, Matrix, STORAGE, STORAGE_IS_WITHOUT};
use super::{rust_files, workspace};

/// A file of a crate: its path below `src`, and its code.
type File = (String, String);

/// The files of a crate but those at its root, which are made of all modules.
fn files(directory: &str) -> Vec<File> {
    let source = workspace().join(directory).join("src");
    let named = rust_files(&source).into_iter().map(|path| {
        let name = path.strip_prefix(&source).expect("below src").to_str().expect("a name").to_owned();
        (name, std::fs::read_to_string(path).expect("readable"))
    });
    let is_root = |name: &str| name == "lib.rs" || name == "main.rs" || name.starts_with("bin/");
    named.filter(|(name, _)| !is_root(name)).collect()
}

fn module(file: &str) -> &str {
    file.split_once('/').map_or_else(|| file.strip_suffix(".rs").unwrap_or(file), |(module, _)| module)
}

/// The row of a path of modules: of its first two names where they have one together, of its first name otherwise.
fn row<'a>(rows: &[(&str, &str)], path: &'a str) -> &'a str {
    let head = path.split_once("::").map_or(path, |(head, _)| head);
    if rows.iter().any(|(row, _)| *row == path) { path } else { head }
}

/// The path of a file's module, as far as rows name modules.
fn path(file: &str) -> String {
    let mut names = file.strip_suffix(".rs").unwrap_or(file).split('/').filter(|name| *name != "mod");
    let head = names.next().unwrap_or_default();
    names.next().map_or_else(|| head.to_owned(), |second| format!("{head}::{second}"))
}

fn imports(file: &str, code: &str) -> Imports {
    let module: Vec<&str> =
        file.strip_suffix(".rs").unwrap_or(file).split('/').filter(|name| *name != "mod").collect();
    Imports::of(code, &module)
}

/// Returns the faults of the rows by themselves.
fn faults_of_rows(rows: &[(&str, &str)], foreign: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, (from, to)) in rows.iter().enumerate() {
        for to in to.split_whitespace() {
            let is_below = rows[at + 1..].iter().any(|(below, _)| *below == to);
            if !is_below && !foreign.contains(&to) {
                faults.push(format!("the row of {from} names {to}, which has no row below it"));
            }
        }
        if rows[..at].iter().any(|(above, _)| above == from) {
            faults.push(format!("{from} has two rows"));
        }
    }
    faults
}

/// Every import of the files that the matrix does not allow, and everything in the matrix that the files do not need.
fn faults_of_imports(matrix: &Matrix, files: &[File]) -> Vec<String> {
    let foreign: Vec<&str> = CRATES.iter().filter_map(|(name, _)| name.strip_prefix("tidelog-")).collect();
    let mut faults = faults_of_rows(matrix.rows, &foreign);
    let rows: BTreeMap<&str, BTreeSet<&str>> =
        matrix.rows.iter().map(|(from, to)| (*from, to.split_whitespace().collect())).collect();
    let mut needed = BTreeSet::new();
    for (file, code) in files {
        let path = path(file);
        let own = row(matrix.rows, &path);
        let Some(allowed) = rows.get(own) else {
            faults.push(format!("{file}: the matrix has no row for {own}"));
            continue;
        };
        for import in named(matrix, &imports(file, code)) {
            let except = |at: &usize| {
                let exception = &matrix.exceptions[*at];
                exception.file == file && exception.imports == import
            };
            if import == own || allowed.contains(&*import) {
                continue;
            }
            match (0..matrix.exceptions.len()).find(except) {
                Some(exception) => _ = needed.insert(exception),
                None => faults.push(format!("{file} imports {import}: the matrix does not allow it")),
            }
        }
    }
    let unneeded = matrix.exceptions.iter().enumerate().filter(|(at, _)| !needed.contains(at));
    faults.extend(unneeded.map(|(_, exception)| {
        format!("{} need not be an exception for {} any more", exception.file, exception.imports)
    }));
    let unreasoned = matrix.exceptions.iter().filter(|exception| exception.reason.is_empty());
    faults.extend(unreasoned.map(|exception| format!("{} is an exception without a reason", exception.file)));
    let paths: Vec<String> = files.iter().map(|(file, _)| path(file)).collect();
    let modules: BTreeSet<&str> = paths.iter().map(|path| row(matrix.rows, path)).collect();
    let gone = rows.keys().filter(|row| !modules.contains(**row));
    faults.extend(gone.map(|row| format!("the matrix has a row for {row}, which is no module")));
    faults
}

/// The modules, and the crates of the workspace, that these imports name.
fn named(matrix: &Matrix, imports: &Imports) -> BTreeSet<String> {
    let at_root = |path: &String| {
        let row = row(matrix.rows, path);
        let stands_for = matrix.at_root.iter().find(|(at_root, _)| *at_root == row);
        stands_for.map_or(row, |(_, module)| *module).to_owned()
    };
    let modules = imports.of_crate.iter().map(at_root);
    let crates = imports.of_others.iter().filter_map(|name| name.strip_prefix("tidelog_"));
    modules.chain(crates.map(ToOwned::to_owned)).collect()
}

/// Every file of the broker that names a crate of others outside of its home, or a part of std that its module does
/// without.
fn faults_of_homes(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, code) in files {
        let others = imports(file, code).of_others;
        let contains = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
        for (foreign, homes) in HOMES.iter().filter(|(foreign, _)| others.contains(*foreign)) {
            if !contains(homes, module(file)) {
                faults.push(format!("{file} names {foreign}, whose home is {homes}"));
            }
        }
        for (_, absent) in ABSENT.iter().filter(|(from, _)| *from == module(file)) {
            let found = others.iter().filter(|name| contains(absent, name));
            faults.extend(
                found.map(|name| format!("{file} names {name}, which {} knows nothing of", module(file))),
            );
        }
    }
    faults
}

/// Stands above the crates whose tests use it.
const TESTKIT: &str = "tidelog-testkit";

/// Every dependency of a crate of the workspace on another one that its row does not allow.
fn faults_of_crates(manifests: &[toml::Table]) -> Vec<String> {
    let mut faults = faults_of_rows(CRATES, &[]);
    for manifest in manifests {
        let name = manifest["package"]["name"].as_str().expect("a name");
        let Some((_, allowed)) = CRATES.iter().find(|(from, _)| *from == name) else {
            faults.push(format!("the matrix has no row for the crate {name}"));
            continue;
        };
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let is_for_tests = |table: &str, name: &str| table == "dev-dependencies" && name == TESTKIT;
        let dependencies: Vec<&String> = tables
            .iter()
            .filter_map(|table| Some((*table, manifest.get(*table)?.as_table()?)))
            .flat_map(|(table, names)| names.keys().filter(move |name| !is_for_tests(table, name)))
            .collect();
        for dependency in &dependencies {
            let is_ours = CRATES.iter().any(|(ours, _)| ours == *dependency);
            if is_ours && !allowed.split_whitespace().any(|word| word == *dependency) {
                faults.push(format!("{name} depends on {dependency}: the matrix does not allow it"));
            }
            if name == "tidelog-storage" && STORAGE_IS_WITHOUT.contains(&dependency.as_str()) {
                faults.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    faults
}

fn manifest(directory: &Path) -> toml::Table {
    let path = directory.join("Cargo.toml");
    std::fs::read_to_string(&path).expect("a manifest").parse().expect("TOML")
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "broker/tests/architecture/matrix.rs:\n{}", faults.join("\n"));
}

#[test]
fn imports_of_the_broker_go_down() {
    assert_none(&faults_of_imports(&BROKER, &files(BROKER.directory)));
}

#[test]
fn imports_of_storage_go_down() {
    assert_none(&faults_of_imports(&STORAGE, &files(STORAGE.directory)));
}

#[test]
fn foreign_crates_are_named_where_they_belong() {
    assert_none(&faults_of_homes(&files("broker")));
}

#[test]
fn dependencies_between_crates_go_down() {
    let members = manifest(workspace())["workspace"]["members"].as_array().expect("members").clone();
    let directory = |member: &toml::Value| workspace().join(member.as_str().expect("a directory"));
    let manifests: Vec<_> = members.iter().map(|member| manifest(&directory(member))).collect();
    assert_none(&faults_of_crates(&manifests));
}

/// The bans of one file of clippy's that another one lacks.
fn missing_bans(all: &toml::Table, in_file: &toml::Table) -> Vec<String> {
    let lists = ["disallowed-methods", "disallowed-types", "disallowed-macros"];
    let bans = |file: &toml::Table, list: &str| file.get(list).and_then(|list| list.as_array().cloned());
    let missing = |list| {
        let present = bans(in_file, list).unwrap_or_default();
        let all = bans(all, list).unwrap_or_default();
        all.into_iter().filter(move |ban| !present.contains(ban)).map(|ban| ban["path"].to_string())
    };
    lists.into_iter().flat_map(missing).collect()
}

#[test]
fn the_broker_forbids_what_all_crates_forbid() {
    let read = |path: &str| -> toml::Table {
        std::fs::read_to_string(workspace().join(path)).expect("bans").parse().expect("TOML")
    };
    assert_eq!(missing_bans(&read("clippy.toml"), &read("broker/clippy.toml")), [""; 0]);
}

mod planted;
