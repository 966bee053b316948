//! How long files of trimmed records stay after their trim: pure, the time is the caller's.

/// Until when files of trimmed records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Now, by a clock that never goes back.
    pub now_ms: u64,
    /// How long a file stays after the checkpoints that let it go, by that clock.
    pub hold_ms: u64,
}

impl Hold {
    /// Files are removed at once.
    pub const NONE: Hold = Hold { now_ms: 0, hold_ms: 0 };

    fn is_over(self, since_ms: u64) -> bool {
        self.now_ms.saturating_sub(since_ms) >= self.hold_ms
    }
}

/// One shard's trim points: one whose files may go, and one that waits. Points between the two go with the next one
/// that waits, so that a file stays twice as long at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TrimPoints {
    released: u64,
    waiting: Option<(u64, u64)>,
}

impl TrimPoints {
    /// The trim point whose files may go now that checkpoints carry `ordinal`.
    pub fn released(&mut self, ordinal: u64, hold: Hold) -> u64 {
        if hold.hold_ms == 0 {
            *self = TrimPoints { released: ordinal, waiting: None };
        }
        if let Some((waiting, since_ms)) = self.waiting
            && hold.is_over(since_ms)
        {
            *self = TrimPoints { released: waiting, waiting: None };
        }
        if self.waiting.is_none() && ordinal > self.released {
            self.waiting = Some((ordinal, hold.now_ms));
        }
        self.released
    }
}

/// A removed stream or shard on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    /// How many durable checkpoints have come without it.
    pub checkpoints: u8,
    since_ms: u64,
}

impl Leaving {
    pub fn new(hold: Hold) -> Leaving {
        Leaving { checkpoints: 0, since_ms: hold.now_ms }
    }

    pub fn is_released(self, hold: Hold) -> bool {
        hold.is_over(self.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_point_waits_its_time_and_later_ones_wait_for_it() {
        let mut points = TrimPoints::default();
        let mut at = |now_ms, ordinal| points.released(ordinal, Hold { now_ms, hold_ms: 100 });
        assert_eq!(at(0, 10), 0);
        assert_eq!(at(50, 20), 0);
        assert_eq!(at(99, 20), 0);
        assert_eq!(at(100, 30), 10);
        assert_eq!(at(199, 40), 10);
        assert_eq!(at(200, 40), 30);
        assert_eq!(at(300, 40), 40);
        assert_eq!(at(400, 40), 40);
        assert_eq!(points.released(50, Hold::NONE), 50, "short of space nothing waits");
        assert_eq!(points.released(50, Hold { now_ms: 500, hold_ms: 100 }), 50);
    }
}
