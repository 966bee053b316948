//! Who is subscribed: a consumer has one seat per shard, which a later subscription takes over.
//!
//! Two rules of SubscribeToShard live here: nobody sits down within five seconds of another who did, and whoever sits
//! down later sends the one before away. The table is this node's memory. A seat is forgotten once nobody sits on it
//! and it could be taken again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::limits::SUBSCRIPTION_PAUSE_MS;
use crate::service::limits::stream_shares::StreamShares;
use crate::service::limits::throttle::FanoutBudget;

/// Seats of one node: what an operator of many thousand shards and twenty consumers may still hope for. Streams share them
/// ([`StreamShares`]).
const SEATS_MAX: usize = 100_000;
/// How often seats that are free are forgotten, milliseconds.
const SWEEP_MS: u64 = 1_000;

/// A consumer and a shard, of whatever stream: numbers of consumers are unique in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeatKey {
    /// The consumer's stream.
    pub stream_uid: u64,
    /// The consumer.
    pub consumer_uid: u64,
    /// The shard's index in the consumer's stream.
    pub shard: u32,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatRefusal {
    /// Another subscription of the consumer to the shard has just begun.
    TooSoon,
    /// The stream may have no more of the node's [`SEATS_MAX`].
    Full,
}

/// Every seat.
#[derive(Debug)]
pub struct Seats(Mutex<Table>);

#[derive(Debug)]
struct Table {
    seats: HashMap<SeatKey, Row>,
    streams: StreamShares,
    swept_ms: u64,
}

impl Default for Seats {
    fn default() -> Self {
        let streams = StreamShares::new(SEATS_MAX);
        Self(Mutex::new(Table { seats: HashMap::new(), streams, swept_ms: 0 }))
    }
}

#[derive(Debug)]
struct Row {
    taken_ms: u64,
    /// Counts who has sat here.
    turn: watch::Sender<u64>,
    budget: Arc<Mutex<FanoutBudget>>,
}

/// A seat that was taken.
#[derive(Debug)]
pub struct Seat {
    turn: watch::Receiver<u64>,
    own_turn: u64,
    /// Outlives the subscription, so that coming back does not fill it.
    pub budget: Arc<Mutex<FanoutBudget>>,
}

impl Seat {
    /// Whether a later subscription sits here now.
    pub fn is_lost(&self) -> bool {
        *self.turn.borrow() != self.own_turn
    }

    /// Ends once a later subscription sits here.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut turn, own_turn) = (self.turn.clone(), self.own_turn);
        // Rows with a receiver are kept, so that there is always a sender.
        async move { drop(turn.wait_for(|turn| *turn != own_turn).await) }
    }
}

impl Seats {
    /// Whether the seat could be taken now.
    ///
    /// # Errors
    /// [`SeatRefusal`].
    pub fn check(&self, key: SeatKey, now_ms: u64) -> Result<(), SeatRefusal> {
        self.table().check(key, now_ms)
    }

    /// Takes the seat; whoever sits there has lost it.
    ///
    /// # Errors
    /// [`SeatRefusal`].
    pub fn take(&self, key: SeatKey, now_ms: u64) -> Result<Seat, SeatRefusal> {
        let mut table = self.table();
        table.sweep(now_ms);
        table.check(key, now_ms)?;
        let table = &mut *table;
        let row = table.seats.entry(key).or_insert_with(|| {
            table.streams.add(key.stream_uid, 1);
            Row { taken_ms: now_ms, turn: watch::channel(0).0, budget: Arc::default() }
        });
        row.taken_ms = now_ms;
        row.turn.send_modify(|turn| *turn += 1);
        let turn = row.turn.subscribe();
        let own_turn = *turn.borrow();
        Ok(Seat { turn, own_turn, budget: row.budget.clone() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

impl Table {
    fn check(&self, key: SeatKey, now_ms: u64) -> Result<(), SeatRefusal> {
        match self.seats.get(&key) {
            Some(row) if is_recent(row.taken_ms, now_ms) => Err(SeatRefusal::TooSoon),
            None if !self.streams.admits(key.stream_uid, 1) => Err(SeatRefusal::Full),
            _ => Ok(()),
        }
    }

    fn sweep(&mut self, now_ms: u64) {
        if self.swept_ms.abs_diff(now_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        self.seats.retain(|key, row| {
            let is_kept = row.turn.receiver_count() > 0 || is_recent(row.taken_ms, now_ms);
            self.streams.remove(key.stream_uid, usize::from(!is_kept));
            is_kept
        });
    }
}

/// Whether a seat taken then cannot be taken now. A clock that has gone back far frees it.
fn is_recent(taken_ms: u64, now_ms: u64) -> bool {
    taken_ms.abs_diff(now_ms) < SUBSCRIPTION_PAUSE_MS
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const KEY: SeatKey = SeatKey { stream_uid: 1, consumer_uid: 7, shard: 0 };

    #[test]
    fn five_seconds_pass_between_two_subscriptions_of_a_consumer_to_a_shard() {
        let seats = Seats::default();
        let other_shard = SeatKey { shard: 1, ..KEY };
        let other_consumer = SeatKey { consumer_uid: 8, ..KEY };
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
            assert_eq!(seats.check(key, NOW_MS + after_ms).is_ok(), expected, "{key:?} {after_ms}");
            assert_eq!(seats.take(key, NOW_MS + after_ms).is_ok(), expected, "{key:?} {after_ms}");
        }
        // A clock that goes back does not lock anybody out for long.
        assert!(seats.take(KEY, NOW_MS - 3_600_000).is_ok());
    }

    #[test]
    fn who_comes_later_sends_the_one_before_away() {
        let seats = Seats::default();
        let first = seats.take(KEY, NOW_MS).unwrap();
        assert!(!first.is_lost() && first.lost().now_or_never().is_none());
        first.budget.lock().unwrap().charge(1);
        let second = seats.take(KEY, NOW_MS + 5_000).unwrap();
        assert!(first.is_lost() && first.lost().now_or_never().is_some());
        assert!(!second.is_lost());
        assert!(Arc::ptr_eq(&first.budget, &second.budget));
    }

    #[test]
    fn a_stream_leaves_seats_to_others_and_has_its_own_back() {
        let seats = Seats::default();
        let key = |stream_uid, shard| SeatKey { stream_uid, shard, ..KEY };
        let take = |stream_uid, shard, after_ms| seats.take(key(stream_uid, shard), NOW_MS + after_ms);
        let held: Vec<_> = (0..60_000).map_while(|shard| take(1, shard, 0).ok()).collect();
        assert_eq!(held.len(), SEATS_MAX / 2);
        assert_eq!(seats.check(key(1, 60_000), NOW_MS).err(), Some(SeatRefusal::Full));
        assert!((0..1_000).all(|shard| take(2, shard, 0).is_ok()), "another stream has its own");
        drop(held);
        assert!(take(1, 60_000, 6_000).is_ok());
        assert_eq!(seats.table().seats.len(), 1);
    }

    #[test]
    fn seats_are_forgotten_once_they_are_free() {
        let seats = Seats::default();
        let held = seats.take(KEY, NOW_MS).unwrap();
        drop(seats.take(SeatKey { shard: 1, ..KEY }, NOW_MS));
        for (after_ms, count) in [(4_000, 3), (6_000, 3), (12_000, 2)] {
            drop(seats.take(SeatKey { shard: after_ms as u32, ..KEY }, NOW_MS + after_ms));
            assert_eq!(seats.table().seats.len(), count, "{after_ms}");
        }
        assert!(!held.is_lost());
    }
}
