//! The result as one page of HTML that asks for nothing else: style and charts are within it.

use std::fmt::Write;

use super::charts::{Axes, CANVASES, Ink, Line, bars, lines};
use super::text::{Row, milliseconds, verdict, whole};
use super::{Percentiles, RunResult, SecondResult, ShardResult, Verification};

const STYLE: &str = include_str!("page.css");

/// The page. `other` is shown in each chart, tile and table too.
pub fn page(result: &RunResult, other: Option<&RunResult>) -> String {
    let mut out = String::with_capacity(256 << 10);
    let title = format!("{} records/s into {}", whole(result.records_per_s), result.settings.stream);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p class=\"soft\">{}</p>\n\
         <p class=\"soft small\">{}, {}</p>\n",
        escaped(&title),
        escaped(&title),
        escaped(&result.described()),
        escaped(&result.settings.endpoint),
        escaped(&result.started),
    );
    if let Some(other) = other {
        let _ = writeln!(
            out,
            "<p class=\"small\" style=\"color:var(--other)\">Beside it: {}, {}, {}</p>",
            escaped(&other.described()),
            escaped(&other.settings.endpoint),
            escaped(&other.started)
        );
    }
    write_verdict(&mut out, result);
    write_tiles(&mut out, result, other);
    write_charts(&mut out, result, other);
    write_tables(&mut out, result, other);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn write_verdict(out: &mut String, result: &RunResult) {
    let class = match &result.verification {
        _ if !result.is_clean() => "bad",
        Verification::Done { .. } => "good",
        _ => "",
    };
    let lines: Vec<String> = verdict(result).iter().map(|line| format!("<p>{}</p>", escaped(line))).collect();
    let _ = writeln!(out, "<div class=\"verdict {class}\">{}</div>", lines.concat());
}

/// A figure of a run, if there is one.
type Figure = fn(&RunResult) -> Option<String>;

fn write_tiles(out: &mut String, result: &RunResult, other: Option<&RunResult>) {
    let tiles: [(&str, Figure); 7] = [
        ("records/s", |run| Some(whole(run.records_per_s))),
        ("latency p50", |run| run.latency_ms.as_ref().map(|times| milliseconds(times.p50) + " ms")),
        ("latency p99", |run| run.latency_ms.as_ref().map(|times| milliseconds(times.p99) + " ms")),
        ("latency p99.9", |run| run.latency_ms.as_ref().map(|times| milliseconds(times.p999) + " ms")),
        ("longest", |run| run.latency_ms.as_ref().map(|times| milliseconds(times.max) + " ms")),
        ("consumer p99", |run| run.end_to_end_ms.as_ref().map(|times| milliseconds(times.p99) + " ms")),
        ("throttled", |run| Some(whole(run.records.throttled as f64))),
    ];
    out.push_str("<div class=\"tiles\">\n");
    for (name, figure) in tiles {
        let Some(value) = figure(result) else { continue };
        let _ = write!(out, "<div class=\"tile\"><span class=\"soft small\">{name}</span><b>{value}</b>");
        if let Some(value) = other.and_then(figure) {
            let _ = write!(out, "<span class=\"beside\">{value}</span>");
        }
        out.push_str("</div>\n");
    }
    out.push_str("</div>\n");
}

fn write_charts(out: &mut String, result: &RunResult, other: Option<&RunResult>) {
    let runs = || {
        [(Some(result), false), (other, true)]
            .into_iter()
            .filter_map(|(run, is_other)| Some((run?, is_other)))
    };
    let over_time = |of: fn(&SecondResult) -> Option<[f64; 3]>| -> Vec<Line> {
        runs().flat_map(|(run, is_other)| latency_lines(run, is_other, of)).collect()
    };
    write_chart(
        out,
        "Latency over time",
        if result.settings.is_open_loop {
            "Of the requests that were due in each second, from when they were due to their answers."
        } else {
            "Of the requests that were sent in each second. In a closed loop a slow answer holds back the next request, \
             so this is not what callers at a given rate would wait."
        },
        Axes::TimeAndLatency,
        &over_time(|second| second.latency_ms),
    );
    let curves = runs().flat_map(|(run, is_other)| {
        let to_consumer = run.end_to_end_ms.as_ref();
        [
            run.latency_ms.as_ref().map(|times| curve("put", is_other, ink(is_other, 0), times)),
            to_consumer.map(|times| curve("put to consumer", is_other, ink(is_other, 1), times)),
        ]
    });
    let curves: Vec<Line> = curves.flatten().collect();
    write_chart(
        out,
        "Latency by percentile",
        "How many requests were at most so slow.",
        Axes::PercentileAndLatency,
        &curves,
    );
    write_chart(
        out,
        "Put to consumer over time",
        "From when a record was due to when a consumer had it.",
        Axes::TimeAndLatency,
        &over_time(|second| second.end_to_end_ms),
    );
    let throughput: Vec<Line> = runs().flat_map(|(run, is_other)| throughput_lines(run, is_other)).collect();
    write_chart(out, "Throughput", "Records in each second.", Axes::TimeAndCount, &throughput);
    write_shards(out, result, other);
}

/// A line's colour, by the run and by how much it stands out.
fn ink(is_other: bool, nth: usize) -> Ink {
    let inks = if is_other {
        [Ink::Other, Ink::OtherSoft, Ink::OtherFaint]
    } else {
        [Ink::Run, Ink::RunSoft, Ink::RunFaint]
    };
    inks[nth]
}

fn named(name: &str, is_other: bool) -> String {
    if is_other { format!("{name}, the other run") } else { name.to_owned() }
}

fn latency_lines(run: &RunResult, is_other: bool, of: fn(&SecondResult) -> Option<[f64; 3]>) -> Vec<Line> {
    let line = |nth: usize, name: &str| {
        let points = (0..)
            .zip(&run.seconds)
            .map(|(second, values)| of(values).map(|times| (f64::from(second) + 0.5, times[nth].max(0.001))));
        Line { name: named(name, is_other), ink: ink(is_other, nth), points: points.collect() }
    };
    let lines = [line(0, "p50"), line(1, "p99"), line(2, "max")];
    lines.into_iter().filter(|line| line.points.iter().any(Option::is_some)).collect()
}

fn curve(name: &str, is_other: bool, ink: Ink, times: &Percentiles) -> Line {
    let points = times.curve.iter().map(|(quantile, time)| Some((1.0 / (1.0 - quantile), time.max(0.001))));
    Line { name: named(name, is_other), ink, points: points.collect() }
}

fn throughput_lines(run: &RunResult, is_other: bool) -> Vec<Line> {
    // Consumers read on for a while: that is no drop to nothing.
    let is_loaded =
        |second: &SecondResult| second.sent + second.acknowledged + second.throttled + second.failed > 0;
    let loaded = run.seconds.iter().rposition(is_loaded).map_or(0, |last| last + 1);
    let line = |name: &str, ink, of: fn(&SecondResult) -> u64| {
        let points = (0..)
            .zip(&run.seconds[..loaded])
            .map(|(second, values)| Some((f64::from(second) + 0.5, of(values) as f64)));
        Line { name: named(name, is_other), ink, points: points.collect() }
    };
    let bad = if is_other { Ink::OtherBad } else { Ink::Bad };
    let has_height = |line: &Line| line.points.iter().flatten().any(|point| point.1 > 0.0);
    let lines = [
        line("throttled or failed", bad, |second| second.throttled + second.failed),
        line("acknowledged", ink(is_other, 0), |second| second.acknowledged),
        line("sent", ink(is_other, 2), |second| second.sent),
    ];
    lines.into_iter().filter(has_height).collect()
}

fn write_chart(out: &mut String, title: &str, about: &str, axes: Axes, of: &[Line]) {
    let [Some(wide), Some(narrow)] = CANVASES.map(|canvas| lines(canvas, axes, of)) else { return };
    let legend = of.iter().map(|line| (line.name.as_str(), line.ink)).collect::<Vec<_>>();
    write_section(out, title, about, &legend, [wide, narrow]);
}

fn write_section(
    out: &mut String,
    title: &str,
    about: &str,
    legend: &[(&str, Ink)],
    [wide, narrow]: [String; 2],
) {
    let _ = write!(
        out,
        "<section>\n<h2>{title}</h2>\n<p class=\"soft small\">{about}</p>\n<div class=\"legend\">"
    );
    for (name, ink) in legend {
        let _ =
            write!(out, "<span><i style=\"background:var({})\"></i>{}</span>", ink.variable(), escaped(name));
    }
    let _ = writeln!(
        out,
        "</div>\n<div class=\"wide\">{wide}</div>\n<div class=\"narrow\">{narrow}</div>\n</section>"
    );
}

fn write_shards(out: &mut String, result: &RunResult, other: Option<&RunResult>) {
    let rate = |run: &RunResult, shard: &ShardResult| shard.acknowledged as f64 / run.elapsed_s.max(0.001);
    let mut values: Vec<(String, Vec<f64>)> =
        result.shards.iter().map(|shard| (short_id(&shard.id), vec![rate(result, shard)])).collect();
    for shard in other.iter().flat_map(|other| &other.shards) {
        let (id, value) = (short_id(&shard.id), rate(other.unwrap_or(result), shard));
        match values.iter_mut().find(|(own, _)| *own == id) {
            Some((_, values)) => values.push(value),
            None => values.push((id, vec![0.0, value])),
        }
    }
    let inks: &[Ink] = if other.is_some() { &[Ink::Run, Ink::Other] } else { &[Ink::Run] };
    let [Some(wide), Some(narrow)] = CANVASES.map(|canvas| bars(canvas, inks, &values)) else { return };
    let legend: Vec<(&str, Ink)> =
        ["this run", "the other run"].into_iter().zip(inks.iter().copied()).collect();
    let legend = if other.is_some() { &legend[..] } else { &[] };
    write_section(
        out,
        "Throughput per shard",
        "Acknowledged records a second, by the shard's number.",
        legend,
        [wide, narrow],
    );
}

/// The number at the end of a shard's identifier.
fn short_id(id: &str) -> String {
    let digits = id.rsplit('-').next().unwrap_or(id);
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".into() } else { digits.into() }
}

fn write_tables(out: &mut String, result: &RunResult, other: Option<&RunResult>) {
    let counts: [Row; 9] = [
        ("Requests", |run| whole(run.requests as f64)),
        ("Sent", |run| whole(run.records.sent as f64)),
        ("Acknowledged", |run| whole(run.records.acknowledged as f64)),
        ("Throttled", |run| whole(run.records.throttled as f64)),
        ("Failed", |run| whole(run.records.failed as f64)),
        ("Unknown outcome", |run| whole(run.records.unknown as f64)),
        ("Due, not sent", |run| whole(run.records.unsent as f64)),
        ("Read by consumers", |run| whole(run.records.received as f64)),
        ("MiB/s", |run| format!("{:.2}", run.bytes_per_s / f64::from(1 << 20))),
    ];
    write_table(out, "Records", &counts, result, other);
    let settings: [Row; 15] = [
        ("Endpoint", |run| run.settings.endpoint.clone()),
        ("Stream", |run| format!("{}, {} shards", run.settings.stream, run.settings.shards)),
        ("Load", RunResult::described),
        ("Records", |run| run.settings.size.clone()),
        ("Keys", |run| format!("{}, {}", whole(run.settings.keys.into()), run.settings.skew)),
        ("Producers", |run| format!("{} on {} threads", run.settings.producers, run.settings.threads)),
        ("Under way for each", |run| run.settings.in_flight.to_string()),
        ("Consumers", |run| match &run.settings.consume {
            Some(how) => format!("{}, {how}", run.settings.consumers),
            None => "none".into(),
        }),
        ("Signed", |run| if run.settings.is_signed { "yes".into() } else { "no".into() }),
        ("Warm-up", |run| format!("{} s", run.settings.warm_up_s)),
        ("Measured", |run| format!("{:.1} s of {} s", run.elapsed_s, run.settings.duration_s)),
        ("Timeout", |run| format!("{} s", run.settings.timeout_s)),
        ("Client's system", |run| run.machine.system.clone()),
        ("Client's processor", |run| format!("{}, {} cores", run.machine.processor, run.machine.cores)),
        ("Program", |run| run.tool.clone()),
    ];
    write_table(out, "Settings", &settings, result, other);
    if result.errors.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>Errors</h2>\n<table>\n");
    for error in &result.errors {
        let _ = writeln!(
            out,
            "<tr><th>{}</th><td>{}</td></tr>",
            whole(error.records as f64),
            escaped(&error.what)
        );
    }
    out.push_str("</table>\n</section>\n");
}

fn write_table(out: &mut String, title: &str, rows: &[Row], result: &RunResult, other: Option<&RunResult>) {
    let _ = writeln!(out, "<section>\n<h2>{title}</h2>\n<table>");
    if other.is_some() {
        out.push_str("<thead><tr><th></th><th>this run</th><th>the other run</th></tr></thead>\n");
    }
    for (name, figure) in rows {
        let _ = write!(out, "<tr><th>{name}</th><td>{}</td>", escaped(&figure(result)));
        if let Some(other) = other {
            let _ = write!(out, "<td>{}</td>", escaped(&figure(other)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n</section>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
pub(super) mod tests;
