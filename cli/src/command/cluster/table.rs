//! Columns of text, each as wide as its widest cell.

use std::fmt::Write;

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// At the left, for words.
    Left,
    /// At the right, for numbers.
    Right,
}

/// Two spaces between columns, none at the end of a line.
pub(super) fn lines<const N: usize>(heads: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].0.chars().count()]).max().unwrap_or_default()
    });
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let (width, gap) = (widths[column], if column == 0 { "" } else { "  " });
            // Writing to a string cannot fail.
            let _ = match heads[column].1 {
                Align::Left => write!(line, "{gap}{cell:width$}"),
                Align::Right => write!(line, "{gap}{cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(heads.map(|(head, _)| head));
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}
