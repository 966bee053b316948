//! The findings in words, and as JSON.

use serde_json::{Value, json};

use super::facts::Facts;
use super::findings::keys::{Seen, busiest};
use super::findings::{Finding, Severity};
use crate::command::figures;
use crate::command::output::{Column, Screen, table};
use crate::command::shards::short;
use crate::command::tail::show::visible;
use crate::command::time::lasting;

/// How many keys are shown.
const KEYS_MAX: usize = 5;
/// Before everything that belongs to a finding.
const INDENT: &str = "  ";
/// Escapes that make a terminal write in bold red, in bold yellow, and as before.
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[1;33m";
const PLAIN: &str = "\u{1b}[0m";

/// For people. `connection` is put behind each command.
pub(super) fn written(facts: &Facts, findings: &[Finding], connection: &str, screen: Screen) -> String {
    let mut text = wrapped(&looked_at(facts), "", screen.width);
    if findings.is_empty() {
        text += "nothing wrong was found\n";
    }
    for finding in findings {
        text += "\n";
        text += &of_finding(finding, connection, screen);
    }
    let keys = busiest(facts);
    if !keys.is_empty() {
        text += "\nbusiest keys\n";
        text += &of_keys(facts, &keys, screen.width);
    }
    if !facts.unknown.is_empty() {
        text += "\nnot known\n";
        text.extend(facts.unknown.iter().map(|what| wrapped(what, INDENT, screen.width)));
    }
    text
}

fn looked_at(facts: &Facts) -> String {
    let applications = match facts.applications.len() {
        0 => String::new(),
        number => format!(", {}", figures::of(number as u64, "KCL application")),
    };
    format!(
        "{}: {}, {} ({}) of the last {}, {}{applications}",
        facts.stream,
        figures::of(facts.shards.len() as u64, "open shard"),
        figures::of(facts.amount().records, "record"),
        figures::bytes(facts.amount().bytes),
        lasting(facts.span),
        figures::of(facts.groups.len() as u64, "consumer group")
    )
}

fn of_finding(finding: &Finding, connection: &str, screen: Screen) -> String {
    let word = finding.severity.word();
    let head = format!("{word}: {}", finding.what);
    let mut text = wrapped(&head, "", screen.width);
    if screen.has_colour {
        // After wrapping, because escapes would count for columns.
        let colour = match finding.severity {
            Severity::Critical => RED,
            Severity::Warning => YELLOW,
            Severity::Notice => "",
        };
        let plain = if colour.is_empty() { "" } else { PLAIN };
        text = text.replacen(word, &format!("{colour}{word}{plain}"), 1);
    }
    text += &wrapped(&finding.evidence, INDENT, screen.width);
    text += &wrapped(&finding.advice, INDENT, screen.width);
    if let Some(command) = &finding.command {
        // Never wrapped: it is to be copied.
        text += &format!("{INDENT}$ {command}{connection}\n");
    }
    text
}

/// Lines of whole words, each behind `indent`.
fn wrapped(words: &str, indent: &str, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let mut lines: Vec<String> = Vec::new();
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

fn parts(facts: &Facts, seen: &Seen<'_>) -> (f64, f64) {
    let keyed = facts.keyed();
    let part = |own: u64, all: u64| own as f64 / all.max(1) as f64;
    (part(seen.key.amount.records, keyed.records), part(seen.key.amount.bytes, keyed.bytes))
}

fn of_keys(facts: &Facts, keys: &[Seen<'_>], width: Option<u16>) -> String {
    let rows = keys.iter().take(KEYS_MAX).map(|seen| {
        let (of_records, of_bytes) = parts(facts, seen);
        vec![
            visible(&seen.key.name),
            short(&seen.sample.shard_id).into(),
            figures::count(seen.key.amount.records),
            format!("{:.1} %", of_records * 100.0),
            figures::bytes(seen.key.amount.bytes),
            format!("{:.1} %", of_bytes * 100.0),
        ]
    });
    let columns = [
        Column::Words("KEY"),
        Column::Words("SHARD"),
        Column::Numbers("RECORDS"),
        Column::Numbers("SHARE"),
        Column::Numbers("BYTES"),
        Column::Numbers("SHARE"),
    ];
    table(&columns, rows.collect(), width)
}

/// For programs.
pub(super) fn as_json(facts: &Facts, findings: &[Finding], connection: &str) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "severity": finding.severity.word(),
            "kind": finding.kind,
            "what": finding.what,
            "evidence": finding.evidence,
            "advice": finding.advice,
            "command": finding.command.as_ref().map(|command| format!("{command}{connection}")),
        })
    };
    let key = |seen: &Seen<'_>| {
        let (of_records, of_bytes) = parts(facts, seen);
        json!({
            "key": seen.key.name,
            "shard": seen.sample.shard_id,
            "records": seen.key.amount.records,
            "bytes": seen.key.amount.bytes,
            "part_of_records": of_records,
            "part_of_bytes": of_bytes,
        })
    };
    let shards = facts.samples.iter().map(|sample| {
        json!({
            "shard": sample.shard_id,
            "records": sample.amount.records,
            "bytes": sample.amount.bytes,
            "records_per_second": sample.rate.records,
            "bytes_per_second": sample.rate.bytes,
            "records_in_busiest_second": sample.busiest.records,
            "bytes_in_busiest_second": sample.busiest.bytes,
            "distinct_keys": sample.distinct_keys,
        })
    });
    json!({
        "stream": facts.stream,
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "unknown": facts.unknown,
        "open_shards": facts.shards.len(),
        "sample_seconds": facts.span.as_secs(),
        "shards": shards.collect::<Vec<_>>(),
        "busiest_keys": busiest(facts).iter().take(KEYS_MAX).map(key).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::findings::all;
    use super::super::findings::tests::{facts, group, sample};
    use super::*;

    const SCREEN: Screen = Screen { has_colour: false, is_terminal: false, width: None };

    #[test]
    fn a_healthy_stream_is_reported_as_healthy() {
        let facts = facts(2, &[]);
        let text = written(&facts, &all(&facts), "", SCREEN);
        let expected = "clicks: 2 open shards, 0 records (0 B) of the last 10 s, 0 consumer groups\nnothing wrong was found\n";
        assert_eq!(text, expected);
    }

    fn ill() -> Facts {
        let mut facts = facts(2, &[sample(0, &[("ada", 9600, 10)]), sample(1, &[("alan", 400, 10)])]);
        facts.groups = vec![group("billing", 1, &[("7", 90_000)])];
        facts.unknown = vec!["throttles: its answer is 404 Not Found".into()];
        facts
    }

    #[test]
    fn findings_are_written_with_the_command_to_run() {
        let facts = ill();
        let text = written(&facts, &all(&facts), " --endpoint http://a", SCREEN);
        let expected = "\
clicks: 2 open shards, 10,000 records (127.3 KiB) of the last 10 s, 1 consumer group

critical: Shard 0 is near the limits of a shard
  it takes 960 records/s of 1,000 and 12.2 KiB/s of 1.0 MiB
  A split does not help: 100 % of it is of the key ada. Spread that over several keys

warning: billing is 90 s behind
  5 records in shard 0; 1 member, 2 open shards
  Start more members: there are fewer of them than shards
  $ tidelog group describe clicks billing --endpoint http://a

busiest keys
KEY   SHARD  RECORDS   SHARE      BYTES   SHARE
ada   0        9,600  96.0 %  121.9 KiB  95.7 %
alan  1          400   4.0 %    5.5 KiB   4.3 %

not known
  throttles: its answer is 404 Not Found
";
        assert_eq!(text, expected);
    }

    #[test]
    fn narrow_terminals_wrap_words_but_no_command() {
        let facts = ill();
        let screen = Screen { has_colour: true, is_terminal: true, width: Some(40) };
        let text = written(&facts, &all(&facts), " --endpoint http://a", screen);
        assert!(text.contains("\u{1b}[1;31mcritical\u{1b}[0m: Shard 0 is near"), "{text}");
        assert!(text.contains("$ tidelog group describe clicks billing --endpoint http://a\n"), "{text}");
        let words = text.lines().filter(|line| !line.contains('$') && !line.contains('\u{1b}'));
        assert!(words.clone().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn programs_get_the_same_facts() {
        let facts = ill();
        let json = as_json(&facts, &all(&facts), " --region eu-west-1");
        assert_eq!(json["findings"][0]["kind"], "full");
        assert_eq!(json["findings"][0]["command"], Value::Null);
        let command = "tidelog group describe clicks billing --region eu-west-1";
        assert_eq!(json["findings"][1]["command"], command);
        assert_eq!(json["busiest_keys"][0]["key"], "ada");
        assert_eq!(json["shards"][0]["records_per_second"], 960.0);
    }
}
