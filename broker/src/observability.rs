//! Metrics: the recorder of the process, and the table of all [`METRICS`]; and the [`logs`].
//!
//! Parts keep the handles that `metrics::counter!(NAME)` gives them: a handle made before [`recorder`] was first called
//! records nothing. Series of single shards are counted apart, in [`shard_level`], and metrics of applications in
//! [`applications`]; [`requests`] is the log of requests. The binary and the server call this.

pub mod applications;
mod declared;
pub mod logs;
pub mod raft_groups;
pub mod requests;
pub mod shard_level;

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use declared::*;

/// The process's one recorder, installed at the first call. Where the program that embeds the broker has installed
/// another one, everything is recorded there, and the broker's own page of metrics stays empty.
pub fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let Kind::Histogram(bounds) = metric.kind {
                let matcher = Matcher::Full(metric.name.into());
                builder = builder.set_buckets_for_metric(matcher, bounds).expect("bounds are not empty");
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!(
                "the program records metrics itself; the broker's own page of metrics stays empty"
            );
        }
        describe();
        begin();
        handle
    })
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help()),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help()),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help()),
        }
    }
    metrics_process::Collector::default().describe();
}

/// Puts counters and histograms on the page before the first count: an alarm on a rate sees the step from 0 to 1 only
/// where there was a 0. Gauges have no value until their owners set one.
fn begin() {
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for metric in METRICS.iter().filter(|metric| metric.labels.is_empty()) {
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name).increment(0),
            Kind::Histogram(_) => drop(metrics::histogram!(metric.name)),
            Kind::Gauge => {}
        }
    }
}

/// Every metric as Prometheus reads it. Figures that are counted elsewhere are fetched first, those of the process from
/// the kernel.
pub fn render() -> String {
    metrics_process::Collector::default().collect();
    let dropped = logs::dropped();
    for (reason, lines) in [("unwritten", dropped.unwritten), ("repeated", dropped.repeated)] {
        metrics::counter!(LOG_LINES_DROPPED, "reason" => reason).absolute(lines);
    }
    recorder().render()
}

#[cfg(test)]
mod tests;
