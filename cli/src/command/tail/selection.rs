//! The records that `tail` prints: filtered by key and text, decoded, and perhaps only the last of them.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;

use regex::bytes::Regex;

use super::decode::Decoding;
use super::show::Shown;
use crate::command::figures;
use crate::command::shards::short;

/// Bounds of the records that wait until the last ones are known.
const LINES_MAX: usize = 100_000;
const BYTES_MAX: usize = 256 << 20;

/// A number of lines from the command line.
pub(super) fn lines(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= LINES_MAX);
    number.ok_or_else(|| format!("a number from 1 to {}", figures::count(LINES_MAX as u64)))
}

/// A regular expression of the command line.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| error.to_string())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// Chooses records.
#[derive(Debug)]
pub(super) struct Selection {
    keys: HashSet<String>,
    pattern: Option<Pattern>,
    decoding: Option<Decoding>,
    /// Records that could not be decoded, and the first of them with the reason.
    undecoded: u64,
    first: Option<String>,
}

impl Selection {
    pub(super) fn new(keys: &[String], pattern: Option<Pattern>, decoding: Option<Decoding>) -> Self {
        Self { keys: keys.iter().cloned().collect(), pattern, decoding, undecoded: 0, first: None }
    }

    /// The record, decoded, if it is wanted. A record that cannot be decoded is left as it is, and counted.
    pub(super) fn selected(&mut self, mut shown: Shown) -> Option<Shown> {
        if !self.keys.is_empty() && !self.keys.contains(&shown.key) {
            return None;
        }
        if let Some(decoding) = self.decoding {
            match decoding.decoded(&shown.data) {
                Ok(data) => shown.data = data,
                Err(why) => {
                    self.undecoded += 1;
                    self.first.get_or_insert_with(|| {
                        format!("record {} of shard {}: {why}", shown.sequence_number, short(&shown.shard))
                    });
                }
            }
        }
        self.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(&shown.data)).then_some(shown)
    }

    /// Starts the count over, as the records are read again.
    pub(super) fn forget(&mut self) {
        (self.undecoded, self.first) = (0, None);
    }

    /// Names the records that could not be decoded.
    pub(super) fn report(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let records = figures::of(self.undecoded, "record");
        Some(format!("{records} could not be decoded and stayed as they are; the first: {first}"))
    }
}

/// The last records so far.
#[derive(Debug)]
pub(super) struct Last {
    lines: usize,
    bytes: usize,
    records: VecDeque<Shown>,
    has_dropped: bool,
}

impl Last {
    pub(super) fn new(lines: NonZeroUsize) -> Self {
        Self { lines: lines.get(), bytes: 0, records: VecDeque::new(), has_dropped: false }
    }

    /// Takes records in and drops the oldest that are too many.
    pub(super) fn extend(&mut self, records: impl Iterator<Item = Shown>) {
        for record in records {
            self.bytes += record.data.len();
            self.records.push_back(record);
            while self.records.len() > self.lines || (self.bytes > BYTES_MAX && self.records.len() > 1) {
                self.has_dropped = true;
                self.bytes -= self.records.pop_front().map_or(0, |dropped| dropped.data.len());
            }
        }
    }

    /// Whether no earlier record would be kept.
    pub(super) fn is_full(&self) -> bool {
        self.has_dropped || self.records.len() == self.lines
    }
}

impl IntoIterator for Last {
    type Item = Shown;
    type IntoIter = std::collections::vec_deque::IntoIter<Shown>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_kinesis::Timestamp;

    fn shown(key: &str, data: &'static str) -> Shown {
        Shown {
            stream: None,
            shard: "shardId-000000000000".into(),
            sequence_number: "1".into(),
            part: None,
            arrival: Timestamp(0),
            key: key.into(),
            hash_key: None,
            data: data.into(),
        }
    }

    #[test]
    fn records_are_chosen_by_key_and_by_decoded_text() {
        let pattern = Pattern::parse("^tide").expect("a pattern");
        let mut selection = Selection::new(&["a".into()], Some(pattern), Some(Decoding::Hex));
        let chosen = selection.selected(shown("a", "746964656c6f67")).expect("it matches");
        assert_eq!(&chosen.data[..], b"tidelog");
        assert!(selection.selected(shown("b", "746964656c6f67")).is_none());
        assert!(selection.selected(shown("a", "6c6f67")).is_none());
        assert_eq!(selection.report(), None);
        assert!(selection.selected(shown("a", "tide!")).is_some(), "it stays as it is, and matches so");
        let report = selection.report().expect("one is not hexadecimal");
        assert!(report.starts_with("1 record could not be decoded"), "{report}");
        assert!(report.ends_with("record 1 of shard 0: not hexadecimal"), "{report}");
    }

    #[test]
    fn the_last_records_are_kept() {
        let mut last = Last::new(lines("2").expect("a number"));
        last.extend([shown("a", "1")].into_iter());
        assert!(!last.is_full());
        last.extend([shown("b", "2"), shown("c", "3")].into_iter());
        assert!(last.is_full());
        assert_eq!(last.into_iter().map(|shown| shown.key).collect::<String>(), "bc");
        assert!(lines("0").is_err() && lines("100001").is_err() && lines("x").is_err());
    }
}
