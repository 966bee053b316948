//! The page of a small run.

use super::*;
use crate::ledger::Verdict;
use crate::report::{
    ErrorResult, FORMAT, Machine, Percentiles, RunSettings, SecondResult, ShardResult, Totals,
};

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
fn the_page_asks_for_nothing_else() {
    for other in [None, Some(result())] {
        let page = page(&result(), other.as_ref());
        for loading in ["src=", "href=", "url(", "@import", "<link", "<img", "<iframe", "fetch(", "import("] {
            assert!(!page.contains(loading), "{loading}");
        }
        let own = page.replace("http://127.0.0.1:4567", "").replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains("://"), "an address that is neither the endpoint's nor the name of SVG");
    }
}

/// The JSON in a page.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once(r#"id="report">"#).expect("data");
    let (data, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_has_the_results_and_no_text_ends_them() {
    let mut run = result();
    run.errors[0].what = "</script><script>alert(1)</script><!--".into();
    let page = page(&run, Some(&result()));
    assert_eq!(page.matches("<script").count(), 2, "the data and the template's own");
    assert!(!page.contains(DATA) && page.trim_end().ends_with("</html>"));
    let data = data(&page);
    for (shown, expected) in [(&data["runs"][0], &run), (&data["runs"][1], &result())] {
        assert_eq!(shown["described"], expected.described());
        let shown: RunResult = serde_json::from_value(shown.clone()).expect("a result");
        assert_eq!(shown, *expected);
    }
    assert_eq!(data["standing"], "good");
    assert_eq!(
        data["verdict"][0],
        "Verified: each of 0 acknowledged records was read exactly once, in order."
    );
}

#[test]
fn a_run_that_broke_a_promise_stands_out() {
    let mut run = result();
    run.cut_short = Some("interrupted".into());
    assert_eq!(data(&page(&run, None))["standing"], "bad");
    run.cut_short = None;
    run.verification = Verification::Off { reason: "not asked for".into() };
    assert_eq!(data(&page(&run, None))["standing"], "");
}
