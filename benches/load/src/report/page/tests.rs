//! The page of a small run.

use super::*;
use crate::ledger::Verdict;
use crate::report::{ErrorResult, FORMAT, Machine, RunSettings, Totals};

/// A run of three seconds.
pub(in crate::report) fn result() -> RunResult {
    let times = Percentiles {
        count: 300,
        mean: 1.2,
        p50: 1.0,
        p90: 2.0,
        p99: 5.0,
        p999: 9.0,
        max: 12.0,
        curve: vec![(0.0, 0.5), (0.5, 1.0), (0.9, 2.0), (0.99, 5.0), (0.999, 9.0)],
    };
    let second = SecondResult {
        sent: 1_000,
        acknowledged: 990,
        throttled: 10,
        failed: 0,
        received: 990,
        latency_ms: Some([1.0, 5.0, 12.0]),
        end_to_end_ms: Some([2.0, 8.0, 15.0]),
    };
    let shard = |id: &str| ShardResult { id: id.into(), acknowledged: 1_500, seconds: vec![500; 3] };
    RunResult {
        format: FORMAT,
        tool: "tidelog 0".into(),
        started: "2026-01-01T00:00:00Z".into(),
        cut_short: None,
        verification: Verification::Done { verdict: Verdict::default() },
        settings: RunSettings {
            endpoint: "http://127.0.0.1:4567".into(),
            stream: "s".into(),
            api: "PutRecords".into(),
            is_open_loop: true,
            rate: Some(1_000.0),
            batch: 10,
            size: "1024 bytes".into(),
            keys: 10,
            skew: "uniform".into(),
            shards: 2,
            producers: 8,
            in_flight: 1,
            threads: 1,
            consumers: 1,
            consume: Some("polling".into()),
            is_signed: true,
            warm_up_s: 1.0,
            duration_s: 3.0,
            timeout_s: 30.0,
        },
        machine: Machine { system: "linux".into(), processor: "a <processor> & co".into(), cores: 2 },
        records: Totals { sent: 3_000, acknowledged: 2_970, throttled: 30, ..Totals::default() },
        requests: 300,
        elapsed_s: 3.0,
        records_per_s: 1_000.0,
        bytes_per_s: 1_024_000.0,
        latency_ms: Some(times.clone()),
        end_to_end_ms: Some(times),
        seconds: vec![second; 3],
        shards: vec![shard("shardId-000000000000"), shard("shardId-000000000001")],
        errors: vec![ErrorResult { what: "<script>".into(), records: 3 }],
    }
}

#[test]
fn the_page_asks_for_nothing_else_and_is_escaped() {
    for other in [None, Some(result())] {
        let page = page(&result(), other.as_ref());
        for loading in ["src=", "href=", "url(", "@import", "<link", "<script", "<img", "<iframe"] {
            assert!(!page.contains(loading), "{loading}");
        }
        let without_endpoint = page.replace("http://127.0.0.1:4567", "");
        assert!(!without_endpoint.contains("://"), "an address that is not the endpoint's");
        assert!(page.contains("&lt;script&gt;") && page.contains("a &lt;processor&gt; &amp; co"));
    }
}

#[test]
fn each_chart_is_there_for_wide_and_narrow_pages() {
    let alone = page(&result(), None);
    // Latency over time and by percentile, to the consumer, throughput, shards.
    assert_eq!(alone.matches("<svg").count(), 10);
    assert!(!alone.contains("the other run"));
    let beside = page(&result(), Some(&result()));
    assert_eq!(beside.matches("<svg").count(), 10);
    let percentiles =
        beside.split("<h2>").find(|part| part.starts_with("Latency by percentile")).expect("a chart");
    for ink in [Ink::Run, Ink::RunSoft, Ink::Other, Ink::OtherSoft] {
        assert!(percentiles.contains(&format!("stroke=\"var({})\"", ink.variable())), "{ink:?}");
    }
    let mut dead = result();
    (dead.latency_ms, dead.end_to_end_ms, dead.seconds, dead.shards) = (None, None, Vec::new(), Vec::new());
    assert_eq!(page(&dead, None).matches("<svg").count(), 0, "a run without an answer has no charts");
}
