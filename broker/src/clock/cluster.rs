//! The clock that a node goes by: its own, compared with those of the other voters and with the time since the
//! boot.
//!
//! [`ClusterClock::now_ms`] dates records and ages iterators; it reads the wall clock and two numbers, and nothing
//! else as long as the wall clock lies between them. Upkeep advances the clock every half second; the network hands in
//! the clocks that peers report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::bounded::words;
use super::times::{LEAD_MS, Look, Times};
use super::{BUILT_MS, Clock};
use crate::observability as names;

pub use super::times::Situation;

/// Milliseconds by which the wall clock runs on between two looks before another one is due.
const LOOK_MS: u64 = 1_000;

/// The clocks that decide which records may be deleted, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Records are deleted that have expired by then: the earlier of the two below.
    pub time_ms: u64,
    /// The retention clock.
    pub retention_ms: u64,
    /// The median of the voters' clocks.
    pub median_ms: u64,
    /// The voters' clocks, by node.
    pub clocks_ms: BTreeMap<u64, u64>,
}

/// The clock of a node in its cluster, which dates records and decides what has expired.
#[derive(Debug)]
pub struct ClusterClock {
    clock: Clock,
    times: Mutex<Times>,
    least_ms: AtomicU64,
    most_ms: AtomicU64,
    is_unusable: AtomicBool,
}

impl ClusterClock {
    /// Over the machine's clocks, by which it goes until it is first turned.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            times: Mutex::default(),
            least_ms: AtomicU64::new(0),
            most_ms: AtomicU64::new(u64::MAX),
            is_unusable: AtomicBool::new(false),
        })
    }

    /// Milliseconds since the epoch by the node's own wall clock, right or wrong.
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// A wall clock before this, in milliseconds since the epoch, cannot be right.
    pub fn earliest_ms(&self) -> u64 {
        self.clock.earliest_ms()
    }

    /// Milliseconds since the boot.
    pub fn boot_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    /// Milliseconds since the epoch, as this node goes by them.
    pub fn now_ms(&self) -> u64 {
        let wall_ms = self.clock.wall_ms();
        let most_ms = self.most_ms.load(Ordering::Relaxed);
        if self.least_ms.load(Ordering::Relaxed) <= wall_ms && wall_ms <= most_ms {
            return wall_ms;
        }
        let mut times = self.times();
        self.advance(&mut times);
        let (least_ms, most_ms) = times.bounds_ms;
        self.clock.wall_ms().clamp(least_ms, most_ms)
    }

    /// Takes note of a voter's clock and of the time that it goes by.
    pub fn note_voter(&self, node: u64, clock_ms: u64, served_ms: u64) {
        if clock_ms > 0 {
            let boot_ms = self.boot_ms();
            self.times().note_voter(node, clock_ms, served_ms, boot_ms);
        }
    }

    /// Takes note of the cluster's times as the leader of the metadata has them.
    pub fn note_leader(&self, served_ms: u64, retention_ms: u64) {
        let boot_ms = self.boot_ms();
        self.times().note_leader(served_ms, retention_ms, boot_ms);
    }

    /// The served time and the retention clock, 0 where they are not known.
    pub fn times_to_send(&self) -> (u64, u64) {
        self.times().times_to_send()
    }

    /// Sets the node's situation, and advances the times to now.
    pub fn set_situation(&self, situation: Situation) {
        let mut times = self.times();
        times.set_situation(situation);
        self.advance(&mut times);
        metrics::gauge!(names::CLOCK_OFFSET_SECONDS).set(times.offset_ms() as f64 / 1_000.0);
        let lag_ms = times.median_ms().zip(times.retention_ms());
        let lag_ms = lag_ms.map_or(0, |(median_ms, retention_ms)| median_ms.saturating_sub(retention_ms));
        metrics::gauge!(names::RETENTION_CLOCK_LAG_SECONDS).set(lag_ms as f64 / 1_000.0);
        metrics::gauge!(names::CLOCK_UNUSABLE).set(if times.is_usable() { 0.0 } else { 1.0 });
    }

    fn advance(&self, times: &mut Times) {
        let look = Look {
            wall_ms: self.clock.wall_ms(),
            boot_ms: self.clock.boot_ms(),
            earliest_ms: self.clock.earliest_ms(),
        };
        let leapt_ms = times.advance(look);
        let (least_ms, most_ms) = times.bounds_ms;
        self.least_ms.store(least_ms, Ordering::Relaxed);
        self.most_ms.store(most_ms.saturating_add(LOOK_MS), Ordering::Relaxed);
        // A clock that could not be right before has not leapt, it has been set.
        if leapt_ms.unsigned_abs() > LEAD_MS && !self.is_unusable.load(Ordering::Relaxed) {
            metrics::counter!(names::CLOCK_LEAPS).increment(1);
            tracing::error!(
                "the clock leapt by {} to {} while the broker ran; records are dated, hidden and deleted by the time that has \
                 passed. Set the clock right, or accept it with `tidelog clock accept`",
                signed_words(leapt_ms),
                instant(look.wall_ms),
            );
        }
        let is_unusable = !times.is_usable();
        if self.is_unusable.swap(is_unusable, Ordering::Relaxed) != is_unusable {
            if !times.is_known() {
                tracing::info!("puts wait until the clocks of most nodes are known");
            } else if is_unusable {
                let reason = self.unusable(times, look.wall_ms);
                tracing::error!("{reason}; puts are refused until it is right");
            } else {
                tracing::info!("the clock reads {}: puts are taken", instant(look.wall_ms));
            }
        }
    }

    /// Whether the clock cannot be right, so that records cannot be dated.
    pub fn is_unusable(&self) -> bool {
        self.is_unusable.load(Ordering::Relaxed)
    }

    /// The time by which readers are served; `None` until a node of a cluster has known the clocks of a majority.
    pub fn served_ms(&self) -> Option<u64> {
        self.times().served_ms()
    }

    /// Reads the clocks that deletion goes by; `None` while this node does not know both the retention clock
    /// and the clocks of a majority.
    pub fn deletion(&self) -> Option<Deletion> {
        let times = self.times();
        Some(Deletion {
            time_ms: times.deletion_ms()?,
            retention_ms: times.retention_ms()?,
            median_ms: times.median_ms()?,
            clocks_ms: times.clocks_ms(),
        })
    }

    /// The retention clock, if it is known.
    pub fn retention_ms(&self) -> Option<u64> {
        self.times().retention_ms()
    }

    /// Describes the fault of the node's clock for an operator; `None` while the clock is well.
    pub fn trouble(&self) -> Option<String> {
        let times = self.times();
        let wall_ms = self.clock.wall_ms();
        if !times.is_usable() {
            return Some(self.unusable(&times, wall_ms));
        }
        let offset_ms = times.offset_ms();
        let direction = if offset_ms > 0 { "ahead of" } else { "behind" };
        (offset_ms.unsigned_abs() > LEAD_MS).then(|| {
            format!(
                "its clock reads {}, {} {direction} the time that the broker goes by: set it right, or accept it with \
                 `tidelog clock accept`",
                instant(wall_ms),
                words(offset_ms.unsigned_abs()),
            )
        })
    }

    fn unusable(&self, times: &Times, wall_ms: u64) -> String {
        if !times.is_known() {
            return "it has not heard the clocks of most nodes since its start".into();
        }
        let newest_ms = times.situation.newest_ms;
        let (least, what) = if wall_ms < self.clock.earliest_ms() {
            (BUILT_MS, "the build of this program")
        } else {
            (newest_ms, "the newest record")
        };
        format!(
            "its clock reads {}, before {what} ({}), and cannot be right",
            instant(wall_ms),
            instant(least)
        )
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().expect("no code panics while it holds this lock")
    }
}

fn signed_words(ms: i64) -> String {
    format!("{} {}", words(ms.unsigned_abs()), if ms < 0 { "back" } else { "ahead" })
}

/// Milliseconds since the epoch as RFC 3339 writes them.
pub fn instant(time_ms: u64) -> String {
    let seconds = i64::try_from(time_ms / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{time_ms} ms"), |instant| instant.to_string())
}
