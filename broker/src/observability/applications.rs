//! Metrics that applications send by CloudWatch's PutMetricData, such as KCL's and KPL's, as series on the broker's
//! page.
//!
//! The recorder forgets no series, so these have a table of their own. Invariants: the table has at most [`SERIES_MAX`]
//! series; where it is full, an account that has fewer series than another takes places of that one, and a namespace
//! with fewer than another of its account takes places of that namespace. A series that nobody has written for [`KEPT`]
//! is forgotten. Workers are not told apart: KCL gives each start of a worker a new name, so that the number of series
//! would grow with every deployment.

mod page;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::APPLICATION_DATA_REFUSED;
use table::Table;

/// Series of all accounts.
pub const SERIES_MAX: usize = 10_000;
/// Bytes of the labels of one series.
pub const LABELS_BYTES_MAX: usize = 1_024;
/// How long a series stays that nobody writes.
pub const KEPT: Duration = Duration::from_secs(3_600);

/// A namespace of metrics, and its owner.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// The account.
    pub account: &'a Arc<str>,
    /// The region.
    pub region: &'a str,
    /// The name: the application's, for KCL.
    pub name: &'a str,
}

/// One metric of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// The name.
    pub metric: String,
    /// The unit, in CloudWatch's words.
    pub unit: &'static str,
    /// Names and values.
    pub dimensions: Vec<(String, String)>,
    /// The figures.
    pub statistics: Statistics,
}

/// Figures of a number of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// The number of samples.
    pub samples: f64,
    /// The sum of the samples.
    pub sum: f64,
    /// The least sample.
    pub minimum: f64,
    /// The largest sample.
    pub maximum: f64,
}

impl Statistics {
    /// The figures of a value that occurred `count` times.
    pub fn of(value: f64, count: f64) -> Self {
        Self { samples: count, sum: value * count, minimum: value, maximum: value }
    }

    /// The figures of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }
}

/// The metrics of all applications.
#[derive(Debug)]
pub struct ApplicationMetrics {
    /// Account and region that labels leave out.
    usual: (Arc<str>, Arc<str>),
    table: Mutex<Table>,
}

impl ApplicationMetrics {
    /// An empty table. Labels tell account and region where they are not these.
    pub fn new(account: Arc<str>, region: Arc<str>) -> Self {
        Self { usual: (account, region), table: Mutex::default() }
    }

    /// Counts the metrics of one call. Those that find no room are counted and logged.
    pub fn record(&self, namespace: &Namespace<'_>, data: &[Datum], now: Instant) {
        let usual = (&*self.usual.0, &*self.usual.1);
        let labelled = data.iter().map(|datum| (page::labels(namespace, datum, usual), datum.statistics));
        // Labels are made before the lock is taken.
        let labelled = labelled.collect::<Vec<_>>();
        let refused = self.table().record(namespace, labelled, now);
        if refused > 0 {
            metrics::counter!(APPLICATION_DATA_REFUSED).increment(refused as u64);
            crate::log_at_most_once_a_second!(
                warn,
                account = &**namespace.account,
                namespace = namespace.name,
                refused,
                "application metrics: no room for further series; their data are dropped until others end"
            );
        }
    }

    /// All series in Prometheus' text form; nothing where there are none.
    pub fn page(&self, now: Instant) -> String {
        let rows = self.table().rows(now);
        page::page(&rows)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere leaves no half of a change that matters: the figures are sums.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
