//! Holds files to the guide (CONTRIBUTING.md, "Style"): a file that grows past 400 lines holds two things.

use super::{find_everywhere, workspace};

const LINES_MAX: usize = 400;

/// Files that are longer, and the reason.
const LONG: &[(&str, &str)] = &[];

fn length(code: &str) -> usize {
    code.lines().count()
}

fn long_files(name: &str, code: &str) -> Vec<String> {
    long_files_except(LONG, name, code)
}

fn long_files_except(excused: &[(&str, &str)], name: &str, code: &str) -> Vec<String> {
    let is_excused = excused.iter().any(|(file, _)| *file == name);
    let is_long = length(code) > LINES_MAX && !is_excused;
    is_long.then(|| format!("{name}: {} lines", length(code))).into_iter().collect()
}

#[test]
fn files_hold_one_thing() {
    assert_eq!(find_everywhere(long_files), [""; 0], "a file has {LINES_MAX} lines at most");
}

#[test]
fn each_long_file_is_long() {
    for (file, reason) in LONG {
        let code = std::fs::read_to_string(workspace().join(file)).expect("a file");
        assert!(length(&code) > LINES_MAX, "{file} needs no exception any more: {reason}");
    }
}

#[test]
fn a_long_file_is_found() {
    let code = "//! A line.\n".repeat(LINES_MAX);
    assert_eq!(long_files("file.rs", &code), [""; 0]);
    assert_eq!(long_files("file.rs", &format!("{code}\n")), ["file.rs: 401 lines"]);
    assert_eq!(long_files_except(&[("file.rs", "one table")], "file.rs", &format!("{code}\n")), [""; 0]);
}
