//! The bounded table of series: who has room, and who makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{KEPT, Namespace, SERIES_MAX, Statistics};

/// How often the whole table is searched for series that nobody writes.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);
/// Series that one account gives up to another at a time.
const GIVEN_UP_MAX: usize = 100;

/// A series.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// Figures since the series began.
    samples: f64,
    sum: f64,
    /// Extremes of the last call.
    minimum: f64,
    maximum: f64,
    written: Instant,
}

/// A series as the page shows it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) labels: Arc<str>,
    /// Samples and sum since the series began, extremes of the last call.
    pub(super) statistics: Statistics,
}

/// The series of an account, by namespace and labels.
#[derive(Debug, Default)]
struct Account {
    namespaces: BTreeMap<String, BTreeMap<Arc<str>, Series>>,
    series: usize,
}

impl Account {
    /// Forgets series that nobody has written for too long; the number of them.
    fn forget_unwritten(&mut self, now: Instant) -> usize {
        for namespace in self.namespaces.values_mut() {
            namespace.retain(|_, series| now < series.written + KEPT);
        }
        self.forgotten()
    }

    /// Forgets that many series of the namespace that has most: those that were written longest ago.
    fn give_up(&mut self, count: usize) -> usize {
        let Some(namespace) = self.namespaces.values_mut().max_by_key(|namespace| namespace.len()) else {
            return 0;
        };
        let mut written: Vec<_> = namespace.values().map(|series| series.written).collect();
        let mut left = count.min(written.len());
        let Some(position) = left.checked_sub(1) else { return 0 };
        let last = *written.select_nth_unstable(position).1;
        namespace.retain(|_, series| {
            let goes = left > 0 && series.written <= last;
            left -= usize::from(goes);
            !goes
        });
        self.forgotten()
    }

    /// Counts the series anew; the number of those that have gone.
    fn forgotten(&mut self) -> usize {
        self.namespaces.retain(|_, namespace| !namespace.is_empty());
        let before = self.series;
        self.series = self.namespaces.values().map(BTreeMap::len).sum();
        before - self.series
    }

    /// Series of the namespace that has most.
    fn largest(&self) -> usize {
        self.namespaces.values().map(BTreeMap::len).max().unwrap_or(0)
    }
}

/// The series of all accounts.
#[derive(Debug, Default)]
pub(super) struct Table {
    accounts: BTreeMap<Arc<str>, Account>,
    series: usize,
    /// When the whole table was last searched for series that nobody writes.
    searched: Option<Instant>,
}

impl Table {
    /// Counts figures by their labels; `None` stands for labels that are too long. Answers how many find no room.
    pub(super) fn record(
        &mut self,
        namespace: &Namespace<'_>,
        data: Vec<(Option<String>, Statistics)>,
        now: Instant,
    ) -> usize {
        let (mut refused, mut is_full) = (0, false);
        for (labels, statistics) in data {
            let Some(labels) = labels else {
                refused += 1;
                continue;
            };
            if self.add(namespace, &labels, &statistics, now) {
                continue;
            }
            // The table is searched for room once for a call that finds none.
            is_full = is_full || !self.make_room(namespace, now);
            if is_full {
                refused += 1;
            } else {
                self.insert(namespace, labels, &statistics, now);
            }
        }
        refused
    }

    /// Adds to a series that there is.
    fn add(
        &mut self,
        namespace: &Namespace<'_>,
        labels: &str,
        statistics: &Statistics,
        now: Instant,
    ) -> bool {
        let account = self.accounts.get_mut(namespace.account);
        let series = account
            .and_then(|account| account.namespaces.get_mut(namespace.name))
            .and_then(|namespace| namespace.get_mut(labels));
        let Some(series) = series else { return false };
        let Statistics { samples, sum, minimum, maximum } = *statistics;
        *series = Series {
            samples: series.samples + samples,
            sum: series.sum + sum,
            minimum,
            maximum,
            written: now,
        };
        true
    }

    fn insert(&mut self, namespace: &Namespace<'_>, labels: String, statistics: &Statistics, now: Instant) {
        let account = self.accounts.entry(namespace.account.clone()).or_default();
        let of_namespace = account.namespaces.entry(namespace.name.to_owned()).or_default();
        let Statistics { samples, sum, minimum, maximum } = *statistics;
        of_namespace.insert(labels.into(), Series { samples, sum, minimum, maximum, written: now });
        account.series += 1;
        self.series += 1;
    }

    /// Whether there is room for one more series of the namespace, now or after others have gone.
    fn make_room(&mut self, namespace: &Namespace<'_>, now: Instant) -> bool {
        if self.series >= SERIES_MAX {
            self.forget_unwritten(now);
        }
        self.series < SERIES_MAX || self.evict(namespace)
    }

    fn forget_unwritten(&mut self, now: Instant) {
        if self.searched.is_some_and(|searched| now < searched + SEARCH_PAUSE) {
            return;
        }
        self.searched = Some(now);
        self.accounts.retain(|_, account| {
            self.series -= account.forget_unwritten(now);
            account.series > 0
        });
    }

    /// Takes places of the account that has most series, when it has more than this one; otherwise of this account's
    /// namespace that has most, when that has more than this one.
    fn evict(&mut self, namespace: &Namespace<'_>) -> bool {
        let own = self.accounts.get(namespace.account);
        let of_account = own.map_or(0, |account| account.series);
        let of_namespace =
            own.and_then(|account| account.namespaces.get(namespace.name)).map_or(0, BTreeMap::len);
        let most = self.accounts.iter().max_by_key(|(_, account)| account.series);
        let (from, more) = match most {
            Some((name, account)) if account.series > of_account + 1 => (name, account.series - of_account),
            _ => (namespace.account, own.map_or(0, Account::largest).saturating_sub(of_namespace)),
        };
        let from = from.clone();
        if more <= 1 {
            return false;
        }
        let Some(account) = self.accounts.get_mut(&from) else { return false };
        self.series -= account.give_up((more / 2).clamp(1, GIVEN_UP_MAX));
        true
    }

    /// All series that are still written, in the order of their labels within a namespace.
    pub(super) fn rows(&mut self, now: Instant) -> Vec<Row> {
        self.forget_unwritten(now);
        let namespaces = self.accounts.values().flat_map(|account| account.namespaces.values());
        let written = namespaces.flatten().filter(|(_, series)| now < series.written + KEPT);
        let row = |(labels, series): (&Arc<str>, &Series)| {
            let Series { samples, sum, minimum, maximum, .. } = *series;
            Row { labels: labels.clone(), statistics: Statistics { samples, sum, minimum, maximum } }
        };
        written.map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sender {
        account: Arc<str>,
        namespace: String,
    }

    impl Sender {
        fn new(account: &str, namespace: impl Into<String>) -> Self {
            Self { account: account.into(), namespace: namespace.into() }
        }

        /// Sends one sample for each label; the number that finds no room.
        fn send(&self, table: &mut Table, labels: std::ops::Range<usize>, now: Instant) -> usize {
            let namespace = Namespace { account: &self.account, region: "r", name: &self.namespace };
            let labelled = |label| (Some(format!("{}-{label}", self.namespace)), Statistics::of(1.0, 1.0));
            table.record(&namespace, labels.map(labelled).collect(), now)
        }
    }

    fn held(table: &Table, account: &str) -> usize {
        let counted: usize = table.accounts.values().map(|account| account.series).sum();
        assert_eq!(table.series, counted);
        table.accounts.get(account).map_or(0, |account| account.series)
    }

    /// Series of a namespace while the table is filled.
    const PART: usize = SERIES_MAX / 10;

    #[tokio::test]
    async fn series_that_nobody_writes_make_room() {
        let (mut table, now) = (Table::default(), Instant::now());
        let app = Sender::new("a", "app");
        assert_eq!(app.send(&mut table, 0..SERIES_MAX + 7, now), 7);
        assert_eq!(app.send(&mut table, 0..SERIES_MAX, now), 0, "series that there are go on");
        let later = now + KEPT - Duration::from_secs(5);
        assert_eq!(app.send(&mut table, 0..1, later), 0);
        assert_eq!(app.send(&mut table, SERIES_MAX..SERIES_MAX + 1, later), 1);
        let late = now + KEPT;
        assert_eq!(app.send(&mut table, SERIES_MAX..SERIES_MAX + 100, late), 0);
        assert_eq!(held(&table, "a"), 101);
        assert_eq!(table.rows(late + KEPT).len(), 0);
        assert_eq!(held(&table, "a"), 0);
    }

    #[tokio::test]
    async fn no_namespace_starves_another_of_its_account() {
        let (mut table, now) = (Table::default(), Instant::now());
        let (greedy, modest) = (Sender::new("a", "greedy"), Sender::new("a", "modest"));
        assert_eq!(greedy.send(&mut table, 0..SERIES_MAX, now), 0);
        assert_eq!(modest.send(&mut table, 0..PART, now), 0);
        assert!(greedy.send(&mut table, 0..SERIES_MAX, now) >= PART);
        assert_eq!(table.accounts["a"].namespaces["modest"].len(), PART);
        held(&table, "a");
    }

    #[tokio::test]
    async fn no_account_starves_another() {
        let (mut table, now) = (Table::default(), Instant::now());
        for namespace in 0..SERIES_MAX / PART {
            let refused = Sender::new("greedy", namespace.to_string()).send(&mut table, 0..PART, now);
            assert_eq!(refused, 0);
        }
        let modest = Sender::new("modest", "app");
        assert_eq!(modest.send(&mut table, 0..PART, now), 0);
        assert_eq!(held(&table, "modest"), PART);
        assert_eq!(held(&table, "greedy") + held(&table, "modest"), table.series);
        for namespace in 0..20 {
            Sender::new("greedy", namespace.to_string()).send(&mut table, 0..PART, now);
        }
        assert_eq!(held(&table, "modest"), PART, "and gets nothing back");
        // A second account that asks for all has half of it.
        for namespace in 0..20 {
            Sender::new("modest", namespace.to_string()).send(&mut table, 0..PART, now);
        }
        let (greedy, modest) = (held(&table, "greedy"), held(&table, "modest"));
        assert!(
            greedy.abs_diff(modest) <= GIVEN_UP_MAX && greedy + modest <= SERIES_MAX,
            "{greedy} {modest}"
        );
    }

    #[tokio::test]
    async fn the_oldest_series_are_given_up_first() {
        let (mut table, now) = (Table::default(), Instant::now());
        let large = Sender::new("a", "large");
        assert_eq!(large.send(&mut table, PART..SERIES_MAX, now + Duration::from_secs(1)), 0);
        assert_eq!(large.send(&mut table, 0..PART, now), 0);
        assert_eq!(Sender::new("b", "app").send(&mut table, 0..1, now + Duration::from_secs(2)), 0);
        let old = |series: &&Series| series.written == now;
        let left = table.accounts["a"].namespaces["large"].values();
        assert_eq!(
            (left.clone().filter(old).count(), left.len()),
            (PART - GIVEN_UP_MAX, SERIES_MAX - GIVEN_UP_MAX)
        );
    }
}
