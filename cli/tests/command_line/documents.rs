//! `docs/settings.md` and `docs/command-line.md` list the settings and commands of the binary, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use tidelog_testkit::process::Ran;

use crate::broker::tidelog;

/// Flags that every command has.
const OF_EVERY_COMMAND: [&str; 2] = ["help", "version"];

fn page(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn help(arguments: &[&str]) -> String {
    let Ran { code, stdout, .. } = Ran::to_end(tidelog().args(arguments));
    assert_eq!(code, Some(0), "{arguments:?}");
    stdout
}

/// The flags of a help text, each with its default if that is one value.
fn flags_of_help(help: &str) -> BTreeMap<String, Option<String>> {
    let flag = Regex::new(r"^\s+(?:-\w, )?--([a-z-]+)").unwrap();
    let default = Regex::new(r"^\s+\[default: (.*)\]$").unwrap();
    let mut flags = BTreeMap::new();
    let mut last = String::new();
    for line in help.lines() {
        if let Some(found) = flag.captures(line) {
            last = found[1].to_owned();
            flags.insert(last.clone(), None);
        } else if let Some(found) = default.captures(line) {
            flags.insert(last.clone(), Some(found[1].to_owned()));
        }
    }
    flags.retain(|flag, _| !OF_EVERY_COMMAND.contains(&flag.as_str()));
    flags
}

/// The flags of the table of settings, each with its default if the table has one value in backticks.
fn flags_of_page(page: &str) -> BTreeMap<String, Option<String>> {
    let (_, table) = page.split_once("| flag | default | meaning |\n|---|---|---|\n").expect("the table");
    let flag = Regex::new(r"--([a-z-]+)").unwrap();
    let mut flags = BTreeMap::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let row = row.replace("\\|", "/");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let default = cells[2].strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        for found in flag.captures_iter(cells[1]) {
            flags.insert(found[1].to_owned(), default.map(ToOwned::to_owned));
        }
    }
    flags
}

#[test]
fn the_page_of_settings_has_every_flag_and_its_default() {
    let expected = flags_of_help(&help(&["serve", "--help"]));
    assert!(expected.len() > 20 && expected["limits"].as_deref() == Some("aws"), "{expected:?}");
    assert_eq!(flags_of_page(&page("settings.md")), expected);
}

#[test]
fn the_page_of_the_command_line_has_every_command() {
    let listed = help(&["--help"]);
    let (_, commands) = listed.split_once("Commands:\n").expect("a list");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let expected: BTreeSet<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let page = page("command-line.md");
    let (_, table) = page.split_once("| command | does |\n|---|---|\n").expect("the table");
    let rows: String = table.lines().take_while(|line| line.starts_with('|')).collect();
    let command = Regex::new(r"`tidelog ([a-z]+)").unwrap();
    let mut listed: BTreeSet<&str> =
        command.captures_iter(&rows).map(|found| found.get(1).expect("a group").as_str()).collect();
    listed.insert("help");
    assert_eq!(listed, expected);
}
