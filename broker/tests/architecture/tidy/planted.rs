//! Planted violations: each rule finds its own.

use super::super::matrix::{Exception, Matrix};
use super::{faults_of_crates, faults_of_homes, faults_of_imports, faults_of_rows, missing_bans};

const EXCEPTION: Exception = Exception { file: "low/test.rs", imports: "top", reason: "a test" };
const MATRIX: Matrix = Matrix {
    directory: "",
    rows: &[("top", "middle low"), ("middle", "low"), ("low", "proto")],
    at_root: &[("Low", "low"), ("Top", "top")],
    exceptions: &[EXCEPTION],
};
const SOUND: [(&str, &str); 4] = [
    ("top.rs", "use crate::{low::A, middle::{B, C}}; // crate::nowhere"),
    ("middle/mod.rs", "use crate::Low; use super::low; const TEXT: &str = \"crate::top\";"),
    (
        "low/mod.rs",
        "/// See crate::top.\nuse tidelog_proto::Record; use self::test; fn f() { self::test::g() }",
    ),
    ("low/test.rs", "use super::super::top; mod inner { use super::super::super::low; use super::top; }"),
];

/// The faults of the sound files with one of them replaced, or added.
fn faults(file: &str, code: &str) -> Vec<String> {
    let planted = (file, code);
    let kept = SOUND.iter().filter(|(name, _)| *name != file);
    let files = kept.chain([&planted]).map(|(name, code)| ((*name).to_owned(), (*code).to_owned()));
    faults_of_imports(&MATRIX, &files.collect::<Vec<_>>())
}

#[test]
fn sound_files_have_no_faults() {
    assert_eq!(faults(SOUND[0].0, SOUND[0].1), [""; 0]);
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    for code in [
        "use crate::top;",
        "use crate::top::A;",
        "use crate::{low, top::{A, B}};",
        "use super::top;",
        "use super::{low, top as other};",
        "use self::super::top::A;",
        "use crate::Top;",
        "fn f() { crate::top::g() }",
        "fn f() { assert!(is(crate::top::g())); }",
        "fn f() -> Vec<crate::top::A> { Vec::new() }",
        "pub(in crate::top) fn f() {}",
        "#[cfg(test)] mod tests { use crate::top::A; }",
        "#[cfg(test)] mod tests { use super::super::top::A; }",
        "mod tests { mod deeper { use super::{super::super::top::A}; } }",
        "macro_rules! m { () => { $crate::top::g() } }",
    ] {
        assert_eq!(
            faults("middle/mod.rs", code),
            ["middle/mod.rs imports top: the matrix does not allow it"],
            "{code}"
        );
    }
    assert_eq!(
        faults("middle/part.rs", "use super::top; use super::super::top;"),
        ["middle/part.rs imports top: the matrix does not allow it"]
    );
}

#[test]
fn an_upward_import_between_rooms_is_found() {
    let matrix = Matrix {
        directory: "",
        rows: &[
            ("house", "house::attic house::cellar"),
            ("house::attic", "house::cellar"),
            ("house::cellar", ""),
        ],
        at_root: &[],
        exceptions: &[],
    };
    let faults = |file: &str, code: &str| {
        let sound = [
            ("house/mod.rs", "mod attic; mod cellar; use crate::house::attic::A; use self::cellar::C;"),
            ("house/attic/mod.rs", "use super::cellar::C; use crate::house::cellar; use self::chest::B;"),
            ("house/attic/chest.rs", "use super::super::cellar::deep::C; use super::A; use super::*;"),
            ("house/cellar.rs", "mod tests { use super::*; use super::super::cellar::C; }"),
        ];
        let planted = (file, code);
        let files = sound.iter().filter(|(name, _)| *name != file).chain([&planted]);
        let files = files.map(|(name, code)| ((*name).to_owned(), (*code).to_owned()));
        faults_of_imports(&matrix, &files.collect::<Vec<_>>())
    };
    assert_eq!(faults("house/attic/lamp.rs", ""), [""; 0]);
    for code in [
        "use super::attic;",
        "use super::attic::A;",
        "use crate::house::attic::A;",
        "use crate::{house::{attic::A, cellar::C}};",
        "mod tests { use super::super::attic::A; }",
        "fn f() { crate::house::attic::g() }",
    ] {
        let found = faults("house/cellar.rs", code);
        assert_eq!(found, ["house/cellar.rs imports house::attic: the matrix does not allow it"], "{code}");
    }
    for code in ["use super::A;", "use crate::house::A;", "use super::*;", "use crate::house;"] {
        let found = faults("house/cellar.rs", code);
        assert_eq!(found, ["house/cellar.rs imports house: the matrix does not allow it"], "{code}");
    }
}

#[test]
fn an_import_of_everything_or_of_a_crate_without_leave_is_found() {
    assert_eq!(faults("top.rs", "use crate::*;"), ["top.rs imports *: the matrix does not allow it"]);
    let found = faults("middle/mod.rs", "use tidelog_proto::Record;");
    assert_eq!(found, ["middle/mod.rs imports proto: the matrix does not allow it"]);
}

#[test]
fn an_exception_that_nothing_needs_is_found() {
    let found = faults("low/test.rs", "");
    assert_eq!(found, ["low/test.rs need not be an exception for top any more"]);
}

#[test]
fn an_exception_without_a_reason_is_found() {
    let matrix = Matrix { exceptions: &[Exception { reason: "", ..EXCEPTION }], ..MATRIX };
    let found = faults_of_imports(&matrix, &SOUND.map(|(name, code)| (name.to_owned(), code.to_owned())));
    assert_eq!(found, ["low/test.rs is an exception without a reason"]);
}

#[test]
fn an_exception_holds_for_its_file_alone() {
    let found = faults("low/other.rs", "use crate::top;");
    assert_eq!(found, ["low/other.rs imports top: the matrix does not allow it"]);
}

#[test]
fn a_module_without_a_row_and_a_row_without_a_module_are_found() {
    assert_eq!(faults("new.rs", ""), ["new.rs: the matrix has no row for new"]);
    let files = SOUND[1..].iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned()));
    let found = faults_of_imports(&MATRIX, &files.collect::<Vec<_>>());
    assert_eq!(found, ["the matrix has a row for top, which is no module"]);
}

#[test]
fn a_row_that_names_a_row_above_or_itself_is_found() {
    let found = faults_of_rows(&[("a", "b"), ("b", "a b c"), ("b", "")], &["c"]);
    assert_eq!(found, ["the row of b names a, which has no row below it", "b has two rows"]);
}

#[test]
fn a_foreign_crate_outside_of_its_home_is_found() {
    let file = |name: &str, code: &str| (name.to_owned(), code.to_owned());
    let found = faults_of_homes(&[
        file("service/mod.rs", "fn f(raft: openraft::Raft) {}"),
        file("replication/mod.rs", "use openraft::Raft; use tokio::sync::watch;"),
        file("model/mod.rs", "use std::{fmt, fs::File}; mod tests { use tokio::sync::Mutex; }"),
    ]);
    assert_eq!(
        found,
        [
            "service/mod.rs names openraft, whose home is replication",
            "model/mod.rs names std::fs, which model knows nothing of",
            "model/mod.rs names tokio, which model knows nothing of",
        ]
    );
}

#[test]
fn a_ban_that_the_broker_lacks_is_found() {
    let parse = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let all = parse("disallowed-types = [{ path = 'a', reason = 'r' }, { path = 'b', reason = 'r' }]");
    let broker = parse("disallowed-types = [{ path = 'b', reason = 'r' }]\ndisallowed-methods = []");
    assert_eq!(missing_bans(&all, &broker), ["\"a\""]);
}

#[test]
fn an_upward_dependency_of_a_crate_is_found() {
    let parse = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let found = faults_of_crates(&[
        parse(
            "[package]\nname = 'tidelog-client'\n[dependencies]\nbytes = '1'\ntidelog-proto.workspace = true",
        ),
        parse(
            "[package]\nname = 'tidelog-storage'\n[dependencies]\ntokio = '1'\n[dev-dependencies]\ntidelog.path = '.'",
        ),
        parse("[package]\nname = 'tidelog-new'"),
        parse(
            "[package]\nname = 'tidelog-load'\n[dependencies]\ntidelog-testkit.workspace = true\n\
             [dev-dependencies]\ntidelog-testkit.workspace = true",
        ),
    ]);
    assert_eq!(
        found,
        [
            "tidelog-storage depends on tokio",
            "tidelog-storage depends on tidelog: the matrix does not allow it",
            "the matrix has no row for the crate tidelog-new",
            "tidelog-load depends on tidelog-testkit: the matrix does not allow it",
        ]
    );
}
