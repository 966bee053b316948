//! When the node writes a checkpoint: a pure decision over how much was written to the log, how full it is, and the
//! time.
//!
//! A checkpoint frees the log up to the checkpoint before it, which is kept as well: to free all of it takes two.
//! Upkeep asks ten times a second.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes written to the log after which a checkpoint is due.
const AFTER_BYTES: u64 = 256 << 20;
/// Time after which a checkpoint is due if anything was written at all.
const AFTER: Duration = Duration::from_secs(300);
/// Time after which a checkpoint is due while the disk is almost full: the files of trimmed records and deleted streams
/// go with checkpoints.
const AFTER_WHEN_LOW: Duration = Duration::from_secs(5);
/// Time after which a full log is checkpointed again although hardly anything was written since the last two rounds.
const AFTER_WHEN_FULL: Duration = Duration::from_secs(5);
/// Rounds that a start owes which finds much of the log in use.
const ROUNDS_AT_START: u8 = 2;

/// The figures that the decision rests on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogFigures {
    /// Bytes written to the log since the process started.
    pub written: u64,
    /// Live bytes of the log.
    pub live: u64,
    /// Bytes that the log's files take on the disk.
    pub allocated: u64,
    /// Live bytes past which puts are refused.
    pub live_max: u64,
}

/// The rounds of one process so far.
#[derive(Debug)]
pub struct CheckpointSchedule {
    /// Bytes that were written when the last round but one began, and when the last one did.
    begun: [u64; 2],
    begun_at: Instant,
    owed: u8,
}

impl CheckpointSchedule {
    /// The schedule of a process that has just recovered its log.
    pub fn new(log: &LogFigures, now: Instant) -> Self {
        // Each start begins a file of its own: many starts in a row take much of the disk and of the bound, and none of
        // them lives until its first regular checkpoint.
        let is_much = log.live > log.live_max / 4 || log.allocated > log.live_max / 2;
        Self { begun: [0; 2], begun_at: now, owed: if is_much { ROUNDS_AT_START } else { 0 } }
    }

    /// Whether a round is due.
    pub fn is_due(&self, log: &LogFigures, is_low: bool, now: Instant) -> bool {
        let elapsed = now.duration_since(self.begun_at);
        let written = log.written - self.begun[1];
        let wait = if is_low { AFTER_WHEN_LOW } else { AFTER };
        // A second one frees the log up to the first, also when puts are refused and nothing more is written.
        let is_useful = written > 0 || is_low;
        // The bytes that the next round, or the one after it, can free.
        let freed = log.written - self.begun[0];
        let is_full = log.live >= log.live_max / 4 * 3;
        self.owed > 0
            || written >= AFTER_BYTES.min(log.live_max / 4)
            || (is_useful && elapsed >= wait)
            || (is_full && (freed >= log.live_max / 64 || elapsed >= AFTER_WHEN_FULL))
    }

    /// Notes that a round begins.
    pub fn begin(&mut self, log: &LogFigures, now: Instant) {
        self.begun = [self.begun[1], log.written];
        self.begun_at = now;
        self.owed = self.owed.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn log(written: u64, live: u64) -> LogFigures {
        LogFigures { written: written * MIB, live: live * MIB, allocated: live * MIB, live_max: 1_024 * MIB }
    }

    #[test]
    fn a_round_is_due_by_bytes_and_by_time() {
        let began = Instant::now();
        let schedule = CheckpointSchedule::new(&log(0, 0), began);
        let due = |written, is_low, seconds| {
            schedule.is_due(&log(written, written), is_low, began + Duration::from_secs(seconds))
        };
        assert!(!due(0, false, 3_600) && !due(255, false, 299));
        assert!(due(256, false, 0) && due(1, false, 300));
        assert!(!due(0, true, 4) && due(0, true, 5));
    }

    #[test]
    fn a_full_log_is_checkpointed_twice_at_once_and_then_when_that_helps() {
        let now = Instant::now();
        let mut schedule = CheckpointSchedule::new(&log(0, 0), now);
        schedule.begin(&log(256, 256), now);
        schedule.begin(&log(512, 512), now);
        let full = log(767, 768);
        for _ in 0..2 {
            assert!(schedule.is_due(&full, false, now));
            schedule.begin(&full, now);
        }
        assert!(!schedule.is_due(&full, false, now + Duration::from_secs(4)), "nothing was written since");
        assert!(schedule.is_due(&full, false, now + Duration::from_secs(5)));
        assert!(schedule.is_due(&log(783, 784), false, now));
    }

    #[test]
    fn a_start_with_much_of_the_log_in_use_checkpoints_twice_at_once() {
        let now = Instant::now();
        for (found, rounds) in [
            (log(0, 256), 0),
            (log(0, 257), 2),
            // Hardly used files of many starts.
            (LogFigures { allocated: 513 * MIB, ..log(0, 1) }, 2),
        ] {
            let mut schedule = CheckpointSchedule::new(&found, now);
            let mut begun = 0;
            while schedule.is_due(&found, false, now) {
                schedule.begin(&found, now);
                begun += 1;
            }
            assert_eq!(begun, rounds, "{found:?}");
        }
    }

    #[test]
    fn a_small_bound_makes_rounds_come_sooner() {
        let now = Instant::now();
        let small = |written, live| LogFigures { live_max: 64 * MIB, ..log(written, live) };
        let schedule = CheckpointSchedule::new(&small(0, 0), now);
        assert!(!schedule.is_due(&small(15, 15), false, now));
        assert!(schedule.is_due(&small(16, 16), false, now));
    }
}
