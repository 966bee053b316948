//! The shards as text: children below their parents, ranges as bars over the whole ring of hash keys.

use std::collections::BTreeMap;

use super::load::Load;
use super::short;
use crate::command::figures;
use crate::command::output::{Column, Screen, table};
use tidelog_kinesis::operations::Shard;

/// Width of the bars, and the width of a terminal from which on there is room for them.
const BAR: usize = 32;
const BAR_WIDTH_MIN: u16 = 90;
/// Escapes that make a terminal write in bold red, and as before.
const RED: &str = "\u{1b}[1;31m";
const PLAIN: &str = "\u{1b}[0m";
/// The mark of a hot shard.
const HOT: &str = "hot";

/// One line for each shard.
pub(super) fn drawn(shards: &[Shard], loads: &[Option<Load>], is_hot: &[bool], screen: Screen) -> String {
    let has_bars = screen.width.is_none_or(|width| width >= BAR_WIDTH_MIN);
    let mut columns = vec![Column::Words("SHARD"), Column::Words("STATE")];
    if has_bars {
        columns.push(Column::Words("HASH KEYS"));
    }
    columns.extend([
        Column::Numbers("SHARE"),
        Column::Numbers("RECORDS/S"),
        Column::Numbers("BYTES/S"),
        Column::Words(""),
    ]);
    let rows = lineage(shards).into_iter().map(|(name, at)| {
        let (shard, load) = (&shards[at], loads[at]);
        let mut row = vec![name, if shard.is_open() { "open" } else { "closed" }.into()];
        if has_bars {
            row.push(bar(shard));
        }
        row.push(format!("{:.1} %", share(shard) * 100.0));
        row.push(load.map(|load| rate(load.records_per_second)).unwrap_or_default());
        row.push(load.map(|load| figures::bytes(load.bytes_per_second.round() as u64)).unwrap_or_default());
        row.push(if is_hot[at] { HOT } else { "" }.into());
        row
    });
    let text = table(&columns, rows.collect(), screen.width);
    if !screen.has_colour {
        return text;
    }
    // Behind the table's back, because escapes would count for columns.
    let coloured = text.lines().map(|line| match line.strip_suffix(HOT) {
        Some(rest) => format!("{rest}{RED}{HOT}{PLAIN}\n"),
        None => format!("{line}\n"),
    });
    coloured.collect()
}

fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 10.0 {
        return format!("{per_second:.1}");
    }
    figures::count(per_second.round() as u64)
}

/// The part of all hash keys that the shard takes, 0 to 1.
pub(super) fn share(shard: &Shard) -> f64 {
    let Some((first, last)) = shard.hash_key_range.bounds() else { return 0.0 };
    (last.saturating_sub(first) as f64 + 1.0) / (u128::MAX as f64 + 1.0)
}

/// The shard's keys within all keys, at least one block wide.
fn bar(shard: &Shard) -> String {
    let Some((first, last)) = shard.hash_key_range.bounds() else { return String::new() };
    let column = |key: u128| (key as f64 / u128::MAX as f64 * BAR as f64).round() as usize;
    let from = column(first).min(BAR - 1);
    let to = column(last).clamp(from + 1, BAR);
    // Dots, because blanks at the beginning of a cell would be cut off.
    let block = if shard.is_open() { "█" } else { "▒" };
    "·".repeat(from) + &block.repeat(to - from) + &"·".repeat(BAR - to)
}

/// Names with the lines of the tree before them, and which shard it is. A merged shard stands below its first parent
/// and names the other.
fn lineage(shards: &[Shard]) -> Vec<(String, usize)> {
    let index: BTreeMap<&str, usize> =
        shards.iter().enumerate().map(|(at, shard)| (shard.shard_id.as_str(), at)).collect();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (at, shard) in shards.iter().enumerate() {
        // Parents whose records have expired are listed no more.
        match shard.parents().find_map(|parent| index.get(parent).copied()).filter(|parent| *parent != at) {
            Some(parent) => children.entry(parent).or_default().push(at),
            None => roots.push(at),
        }
    }
    let mut drawn = Vec::with_capacity(shards.len());
    let mut left: Vec<(usize, String, String)> =
        roots.into_iter().rev().map(|at| (at, String::new(), String::new())).collect();
    while let Some((at, before, below)) = left.pop() {
        drawn.push((format!("{before}{}", name(&shards[at])), at));
        let own = children.remove(&at).unwrap_or_default();
        for (place, child) in own.iter().enumerate().rev() {
            let (branch, under) = if place + 1 == own.len() { ("└ ", "  ") } else { ("├ ", "│ ") };
            left.push((*child, format!("{below}{branch}"), format!("{below}{under}")));
        }
    }
    drawn
}

fn name(shard: &Shard) -> String {
    let own = short(&shard.shard_id);
    match (&shard.parent_shard_id, &shard.adjacent_parent_shard_id) {
        (Some(one), Some(other)) => format!("{own} ({}+{})", short(one), short(other)),
        _ => own.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tidelog_kinesis::operations::{HashKeyRange, SequenceNumberRange};

    pub(in crate::command::shards) fn shard(
        number: u32,
        parents: &[u32],
        range: (u128, u128),
        is_open: bool,
    ) -> Shard {
        let id = |number: u32| format!("shardId-{number:012}");
        Shard {
            shard_id: id(number),
            parent_shard_id: parents.first().map(|parent| id(*parent)),
            adjacent_parent_shard_id: parents.get(1).map(|parent| id(*parent)),
            hash_key_range: HashKeyRange {
                starting_hash_key: range.0.to_string(),
                ending_hash_key: range.1.to_string(),
            },
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: "1".into(),
                ending_sequence_number: (!is_open).then(|| "2".into()),
            },
        }
    }

    fn family() -> Vec<Shard> {
        let half = u128::MAX / 2;
        vec![
            shard(0, &[], (0, half), false),
            shard(1, &[], (half + 1, u128::MAX), false),
            shard(2, &[0], (0, half / 2), true),
            shard(3, &[0], (half / 2 + 1, half), false),
            shard(4, &[3, 1], (half / 2 + 1, u128::MAX), true),
            shard(10, &[9], (5, 5), true),
        ]
    }

    #[test]
    fn children_stand_below_their_parents_with_bars_of_their_ranges() {
        let load = Load { records_per_second: 1234.0, bytes_per_second: 3.0 * 1024.0 };
        let loads = [None, None, Some(load), None, Some(Load::default()), None];
        let is_hot = [false, false, true, false, false, false];
        let screen = |width, has_colour| Screen { has_colour, is_terminal: has_colour, width };
        let text = drawn(&family(), &loads, &is_hot, screen(None, false));
        let expected = "\
SHARD        STATE   HASH KEYS                          SHARE  RECORDS/S  BYTES/S
0            closed  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒················  50.0 %
├ 2          open    ████████························  25.0 %      1,234  3.0 KiB  hot
└ 3          closed  ········▒▒▒▒▒▒▒▒················  25.0 %
  └ 4 (3+1)  open    ········████████████████████████  75.0 %          0      0 B
1            closed  ················▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  50.0 %
10           open    █·······························   0.0 %
";
        assert_eq!(text, expected);
        let narrow = drawn(&family(), &loads, &is_hot, screen(Some(60), true));
        assert!(!narrow.contains('█') && narrow.contains("\u{1b}[1;31mhot\u{1b}[0m"), "{narrow}");
    }
}
