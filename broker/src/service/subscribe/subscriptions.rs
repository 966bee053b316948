//! The active subscriptions of consumers to shards.
//!
//! Two rules of SubscribeToShard live here: a subscription is refused within five seconds of another one of the same
//! consumer to the same shard, and a later subscription ends the one before. The table is this node's memory. A row is
//! forgotten once its subscription has ended and the next one may begin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::limits::SUBSCRIPTION_PAUSE_MS;
use crate::service::limits::stream_shares::StreamShares;
use crate::service::limits::throttle::FanoutBudget;

/// Subscriptions of one node: enough for twenty consumers of 5,000 shards. Streams share them ([`StreamShares`]).
const SUBSCRIPTIONS_MAX: usize = 100_000;
/// How often subscriptions that are free are forgotten, milliseconds.
const SWEEP_MS: u64 = 1_000;

/// A consumer and a shard of its stream. Numbers of consumers are unique in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionKey {
    /// The consumer's stream.
    pub stream_uid: u64,
    /// The consumer.
    pub consumer_uid: u64,
    /// The shard's index in the consumer's stream.
    pub shard: u32,
}

/// Why a subscription does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeRefusal {
    /// Another subscription of the consumer to the shard has just begun.
    TooSoon,
    /// The stream may have no more of the node's [`SUBSCRIPTIONS_MAX`].
    Full,
}

/// The subscriptions of this node.
#[derive(Debug)]
pub struct SubscriptionTable(Mutex<Table>);

#[derive(Debug)]
struct Table {
    subscriptions: HashMap<SubscriptionKey, Row>,
    streams: StreamShares,
    swept_ms: u64,
}

impl Default for SubscriptionTable {
    fn default() -> Self {
        let streams = StreamShares::new(SUBSCRIPTIONS_MAX);
        Self(Mutex::new(Table { subscriptions: HashMap::new(), streams, swept_ms: 0 }))
    }
}

#[derive(Debug)]
struct Row {
    began_ms: u64,
    /// The number of the newest subscription.
    newest: watch::Sender<u64>,
    budget: Arc<Mutex<FanoutBudget>>,
}

/// A subscription from its beginning to its end.
#[derive(Debug)]
pub struct ActiveSubscription {
    newest: watch::Receiver<u64>,
    own: u64,
    /// The budget outlives the subscription, so that subscribing again does not fill it.
    pub budget: Arc<Mutex<FanoutBudget>>,
}

impl ActiveSubscription {
    /// Whether a later subscription has taken over.
    pub fn is_lost(&self) -> bool {
        *self.newest.borrow() != self.own
    }

    /// Ends once a later subscription has taken over.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut newest, own) = (self.newest.clone(), self.own);
        // Rows with a receiver are kept, so that there is always a sender.
        async move { drop(newest.wait_for(|newest| *newest != own).await) }
    }
}

impl SubscriptionTable {
    /// Whether a subscription could begin now.
    ///
    /// # Errors
    /// [`SubscribeRefusal`].
    pub fn check(&self, key: SubscriptionKey, now_ms: u64) -> Result<(), SubscribeRefusal> {
        self.table().check(key, now_ms)
    }

    /// Begins a subscription, which ends the one before.
    ///
    /// # Errors
    /// [`SubscribeRefusal`].
    pub fn take(&self, key: SubscriptionKey, now_ms: u64) -> Result<ActiveSubscription, SubscribeRefusal> {
        let mut table = self.table();
        table.sweep(now_ms);
        table.check(key, now_ms)?;
        let table = &mut *table;
        let row = table.subscriptions.entry(key).or_insert_with(|| {
            table.streams.add(key.stream_uid, 1);
            Row { began_ms: now_ms, newest: watch::channel(0).0, budget: Arc::default() }
        });
        row.began_ms = now_ms;
        row.newest.send_modify(|newest| *newest += 1);
        let newest = row.newest.subscribe();
        let own = *newest.borrow();
        Ok(ActiveSubscription { newest, own, budget: row.budget.clone() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

impl Table {
    fn check(&self, key: SubscriptionKey, now_ms: u64) -> Result<(), SubscribeRefusal> {
        match self.subscriptions.get(&key) {
            Some(row) if is_recent(row.began_ms, now_ms) => Err(SubscribeRefusal::TooSoon),
            None if !self.streams.admits(key.stream_uid, 1) => Err(SubscribeRefusal::Full),
            _ => Ok(()),
        }
    }

    fn sweep(&mut self, now_ms: u64) {
        if self.swept_ms.abs_diff(now_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        self.subscriptions.retain(|key, row| {
            let is_kept = row.newest.receiver_count() > 0 || is_recent(row.began_ms, now_ms);
            self.streams.remove(key.stream_uid, usize::from(!is_kept));
            is_kept
        });
    }
}

/// Whether a subscription that began then still keeps the next one out. A clock that has gone back far lets it in.
fn is_recent(began_ms: u64, now_ms: u64) -> bool {
    began_ms.abs_diff(now_ms) < SUBSCRIPTION_PAUSE_MS
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const KEY: SubscriptionKey = SubscriptionKey { stream_uid: 1, consumer_uid: 7, shard: 0 };

    #[test]
    fn five_seconds_pass_between_two_subscriptions_of_a_consumer_to_a_shard() {
        let subscriptions = SubscriptionTable::default();
        let other_shard = SubscriptionKey { shard: 1, ..KEY };
        let other_consumer = SubscriptionKey { consumer_uid: 8, ..KEY };
        for (key, after_ms, expected) in [
            (KEY, 0, true),
            (other_shard, 0, true),
            (other_consumer, 0, true),
            (KEY, 1, false),
            // A refused call does not count.
            (KEY, 4_999, false),
            (KEY, 5_000, true),
            (KEY, 9_999, false),
            (other_shard, 9_999, true),
        ] {
            assert_eq!(subscriptions.check(key, NOW_MS + after_ms).is_ok(), expected, "{key:?} {after_ms}");
            assert_eq!(subscriptions.take(key, NOW_MS + after_ms).is_ok(), expected, "{key:?} {after_ms}");
        }
        // A clock that goes back does not lock anybody out for long.
        assert!(subscriptions.take(KEY, NOW_MS - 3_600_000).is_ok());
    }

    #[test]
    fn a_later_subscription_ends_the_one_before() {
        let subscriptions = SubscriptionTable::default();
        let first = subscriptions.take(KEY, NOW_MS).unwrap();
        assert!(!first.is_lost() && first.lost().now_or_never().is_none());
        first.budget.lock().unwrap().charge(1);
        let second = subscriptions.take(KEY, NOW_MS + 5_000).unwrap();
        assert!(first.is_lost() && first.lost().now_or_never().is_some());
        assert!(!second.is_lost());
        assert!(Arc::ptr_eq(&first.budget, &second.budget));
    }

    #[test]
    fn a_stream_leaves_subscriptions_to_others_and_gets_its_own_back() {
        let subscriptions = SubscriptionTable::default();
        let key = |stream_uid, shard| SubscriptionKey { stream_uid, shard, ..KEY };
        let take =
            |stream_uid, shard, after_ms| subscriptions.take(key(stream_uid, shard), NOW_MS + after_ms);
        let held: Vec<_> = (0..60_000).map_while(|shard| take(1, shard, 0).ok()).collect();
        assert_eq!(held.len(), SUBSCRIPTIONS_MAX / 2);
        assert_eq!(subscriptions.check(key(1, 60_000), NOW_MS).err(), Some(SubscribeRefusal::Full));
        assert!((0..1_000).all(|shard| take(2, shard, 0).is_ok()), "another stream has its own");
        drop(held);
        assert!(take(1, 60_000, 6_000).is_ok());
        assert_eq!(subscriptions.table().subscriptions.len(), 1);
    }

    #[test]
    fn subscriptions_are_forgotten_once_they_have_ended() {
        let subscriptions = SubscriptionTable::default();
        let held = subscriptions.take(KEY, NOW_MS).unwrap();
        drop(subscriptions.take(SubscriptionKey { shard: 1, ..KEY }, NOW_MS));
        for (after_ms, count) in [(4_000, 3), (6_000, 3), (12_000, 2)] {
            drop(subscriptions.take(SubscriptionKey { shard: after_ms as u32, ..KEY }, NOW_MS + after_ms));
            assert_eq!(subscriptions.table().subscriptions.len(), count, "{after_ms}");
        }
        assert!(!held.is_lost());
    }
}
