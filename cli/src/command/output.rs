//! Standard output: its abilities, tables for it, and JSON.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::CommandError;

pub use tidelog_load::Output;

/// The abilities of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    /// Whether colours may be used.
    pub(super) has_colour: bool,
    /// Whether a person looks at it.
    pub(super) is_terminal: bool,
    /// Columns to keep to; `None` where lines may be as long as they are.
    pub(super) width: Option<u16>,
}

impl Screen {
    pub(super) fn of_process() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = if is_terminal { Table::new().width() } else { None };
        Self { has_colour: is_terminal && wants_colour(), is_terminal, width }
    }
}

/// Whether colours and bars are welcome where there is a terminal (see no-color.org).
pub(super) fn wants_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A column's head, and the side at which its cells stand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Words, at the left.
    Words(&'static str),
    /// Numbers, at the right.
    Numbers(&'static str),
}

/// A table without frames; cells are wrapped to fit into `width`.
pub(super) fn table(columns: &[Column], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    let heads = columns.iter().map(|column| match column {
        Column::Words(head) | Column::Numbers(head) => *head,
    });
    if columns.iter().any(|column| !matches!(column, Column::Words("") | Column::Numbers(""))) {
        table.set_header(heads);
    }
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        let Some(shown) = table.column_mut(index) else { continue };
        shown.set_padding((0, if index + 1 < columns.len() { 2 } else { 0 }));
        if matches!(column, Column::Numbers(_)) {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// Names at the left, values at the right of them.
pub(super) fn pairs(pairs: &[(&str, String)], width: Option<u16>) -> String {
    let rows = pairs.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
    table(&[Column::Words(""), Column::Words("")], rows, width)
}

/// To standard output, at once.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    print_bytes(text.as_bytes())
}

/// Prints bytes like [`print`], which need not be text.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut output = io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(CommandError::Output)
}

/// One value, indented.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| CommandError::Failed(format!("cannot write JSON: {error}")))?;
    print(&(text + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        [["clicks", "ACTIVE", "4"], ["orders-of-last-year", "UPDATING", "12"]]
            .map(|row| row.map(String::from).to_vec())
            .to_vec()
    }

    const COLUMNS: [Column; 3] = [Column::Words("NAME"), Column::Words("STATUS"), Column::Numbers("SHARDS")];

    #[test]
    fn a_table_has_columns_as_wide_as_their_cells() {
        let expected = "NAME                 STATUS    SHARDS\n\
                        clicks               ACTIVE         4\n\
                        orders-of-last-year  UPDATING      12\n";
        assert_eq!(table(&COLUMNS, rows(), None), expected);
        assert_eq!(table(&COLUMNS, rows(), Some(80)), expected);
        assert_eq!(
            pairs(&[("name", "clicks".into()), ("shards", "4".into())], None),
            "name    clicks\nshards  4\n"
        );
    }

    #[test]
    fn a_narrow_terminal_wraps_cells_and_loses_nothing() {
        for width in [1, 5, 12, 20, 30] {
            let text = table(&COLUMNS, rows(), Some(width));
            let letters: String = text.split_whitespace().collect();
            for letter in "orders-of-last-yearUPDATING12".chars() {
                assert!(letters.contains(letter), "{width}: {text}");
            }
            if width >= 20 {
                assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}:\n{text}");
            }
        }
    }
}
