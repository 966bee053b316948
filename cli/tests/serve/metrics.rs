//! The page of metrics of a broker that has just begun: all that is declared is there, under names that Prometheus' own
//! checks accept.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use tidelog::observability;

use tidelog_testkit::process::Running;

use crate::tidelog;

/// Parts of names that say a unit which is no base unit, or a kind, or shorten a unit; as `promtool check metrics` has
/// them.
const UNWANTED: [&str; 32] = [
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "kilobytes",
    "megabytes",
    "gigabytes",
    "kibibytes",
    "mebibytes",
    "bits",
    "percent",
    "s",
    "ms",
    "us",
    "ns",
    "sec",
    "min",
    "b",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "gib",
    "counter",
    "gauge",
    "histogram",
    "summary",
    "untyped",
];

/// The first page that a broker of its own shows.
fn first_page() -> String {
    let broker = Running::start(tidelog().args(["--ephemeral", "--listen", "127.0.0.1:0"]));
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    broker.terminate();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A family of series.
#[derive(Default)]
struct Family {
    kind: String,
    has_help: bool,
    samples: Vec<(String, f64)>,
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, sentence) = help.split_once(' ').unwrap_or((help, ""));
            families.entry(name.into()).or_default().has_help = !sentence.is_empty();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            families.entry(name.into()).or_default().kind = kind.into();
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let name = series.split('{').next().unwrap();
            let is_part =
                |family: &&str| families.get(*family).is_some_and(|known| known.kind == "histogram");
            let parts = ["_bucket", "_sum", "_count"].map(|part| name.strip_suffix(part));
            let family = parts.into_iter().flatten().find(is_part).unwrap_or(name).to_owned();
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            families.entry(family).or_default().samples.push((series.into(), value));
        }
    }
    families
}

#[test]
fn the_first_page_has_all_that_is_declared_by_clean_names() {
    let page = first_page();
    let families = families(&page);
    let declared: BTreeSet<&str> = observability::METRICS
        .iter()
        .chain(&observability::GROUP_LEVEL[..1])
        .map(|metric| metric.name)
        .collect();
    // Those of the process have names that all programs share.
    let found: BTreeSet<&str> =
        families.keys().map(String::as_str).filter(|name| !name.starts_with("process_")).collect();
    assert_eq!(declared.difference(&found).collect::<Vec<_>>(), [&""; 0], "not on the page");
    assert_eq!(found.difference(&declared).collect::<Vec<_>>(), [&""; 0], "not declared");
    for (name, Family { kind, has_help, samples }) in &families {
        assert!(has_help, "{name} has no help");
        assert!(!samples.is_empty(), "{name} has no sample");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(name.chars().all(|part| part.is_ascii_lowercase() || part == '_'), "{name}");
        let unwanted = name.split('_').find(|part| UNWANTED.contains(part));
        assert_eq!(unwanted, None, "{name}");
    }
    // An alarm on the first increase needs these series from the start.
    for name in
        ["tidelog_damaged_segments_total", "tidelog_refused_records_total", "tidelog_clock_leaps_total"]
    {
        assert!(families[name].samples.iter().all(|(_, value)| *value == 0.0), "{name}");
    }
    let requests = &families["tidelog_request_seconds"].samples;
    let failed = |operation: &str| format!("operation=\"{operation}\",outcome=\"server_fault\"");
    for operation in ["PutRecord", "PutRecords", "GetRecords"] {
        assert!(requests.iter().any(|(series, _)| series.contains(&failed(operation))), "{operation}");
    }
}
