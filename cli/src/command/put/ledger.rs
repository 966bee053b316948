//! The lines that were not acknowledged, and the reasons: counted, named as ranges, and written to the file
//! of rejects.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::CommandError;
use super::input::Spot;
use crate::command::figures;

/// The outcomes of the lines.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Lines that are acknowledged.
    pub(super) acknowledged: u64,
    /// Data and keys of the acknowledged lines, in bytes.
    pub(super) bytes: u64,
    /// Lines that may be in the stream twice.
    pub(super) maybe_twice: u64,
    pub(super) names: Arc<[String]>,
    refused: BTreeMap<String, Vec<Range>>,
    count: u64,
    unread: Option<Spot>,
    rejects: Option<Rejects>,
}

/// Lines of an input from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    input: usize,
    first: u64,
    last: u64,
}

#[derive(Debug)]
struct Rejects {
    path: PathBuf,
    delimiter: Vec<u8>,
    file: BufWriter<File>,
    is_empty: bool,
    /// The first trouble with it; nothing is written after that.
    error: Option<io::Error>,
}

impl Ledger {
    /// `rejects` is made, and must not be there: it might be one of the inputs.
    ///
    /// `delimiter` goes behind each of them.
    pub(super) fn new(rejects: Option<&Path>, delimiter: &[u8]) -> Result<Self, CommandError> {
        let Some(path) = rejects else { return Ok(Self::default()) };
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| CommandError::File { path: path.into(), error })?;
        let (path, delimiter, file) = (path.into(), delimiter.to_vec(), BufWriter::new(file));
        let rejects = Rejects { path, delimiter, file, is_empty: true, error: None };
        Ok(Self { rejects: Some(rejects), ..Self::default() })
    }

    /// Whether lines that are never put are wanted all the same.
    pub(super) fn keeps_rejects(&self) -> bool {
        self.rejects.is_some()
    }

    /// The line was not acknowledged. `data` is `None` where it is not at hand.
    pub(super) fn refuse(&mut self, spot: Spot, data: Option<&[u8]>, reason: &str) {
        let Spot { input, line } = spot;
        self.count += 1;
        let ranges = match self.refused.get_mut(reason) {
            Some(ranges) => ranges,
            None => self.refused.entry(reason.into()).or_default(),
        };
        match ranges.last_mut() {
            Some(range) if range.input == input && range.last + 1 == line => range.last = line,
            _ => ranges.push(Range { input, first: line, last: line }),
        }
        if let (Some(rejects), Some(data)) = (&mut self.rejects, data) {
            rejects.write(data);
        }
    }

    /// Nothing from that line on was read.
    pub(super) fn leave_unread(&mut self, spot: Spot) {
        self.unread = Some(spot);
    }

    /// Returns the lines that were not acknowledged, and the error of the file of rejects, which is complete
    /// then, and removed if it is empty.
    pub(super) fn close(&mut self) -> (Named, Option<CommandError>) {
        let error = self.rejects.take().and_then(Rejects::close);
        let mut refused: Vec<_> = std::mem::take(&mut self.refused).into_iter().collect();
        for (_, ranges) in &mut refused {
            merge(ranges);
        }
        refused.sort_by_key(|(_, ranges)| ranges.first().map(|range| (range.input, range.first)));
        (Named { names: self.names.clone(), count: self.count, refused, unread: self.unread }, error)
    }
}

impl Rejects {
    fn write(&mut self, line: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.is_empty = false;
        let written = self.file.write_all(line).and_then(|()| self.file.write_all(&self.delimiter));
        self.error = written.err();
    }

    fn close(self) -> Option<CommandError> {
        let Self { path, mut file, is_empty, error, .. } = self;
        let closed = match error {
            Some(error) => Err(error),
            None if is_empty => std::fs::remove_file(&path),
            None => file.flush(),
        };
        closed.err().map(|error| CommandError::File { path, error })
    }
}

/// Sorts ranges and joins those that touch.
fn merge(ranges: &mut Vec<Range>) {
    ranges.sort_by_key(|range| (range.input, range.first));
    ranges.dedup_by(|next, range| {
        let is_next = next.input == range.input && next.first <= range.last + 1;
        if is_next {
            range.last = range.last.max(next.last);
        }
        is_next
    });
}

/// The lines that were not acknowledged, by reason.
#[derive(Debug)]
pub(super) struct Named {
    names: Arc<[String]>,
    count: u64,
    refused: Vec<(String, Vec<Range>)>,
    unread: Option<Spot>,
}

impl Named {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.unread.is_none()
    }

    pub(super) fn json(&self) -> Value {
        let reasons = self.refused.iter().map(|(reason, ranges)| {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|range| json!({ "input": self.names.get(range.input), "first": range.first, "last": range.last }))
                .collect();
            json!({ "reason": reason, "lines": ranges })
        });
        let unread =
            self.unread.map(|spot| json!({ "input": self.names.get(spot.input), "from": spot.line }));
        json!({ "count": self.count, "reasons": reasons.collect::<Vec<_>>(), "unread": unread })
    }

    fn spot(&self, input: usize, lines: &str) -> String {
        match self.names.get(input).map(String::as_str) {
            Some(name) if name != "-" => format!("{name}:{lines}"),
            _ => lines.into(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => writeln!(formatter, "the input was not read to its end")?,
            1 => writeln!(formatter, "1 line was not acknowledged")?,
            count => writeln!(formatter, "{} were not acknowledged", figures::of(count, "line"))?,
        }
        for (reason, ranges) in &self.refused {
            let lines = ranges.iter().map(|range| {
                let Range { input, first, last } = *range;
                self.spot(input, &if first == last { first.to_string() } else { format!("{first}-{last}") })
            });
            let is_one = matches!(ranges.as_slice(), [range] if range.first == range.last);
            let noun = if is_one { "line" } else { "lines" };
            writeln!(formatter, "  {noun} {}: {reason}", lines.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(Spot { input, line }) = self.unread {
            let behind = if input + 1 < self.names.len() { ", and the inputs after it" } else { "" };
            let from = self.spot(input, &line.to_string());
            writeln!(formatter, "  lines from {from} on{behind}: not read, and not put")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_in_ranges_by_reason() {
        let mut ledger = Ledger { names: ["a.txt".to_owned(), "-".to_owned()].into(), ..Ledger::default() };
        for line in [9, 7, 8, 3] {
            ledger.refuse(Spot { input: 0, line }, None, "not JSON");
        }
        ledger.refuse(Spot { input: 1, line: 1 }, None, "not JSON");
        ledger.refuse(Spot { input: 1, line: 2 }, None, "gone");
        ledger.leave_unread(Spot { input: 1, line: 3 });
        let (named, _) = ledger.close();
        assert_eq!(
            named.to_string(),
            "6 lines were not acknowledged\n  lines a.txt:3, a.txt:7-9, 1: not JSON\n  line 2: gone\n  \
             lines from 3 on: not read, and not put\n"
        );
        assert_eq!(
            named.json()["reasons"][0]["lines"][1],
            json!({ "input": "a.txt", "first": 7, "last": 9 })
        );
        assert!(Ledger::default().close().0.is_empty());
    }

    #[test]
    fn rejects_are_written_to_a_new_file_that_is_gone_when_there_are_none() {
        let path = std::env::temp_dir().join(format!("tidelog-rejects-{}", std::process::id()));
        let mut ledger = Ledger::new(Some(&path), b"\n").expect("a new file");
        assert!(Ledger::new(Some(&path), b"\n").is_err(), "it is there already");
        ledger.refuse(Spot { input: 0, line: 1 }, Some(b"\xff"), "odd");
        assert!(ledger.close().1.is_none());
        assert_eq!(std::fs::read(&path).expect("there"), b"\xff\n");
        std::fs::remove_file(&path).expect("there");
        assert!(Ledger::new(Some(&path), b"\n").expect("a new file").close().1.is_none());
        assert!(!path.exists());
    }
}
