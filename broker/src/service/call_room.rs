//! Room for the records that one call has on their way to its client: taken before they are read, and held until the
//! client takes them.
//!
//! A call has a few batches under way at a time, so that one whose client takes nothing holds little. Rooms of clients and
//! of peers are apart: a node that relays records holds its client's room while it waits for the leader's room for peers,
//! whose holders wait for nothing but the taking of what they have. Waiting for room is done in an
//! [`OwnTask`](super::OwnTask).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Batches of one call that are being read, or wait for the client.
const BATCHES_MAX: usize = 4;

/// The room of one call. Clones are the room of the same call.
#[derive(Clone, Debug)]
pub struct CallRoom {
    batches: Arc<Semaphore>,
    /// Bytes of all calls.
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// What a batch has of the room, until it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Option<OwnedSemaphorePermit>,
    _batch: Option<OwnedSemaphorePermit>,
}

impl CallRoom {
    /// A call's room in that of all calls, which is `bytes_max` in all.
    pub(super) fn new(bytes: Arc<Semaphore>, bytes_max: usize) -> Self {
        Self { batches: Arc::new(Semaphore::new(BATCHES_MAX)), bytes, bytes_max }
    }

    /// Room for a batch of at most that many bytes; all there is for one of more.
    pub async fn take(&self, bytes: usize) -> Held {
        let batch = self.batches.clone().acquire_owned().await.expect("the semaphore is never closed");
        let bytes = u32::try_from(bytes.min(self.bytes_max)).expect("a room is smaller");
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await;
        Held { bytes: Some(bytes.expect("the semaphore is never closed")), _batch: Some(batch) }
    }
}

impl Held {
    /// Gives back what is beyond that many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        if let Some(held) = &mut self.bytes {
            drop(held.split(held.num_permits().saturating_sub(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_call_has_few_batches_at_a_time_and_gives_back_what_they_do_not_need() {
        let all = Arc::new(Semaphore::new(1_000));
        let room = CallRoom::new(all.clone(), 1_000);
        let mut held = Vec::new();
        for _ in 0..BATCHES_MAX {
            let mut batch = room.take(200).await;
            batch.shrink(50);
            held.push(batch);
        }
        assert_eq!(all.available_permits(), 800);
        assert!(room.take(1).now_or_never().is_none(), "one batch too many");
        let other = CallRoom::new(all.clone(), 1_000);
        assert!(other.take(1).now_or_never().is_some());
        assert!(other.take(5_000).now_or_never().is_none(), "there is not all of it");
        held.clear();
        assert_eq!(all.available_permits(), 1_000);
        assert!(other.take(5_000).now_or_never().is_some(), "larger ones take all");
    }
}
