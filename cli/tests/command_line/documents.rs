//! `docs/settings.md` and `docs/command-line.md` list the settings and commands of the binary, no more and no less.

use std::collections::BTreeSet;

use regex::Regex;
use tidelog_testkit::process::Ran;

use crate::broker::tidelog;

fn page(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn help(arguments: &[&str]) -> String {
    let Ran { code, stdout, .. } = Ran::to_end(tidelog().args(arguments));
    assert_eq!(code, Some(0), "{arguments:?}");
    stdout
}

#[test]
fn the_page_of_settings_has_the_table_of_the_declarations() {
    let expected = tidelog_cli::settings::reference();
    let page = page("settings.md");
    let (head, rest) = page.split_once("<!-- settings -->\n\n").expect("the mark before the table");
    let (table, tail) = rest.split_once("\n<!-- end of settings -->").expect("the mark after the table");
    if std::env::var_os("TIDELOG_RECORD").is_some() {
        let path = format!("{}/../docs/settings.md", env!("CARGO_MANIFEST_DIR"));
        let page = format!("{head}<!-- settings -->\n\n{expected}\n<!-- end of settings -->{tail}");
        return std::fs::write(path, page).unwrap();
    }
    assert_eq!(table, expected, "record the table anew with TIDELOG_RECORD=1");
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
