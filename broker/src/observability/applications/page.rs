//! Labels of series, and their lines on the page.

use std::borrow::Cow;
use std::fmt::Write;

use super::table::Row;
use super::{Datum, LABELS_BYTES_MAX, Namespace};

const METRIC: &str = "tidelog_application_metric";
const MINIMUM: &str = "tidelog_application_metric_minimum";
const MAXIMUM: &str = "tidelog_application_metric_maximum";
/// Dimension that is left out: a worker of KCL has a new name at each start.
const WORKER: &str = "WorkerIdentifier";
/// Dimensions of KCL and KPL with a label of their own.
const NAMED: [(&str, &str); 4] =
    [("Operation", "operation"), ("ShardId", "shard"), ("StreamName", "stream"), ("StreamId", "stream")];

/// The labels of a metric, without braces; `None` where they are too long. Other dimensions share a label, because a
/// dimension's name can have characters that a label's cannot. Account and region are told where they are not the
/// `usual` ones.
pub(super) fn labels(namespace: &Namespace<'_>, datum: &Datum, usual: (&str, &str)) -> Option<String> {
    let mut labels = String::with_capacity(192);
    add(&mut labels, "namespace", namespace.name);
    add(&mut labels, "metric", &datum.metric);
    add(&mut labels, "unit", datum.unit);
    for (label, dimension) in named(&datum.dimensions) {
        add(&mut labels, label, dimension);
    }
    let others = others(&datum.dimensions);
    if !others.is_empty() {
        add(&mut labels, "dimensions", &others);
    }
    for (label, own, usual) in
        [("account", &**namespace.account, usual.0), ("region", namespace.region, usual.1)]
    {
        if own != usual {
            add(&mut labels, label, own);
        }
    }
    (labels.len() <= LABELS_BYTES_MAX).then_some(labels)
}

/// The labels of dimensions that have one of their own, each once.
fn named(dimensions: &[(String, String)]) -> Vec<(&'static str, &str)> {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for (dimension, label) in NAMED {
        let value = dimensions.iter().find(|(name, _)| name == dimension).map(|(_, value)| value);
        if let Some(value) = value
            && labels.iter().all(|(taken, _)| *taken != label)
        {
            labels.push((label, if dimension == "StreamId" { stream_name(value) } else { value }));
        }
    }
    labels
}

/// All other dimensions, as `Name=value` in the order of their names.
fn others(dimensions: &[(String, String)]) -> String {
    let is_other = |name: &str| name != WORKER && NAMED.iter().all(|(named, _)| *named != name);
    let mut others: Vec<_> = dimensions.iter().filter(|(name, _)| is_other(name)).collect();
    others.sort_unstable();
    others.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// The stream of KCL's identifier `ACCOUNT:STREAM:EPOCH`; any other text is left as it is.
fn stream_name(id: &str) -> &str {
    let mut parts = id.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(stream), Some(_), None) if !stream.is_empty() => stream,
        _ => id,
    }
}

/// Adds a label, its value escaped.
fn add(labels: &mut String, name: &str, value: &str) {
    let comma = if labels.is_empty() { "" } else { "," };
    write!(labels, "{comma}{name}=\"").expect("writing to memory cannot fail");
    for character in value.chars() {
        match character {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push('"');
}

/// All series in Prometheus' text form.
pub(super) fn page(rows: &[Row]) -> String {
    let mut out = String::new();
    if rows.is_empty() {
        return out;
    }
    family(&mut out, METRIC, "summary", "Samples of metrics that applications sent by PutMetricData.");
    let (sum, count) = (format!("{METRIC}_sum"), format!("{METRIC}_count"));
    for Row { labels, statistics } in rows {
        line(&mut out, &sum, labels, statistics.sum);
        line(&mut out, &count, labels, statistics.samples);
    }
    out.push('\n');
    family(&mut out, MINIMUM, "gauge", "Least sample of an application's metric in its last PutMetricData.");
    for Row { labels, statistics } in rows {
        line(&mut out, MINIMUM, labels, statistics.minimum);
    }
    out.push('\n');
    family(
        &mut out,
        MAXIMUM,
        "gauge",
        "Largest sample of an application's metric in its last PutMetricData.",
    );
    for Row { labels, statistics } in rows {
        line(&mut out, MAXIMUM, labels, statistics.maximum);
    }
    out.push('\n');
    out
}

fn family(out: &mut String, name: &str, kind: &str, sentence: &str) {
    write!(out, "# HELP {name} {sentence}\n# TYPE {name} {kind}\n").expect("writing to memory cannot fail");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    writeln!(out, "{name}{{{labels}}} {}", shown(value)).expect("writing to memory cannot fail");
}

/// A number in few characters: whole ones without a fraction, large ones with an exponent.
fn shown(value: f64) -> Cow<'static, str> {
    match value {
        0.0 => "0".into(),
        _ if (1e-6..1e15).contains(&value.abs()) => value.to_string().into(),
        _ => format!("{value:e}").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observability::applications::Statistics;

    fn labelled(name: &str, dimensions: &[(&str, &str)]) -> Option<String> {
        let account: Arc<str> = "1".into();
        let namespace = Namespace { account: &account, region: "r", name };
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let statistics = Statistics::of(1.0, 1.0);
        let datum = Datum { metric: "m".into(), unit: "Count", dimensions: dimensions.collect(), statistics };
        labels(&namespace, &datum, ("1", "r"))
    }

    #[test]
    fn dimensions_of_kcl_have_labels_and_workers_have_none() {
        let of_kcl = [
            ("WorkerIdentifier", "host:1"),
            ("Operation", "ProcessTask"),
            ("ShardId", "shardId-000000000000"),
            ("StreamId", "000000000000:visits:1700000000"),
        ];
        assert_eq!(
            labelled("app", &of_kcl).unwrap(),
            r#"namespace="app",metric="m",unit="Count",operation="ProcessTask",shard="shardId-000000000000",stream="visits""#
        );
        let two = [("StreamId", "a"), ("StreamName", "b"), ("z", "1"), ("ErrorCode", "x\"y")];
        assert_eq!(
            labelled("a\\\nb", &two).unwrap(),
            r#"namespace="a\\\nb",metric="m",unit="Count",stream="b",dimensions="ErrorCode=x\"y,z=1""#
        );
    }

    #[test]
    fn labels_are_bounded() {
        assert!(labelled("app", &[("d", &"v".repeat(950))]).is_some());
        assert_eq!(labelled("app", &[("d", &"v".repeat(1_000))]), None);
        assert_eq!(labelled(&"\\".repeat(255), &[("d", &"\"".repeat(255))]), None);
    }

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (-0.0, "0"), (3.0, "3"), (-2.5, "-2.5"), (1e300, "1e300"), (2e-300, "2e-300")];
        for (value, expected) in cases {
            assert_eq!(shown(value), expected);
        }
    }
}
