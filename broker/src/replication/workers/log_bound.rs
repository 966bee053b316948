//! The bound of the write-ahead log, and the records that wait for a checkpoint when the log comes near it.
//!
//! The log grows until a checkpoint lets the groups purge it. Where records come faster than checkpoints keep up with,
//! the batchers slow down before the bound and stop close to it, as they do for unflushed bytes: nothing is refused for
//! as long as checkpoints free the log in time. Upkeep asks for the checkpoints, and decides when waiting is in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog_storage::wal::WalReader;
use tokio::time::sleep;

use crate::cluster::peers::Peers;
use crate::replication::sizes::Sizes;

/// Parts of the bound that the steps below are counted in.
const PARTS: u64 = 32;
/// Parts of the bound from which on records are slowed down, a step more for each further part. At full speed on one
/// node two rounds of checkpoints leave less than this live.
const SLOW_FROM: u64 = 24;
/// Parts of the bound from which on records wait.
const STOP_FROM: u64 = 28;
/// Parts of the bound from which on nothing is kept for others any more: before records wait for it.
const KEEP_UNTIL: u64 = 26;
const _: () = assert!(SLOW_FROM < KEEP_UNTIL && KEEP_UNTIL < STOP_FROM && STOP_FROM < PARTS);
/// Pause before an entry of records at the first step; each further step doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a stopped batcher looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How an entry of records may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Free,
    After(Duration),
    Stopped,
}

/// The pace for a log with so many live bytes under that bound.
fn pace(live_bytes: u64, bytes_max: u64) -> Pace {
    let part = (bytes_max / PARTS).max(1);
    let parts = live_bytes / part;
    match parts.checked_sub(SLOW_FROM) {
        None => Pace::Free,
        Some(_) if parts >= STOP_FROM => Pace::Stopped,
        Some(step) => Pace::After(FIRST_PAUSE * (1 << step)),
    }
}

/// The bound of the node's log.
pub struct LogBound {
    reader: WalReader,
    peers: Arc<Peers>,
    alone_bytes_max: u64,
    in_cluster_bytes_max: u64,
    /// True while records are refused instead of kept waiting.
    refuses: AtomicBool,
}

impl LogBound {
    /// The bound that the sizes declare.
    pub fn new(reader: WalReader, peers: Arc<Peers>, sizes: &Sizes) -> Self {
        Self {
            reader,
            peers,
            alone_bytes_max: sizes.wal_live_bytes_max,
            in_cluster_bytes_max: sizes.wal_live_bytes_max_in_cluster,
            refuses: AtomicBool::new(false),
        }
    }

    /// Live bytes of the log.
    pub fn live_bytes(&self) -> u64 {
        self.reader.live_bytes()
    }

    /// Live bytes that the log should not go beyond.
    pub fn bytes_max(&self) -> u64 {
        if self.peers.are_there() { self.in_cluster_bytes_max } else { self.alone_bytes_max }
    }

    /// True when records wait because of the bound.
    pub fn is_near(&self) -> bool {
        pace(self.live_bytes(), self.bytes_max()) == Pace::Stopped
    }

    /// True when the log must be purged as far as checkpoints allow, even if followers lag.
    pub fn is_pressed(&self) -> bool {
        self.live_bytes() / (self.bytes_max() / PARTS).max(1) >= KEEP_UNTIL
    }

    /// From now on records that would wait are refused, or wait again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// True while records are refused because of the bound.
    pub fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// Returns true when an entry of records may be proposed, after a pause that grows towards the bound; false when
    /// records are refused.
    pub async fn wait_for_room(&self) -> bool {
        loop {
            let live_bytes = self.live_bytes();
            // The usual case takes no lock: whether there are peers is asked only when it matters.
            if pace(live_bytes, self.alone_bytes_max.min(self.in_cluster_bytes_max)) == Pace::Free {
                return true;
            }
            match pace(live_bytes, self.bytes_max()) {
                Pace::Free => return true,
                Pace::After(pause) => {
                    sleep(pause).await;
                    return true;
                }
                Pace::Stopped if self.refuses() => return false,
                Pace::Stopped => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_slow_down_and_stop_before_the_bound() {
        let bound = 1 << 30;
        let mib = |mib: u64| pace(mib << 20, bound);
        assert_eq!(mib(0), Pace::Free);
        assert_eq!(mib(767), Pace::Free);
        assert_eq!(mib(768), Pace::After(FIRST_PAUSE));
        assert_eq!(mib(800), Pace::After(FIRST_PAUSE * 2));
        assert_eq!(mib(895), Pace::After(FIRST_PAUSE * 8));
        assert_eq!(mib(896), Pace::Stopped);
        assert_eq!(mib(4_096), Pace::Stopped);
    }

    #[test]
    fn a_bound_below_its_parts_has_a_pace_too() {
        assert_eq!(pace(0, 0), Pace::Free);
        assert_eq!(pace(100, 0), Pace::Stopped);
    }
}
