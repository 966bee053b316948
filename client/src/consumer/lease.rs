//! A shard's lease as this member sees it. Shared by `membership`, which gets and releases leases, the task that reads
//! the shard, and the batches in the application's hands.
//!
//! Invariants: records are handed out only while the lease is held and not revoked, and it is released only when
//! nothing is in hand and nothing that was processed waits to be checkpointed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidelog_proto::v1::{self, progress};
use tokio::sync::Notify;

/// One lease: a shard, leased to this member under an epoch.
#[derive(Debug)]
pub(super) struct Lease {
    pub shard_id: String,
    pub epoch: u64,
    pub member_id: String,
    state: Mutex<State>,
    /// Wakes the membership.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Batches that the application has.
    in_hand: usize,
    /// Processed, and not checkpointed yet.
    reached: Option<progress::Reached>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Owned,
    /// Another member is to have it.
    Revoked,
    /// Given up, by this member's own will or because the shard is finished.
    Released,
    /// Another member may have it.
    Lost,
}

impl Lease {
    pub fn new(lease: &v1::Lease, member_id: &str, changed: Arc<Notify>) -> Arc<Self> {
        let state = State { phase: Phase::Owned, in_hand: 0, reached: None };
        Arc::new(Self {
            shard_id: lease.shard_id.clone(),
            epoch: lease.epoch,
            member_id: member_id.to_owned(),
            state: Mutex::new(state),
            changed,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one more batch in hand, if the shard may be processed.
    pub fn take_in_hand(self: &Arc<Self>) -> Option<InHand> {
        let mut state = self.state();
        (state.phase == Phase::Owned).then(|| {
            state.in_hand += 1;
            InHand(self.clone())
        })
    }

    /// Whether processed records still count.
    pub fn counts(&self) -> bool {
        matches!(self.state().phase, Phase::Owned | Phase::Revoked)
    }

    /// Notes how far the shard is processed, for the next checkpoint.
    pub fn process(&self, reached: progress::Reached) {
        let is_end = matches!(reached, progress::Reached::Finished(_));
        let mut state = self.state();
        state.reached = Some(reached);
        if is_end || state.phase == Phase::Revoked {
            self.changed.notify_one();
        }
    }

    /// Takes the position that waits to be checkpointed.
    pub fn take_reached(&self) -> Option<progress::Reached> {
        self.state().reached.take()
    }

    /// The checkpoint failed for now; a newer position goes before the one that is put back.
    pub fn put_back(&self, reached: progress::Reached) {
        self.state().reached.get_or_insert(reached);
    }

    /// Makes the message by which a checkpoint names this progress.
    pub fn progress(&self, reached: progress::Reached) -> v1::Progress {
        v1::Progress { shard_id: self.shard_id.clone(), epoch: self.epoch, reached: Some(reached) }
    }

    /// The shard's end is recorded.
    pub fn finish(&self) {
        self.state().phase = Phase::Released;
        self.changed.notify_one();
    }

    /// Nothing more is to be handed out.
    pub fn revoke(&self) {
        let mut state = self.state();
        if state.phase == Phase::Owned {
            state.phase = Phase::Revoked;
        }
    }

    /// Releases a revoked lease that nothing holds any more. Whether it is released now or was before.
    pub fn release(&self) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Revoked && state.in_hand == 0 && state.reached.is_none() {
            state.phase = Phase::Released;
        }
        state.phase == Phase::Released
    }

    /// Notes that another member may have the shard. Returns whether that was not known.
    pub fn lose(&self) -> bool {
        let mut state = self.state();
        let is_new = matches!(state.phase, Phase::Owned | Phase::Revoked);
        if is_new {
            state.phase = Phase::Lost;
            state.reached = None;
        }
        is_new
    }

    /// Whether the lease is lost, in contrast to given up.
    pub fn is_lost(&self) -> bool {
        self.state().phase == Phase::Lost
    }
}

/// A batch that the application has, counted until it is dropped.
#[derive(Debug)]
pub(super) struct InHand(Arc<Lease>);

impl InHand {
    pub fn lease(&self) -> &Arc<Lease> {
        &self.0
    }
}

impl Clone for InHand {
    fn clone(&self) -> Self {
        self.0.state().in_hand += 1;
        Self(self.0.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_hand -= 1;
        if state.in_hand == 0 && state.phase == Phase::Revoked {
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Arc<Lease> {
        let lease = v1::Lease { shard_id: "shard".into(), epoch: 1, from: None, is_revoked: false };
        Lease::new(&lease, "member", Arc::default())
    }

    #[test]
    fn a_revoked_lease_is_kept_until_everything_is_recorded() {
        let lease = lease();
        let in_hand = lease.take_in_hand().expect("is held");
        assert!(!lease.release(), "is not revoked");
        lease.revoke();
        assert!(lease.take_in_hand().is_none(), "nothing more is handed out");
        assert!(!lease.release(), "one is in hand");
        lease.process(progress::Reached::SequenceNumber("7".into()));
        drop(in_hand);
        assert!(!lease.release(), "7 is not recorded");
        assert!(lease.take_reached().is_some());
        assert!(lease.release());
        assert!(!lease.lose(), "it was given up, not lost");
    }

    #[test]
    fn records_of_a_lost_lease_are_neither_handed_out_nor_checkpointed() {
        let lease = lease();
        let in_hand = lease.take_in_hand().expect("is held");
        lease.process(progress::Reached::SequenceNumber("7".into()));
        assert!(lease.lose());
        assert!(!lease.lose(), "is known");
        assert!(!in_hand.lease().counts());
        assert!(lease.take_in_hand().is_none() && lease.take_reached().is_none() && !lease.release());
    }
}
