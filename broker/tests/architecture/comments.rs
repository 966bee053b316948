//! Holds comments to the guide (CONTRIBUTING.md): each doc comment stands alone ("Write plain English", rule 2), and
//! each line fits the width of the code.

use super::find_everywhere;

/// Words that refer to something outside of the comment, or take the place of a noun.
const BEGINNINGS: [&str; 14] = [
    "As", "It", "Its", "Of", "See", "That", "The same", "They", "Those", "What", "Whatever", "Who",
    "Whoever", "Whose",
];
/// Characters of a line with a comment; rustfmt leaves comments as they are.
const WIDTH: usize = 120;

/// The marker of a line's doc comment, and the comment's text.
fn doc_comment(line: &str) -> Option<(&str, &str)> {
    let (marker, text) = line.trim_start().split_at_checked(3)?;
    let is_doc = marker == "//!" || marker == "///" && !text.starts_with('/');
    is_doc.then_some((marker, text.trim_start()))
}

fn is_dependent(text: &str) -> bool {
    let ends_word = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    BEGINNINGS.iter().any(|beginning| text.strip_prefix(beginning).is_some_and(ends_word))
}

/// Doc comments of a file that begin with a word from the list.
fn dependent_comments(name: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut marker_before = None;
    for (line, number) in code.lines().zip(1..) {
        let comment = doc_comment(line);
        if let Some((marker, text)) = comment
            && marker_before != Some(marker)
            && is_dependent(text)
        {
            found.push(format!("{name}:{number}: {text}"));
        }
        marker_before = comment.map(|(marker, _)| marker);
    }
    found
}

/// Lines of a file that hold nothing but a comment and are too long.
fn long_comments(name: &str, code: &str) -> Vec<String> {
    let is_long = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > WIDTH;
    let lines = code.lines().zip(1..).filter(|(line, _)| is_long(line));
    lines.map(|(line, number)| format!("{name}:{number}: {}", line.trim_start())).collect()
}

#[test]
fn doc_comments_stand_alone() {
    let found = find_everywhere(dependent_comments);
    assert_eq!(found, [""; 0], "a doc comment names its subject: CONTRIBUTING.md, \"Write plain English\"");
}

#[test]
fn comments_fit_the_width_of_the_code() {
    let found = find_everywhere(long_comments);
    assert_eq!(found, [""; 0], "a line with a comment has {WIDTH} characters at most");
}

#[test]
fn a_dependent_comment_is_found() {
    for (code, count) in [
        ("/// The shard's id.\nid: u64,\n\n/// Its name.\nname: String,", 1),
        ("//! What a node owns.\n\nuse std::fs;", 1),
        ("    /// The same for every change.\n    fn all() {}", 1),
        ("/// As [`run`], with a clock.", 1),
        ("/// A lease.\n/// Of a member.", 0),
        ("/// Offers a record. Itself, Assigned.\n// Of nobody.\n//// Its rule.", 0),
        ("/// Assigns a shard.\n", 0),
    ] {
        assert_eq!(dependent_comments("file.rs", code).len(), count, "{code}");
    }
}

#[test]
fn a_long_comment_is_found() {
    let words = "word ".repeat(24);
    for (code, count) in [
        (format!("/// {words}"), 1),
        (format!("    // {words}"), 1),
        (format!("//! {}", words.trim_end()), 1),
        (format!("//{}", "é".repeat(WIDTH - 2)), 0),
        (format!("let long = \"{words}{words}\";"), 0),
        (format!("let short = 1; // {words}{words}"), 0),
    ] {
        assert_eq!(long_comments("file.rs", &code).len(), count, "{code}");
    }
}
