//! Room for the records that one call has on their way to its client: taken before they are read, and kept until
//! the client takes them.
//!
//! A call has a few batches under way at a time, so that one whose client takes nothing holds little. Rooms of
//! clients and of peers are apart: a node that relays records holds its client's room while it waits for the
//! leader's room for peers, whose holders wait only until the taking node has their records. Waiting for room is
//! done in an [`OwnTask`](crate::service::OwnTask), for a bounded time: a call that finds none learns so and goes
//! on without records.
//!
//! While more than half of the room is taken, a connection that has its share gets no more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::EVENT_BYTES_MAX;
use crate::room::{Account, Charge, Pool};

/// Batches of one call that are being read, or wait for the client.
const BATCHES_MAX: usize = 4;
/// Bytes of the share of one connection at least: two batches.
pub(in crate::service) const CALL_SHARE_MIN: usize = 2 * EVENT_BYTES_MAX;
/// How long a batch waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// The room of one call. Clones are the room of the same call.
#[derive(Clone, Debug)]
pub struct CallRoom {
    batches: Arc<Semaphore>,
    /// The room of all calls.
    pool: Arc<Pool>,
    /// The account of the call's connection.
    account: Arc<Account>,
}

/// The part of the room that a batch takes, until it is dropped.
#[derive(Debug, Default)]
pub struct BatchCharge {
    charge: Option<Charge>,
    _batch: Option<OwnedSemaphorePermit>,
}

impl CallRoom {
    /// The room of a call on the connection of `account`, in that of all calls.
    pub(in crate::service) fn new(pool: Arc<Pool>, account: Arc<Account>) -> Self {
        Self { batches: Arc::new(Semaphore::new(BATCHES_MAX)), pool, account }
    }

    /// Room for a batch of at most that many bytes; all there is for one of more. `None` when there was none for two
    /// seconds.
    pub async fn take(&self, bytes: usize) -> Option<BatchCharge> {
        let batch = self.batches.clone().acquire_owned().await.expect("the semaphore is never closed");
        let mut charge = self.pool.charge(&self.account, false);
        charge.grow(bytes.min(self.pool.bytes()), PATIENCE).await.ok()?;
        Some(BatchCharge { charge: Some(charge), _batch: Some(batch) })
    }
}

impl BatchCharge {
    /// Releases the part of the charge above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if let Some(charge) = &mut self.charge {
            charge.shrink(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;
    use crate::room::EVENTS;

    const MIB: usize = 1 << 20;

    fn room(pool: &Arc<Pool>) -> CallRoom {
        CallRoom::new(pool.clone(), Account::detached())
    }

    #[tokio::test]
    async fn a_call_has_few_batches_at_a_time_and_gives_back_unused_room() {
        let pool = Pool::unreserved(EVENTS, 1_000, CALL_SHARE_MIN);
        let call = room(&pool);
        let mut held = Vec::new();
        for _ in 0..BATCHES_MAX {
            let mut batch = call.take(200).await.unwrap();
            batch.shrink(50);
            held.push(batch);
        }
        assert_eq!(pool.used(), 200);
        assert!(call.take(1).now_or_never().is_none(), "one batch too many");
        let other = room(&pool);
        assert!(other.take(1).now_or_never().is_some());
        assert!(other.take(5_000).now_or_never().is_none(), "there is not all of it");
        held.clear();
        assert_eq!(pool.used(), 0);
        assert!(other.take(5_000).now_or_never().flatten().is_some(), "larger ones take all");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_take_nothing_leave_room_and_nobody_waits_for_them_without_end() {
        let pool = Pool::unreserved(EVENTS, 16 * MIB, CALL_SHARE_MIN);
        let calls: Vec<_> = (0..4).map(|_| room(&pool)).collect();
        let mut held = Vec::new();
        for call in &calls {
            for _ in 0..BATCHES_MAX {
                held.extend(call.take(MIB).await);
            }
        }
        assert!(pool.used() < 16 * MIB, "{}", pool.used());
        // Another one has its batch, and when there is none left, an answer.
        while let Some(batch) = room(&pool).take(MIB).now_or_never() {
            held.extend(batch);
        }
        let began = Instant::now();
        assert!(room(&pool).take(MIB).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(pool.refusals() > 0);
    }
}
