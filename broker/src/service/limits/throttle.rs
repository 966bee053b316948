//! The budget of one shard, as the shard's leader keeps it. Pure: time comes in as an argument.
//!
//! Bytes are debts, not caps: a record or a read passes while the bucket is above zero and is then charged in full,
//! so that a 10 MiB record passes and the next ones wait until the bucket is above zero again. Records and calls
//! are counted: one passes while a full token is left. A bucket is full at the start and holds one second's worth
//! of tokens.

use crate::limits::ShardLimits;

/// Milliseconds of a second; levels are kept in thousandths so that every millisecond counts.
const MILLIS: i64 = 1_000;

/// The shard's budget does not allow this now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled;

/// The token buckets of one shard.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    write_bytes: Bucket,
    write_records: Bucket,
    read_bytes: Bucket,
    read_calls: Bucket,
    iterators: Bucket,
    demand: Demand,
}

/// The traffic offered to a shard since its budget was made, whether it was admitted or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Bytes of data and keys.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

impl Budget {
    /// Returns the traffic offered so far.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// Takes one record of that many bytes of data and key, or refuses it and charges nothing.
    ///
    /// # Errors
    /// [`Throttled`] while the bytes are in debt or no record is left.
    pub fn charge_write(&mut self, limits: &ShardLimits, now_ms: u64, bytes: u64) -> Result<(), Throttled> {
        self.charge_writes(limits, now_ms, 1, bytes)
    }

    /// Takes so many records, of that many bytes of data and keys together, as one, or refuses all and charges nothing.
    /// Records beyond those that are left are a debt, as bytes are.
    ///
    /// # Errors
    /// [`Throttled`] while the bytes are in debt or no record is left.
    pub fn charge_writes(
        &mut self,
        limits: &ShardLimits,
        now_ms: u64,
        records: u64,
        bytes: u64,
    ) -> Result<(), Throttled> {
        self.demand.bytes += bytes;
        self.demand.records += records;
        self.write_bytes.refill(limits.write_bytes_per_second, now_ms);
        self.write_records.refill(limits.write_records_per_second, now_ms);
        if !self.write_bytes.is_above_zero() || !self.write_records.has_one() {
            return Err(Throttled);
        }
        self.write_bytes.take(bytes);
        self.write_records.take(records);
        Ok(())
    }

    /// Lets one call of a polling reader in, or refuses it and charges nothing. [`Self::charge_read`] charges the
    /// bytes that it then reads.
    ///
    /// # Errors
    /// [`Throttled`] while the bytes are in debt or no call is left.
    pub fn admit_read(&mut self, limits: &ShardLimits, now_ms: u64) -> Result<(), Throttled> {
        self.read_bytes.refill(limits.read_bytes_per_second, now_ms);
        self.read_calls.refill(limits.read_calls_per_second, now_ms);
        if !self.read_bytes.is_above_zero() || !self.read_calls.has_one() {
            return Err(Throttled);
        }
        self.read_calls.take(1);
        Ok(())
    }

    /// Milliseconds until a call of a polling reader may be let in; 0 when it may be now.
    pub fn read_wait_ms(&mut self, limits: &ShardLimits, now_ms: u64) -> u64 {
        self.read_bytes.refill(limits.read_bytes_per_second, now_ms);
        self.read_calls.refill(limits.read_calls_per_second, now_ms);
        self.read_bytes.above_zero_in_ms().max(self.read_calls.has_one_in_ms())
    }

    /// Gives out one iterator, or refuses it and charges nothing.
    ///
    /// # Errors
    /// [`Throttled`] while none is left.
    pub fn admit_iterator(&mut self, limits: &ShardLimits, now_ms: u64) -> Result<(), Throttled> {
        self.iterators.take_one(limits.iterators_per_second, now_ms)
    }

    /// Charges the bytes of data and keys that an admitted call has read. A read larger than a second's worth is
    /// charged in full, without the credit: 10 MiB silence a shard of 2 MiB/s for five seconds (model, GetRecords).
    pub fn charge_read(&mut self, bytes: u64) {
        self.read_bytes.take_without_credit(bytes);
    }
}

/// The token bucket of one consumer with a throughput of its own in one shard. Delivery is delayed, never
/// refused.
#[derive(Clone, Debug, Default)]
pub struct FanoutBudget {
    bytes: Bucket,
}

impl FanoutBudget {
    /// Milliseconds until the next event may be made; 0 when it may be now.
    pub fn wait_ms(&mut self, limits: &ShardLimits, now_ms: u64) -> u64 {
        self.bytes.refill(limits.fanout_bytes_per_second, now_ms);
        self.bytes.above_zero_in_ms()
    }

    /// Charges the bytes of data and keys of an event.
    pub fn charge(&mut self, bytes: u64) {
        self.bytes.take(bytes);
    }

    /// Whether it was not used for so long that it is as good as a new one.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        let settled_ms = self.bytes.refilled_ms.saturating_add(self.bytes.above_zero_in_ms());
        now_ms.saturating_sub(settled_ms) >= MILLIS.unsigned_abs()
    }
}

/// One bucket. Without a rate it is bottomless.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Bucket {
    /// Thousandths of a unit; negative is a debt.
    level: i64,
    /// Units per second at the last refill; `None` before the first one and without a limit.
    rate: Option<u64>,
    refilled_ms: u64,
}

impl Bucket {
    /// Adds the tokens since the last refill. A clock that goes back adds nothing, and later tokens count from
    /// there; a new rate keeps a debt.
    fn refill(&mut self, rate: Option<u64>, now_ms: u64) {
        let Some(per_second) = rate else {
            *self = Self::default();
            return;
        };
        let full = signed(per_second).saturating_mul(MILLIS);
        if self.rate.is_none() {
            *self = Self { level: full, rate, refilled_ms: now_ms };
            return;
        }
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        let inflow = signed(per_second).saturating_mul(signed(elapsed_ms));
        self.level = self.level.saturating_add(inflow).min(full);
        self.rate = rate;
        self.refilled_ms = now_ms;
    }

    /// Takes one unit of `rate` per second, or refuses it and takes nothing.
    pub(in crate::service) fn take_one(&mut self, rate: Option<u64>, now_ms: u64) -> Result<(), Throttled> {
        self.refill(rate, now_ms);
        if !self.has_one() {
            return Err(Throttled);
        }
        self.take(1);
        Ok(())
    }

    /// Whether it was not touched for so long that it is full again: as good as a new one.
    pub(in crate::service) fn is_idle(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.refilled_ms) >= MILLIS.unsigned_abs()
    }

    fn is_above_zero(&self) -> bool {
        self.rate.is_none() || self.level > 0
    }

    /// Milliseconds of inflow until it is above zero.
    fn above_zero_in_ms(&self) -> u64 {
        match self.rate {
            Some(per_second) if self.level <= 0 => self.level.unsigned_abs() / per_second.max(1) + 1,
            _ => 0,
        }
    }

    /// Milliseconds of inflow until it has one.
    fn has_one_in_ms(&self) -> u64 {
        match self.rate {
            Some(per_second) if self.level < MILLIS => {
                (MILLIS - self.level).unsigned_abs().div_ceil(per_second.max(1))
            }
            _ => 0,
        }
    }

    fn has_one(&self) -> bool {
        self.rate.is_none() || self.level >= MILLIS
    }

    fn take(&mut self, units: u64) {
        self.level = self.level.saturating_sub(signed(units).saturating_mul(MILLIS));
    }

    fn take_without_credit(&mut self, units: u64) {
        if self.rate.is_some_and(|per_second| units > per_second) {
            self.level = self.level.min(0);
        }
        self.take(units);
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const START_MS: u64 = 1_700_000_000_000;

    /// Charges records of `(after the start, bytes)` and tells which passed.
    fn writes(limits: &ShardLimits, records: &[(u64, u64)]) -> Vec<bool> {
        let mut budget = Budget::default();
        let charge = |&(after_ms, bytes)| budget.charge_write(limits, START_MS + after_ms, bytes).is_ok();
        records.iter().map(charge).collect()
    }

    /// Makes calls of `(after the start, bytes read)` and tells which were let in.
    fn reads(limits: &ShardLimits, calls: &[(u64, u64)]) -> Vec<bool> {
        let mut budget = Budget::default();
        let mut call = |&(after_ms, bytes): &(u64, u64)| {
            let admitted = budget.admit_read(limits, START_MS + after_ms).is_ok();
            if admitted {
                budget.charge_read(bytes);
            }
            admitted
        };
        calls.iter().map(&mut call).collect()
    }

    #[test]
    fn a_large_record_passes_and_the_next_waits_for_the_debt() {
        let aws = ShardLimits::aws();
        for (records, expected) in [
            // 10 MiB from a full bucket leave a debt of 9 MiB: nine seconds.
            (
                vec![(0, 10 * MIB), (0, 1), (8_999, 1), (9_000, 1), (9_001, 1)],
                vec![true, false, false, false, true],
            ),
            // Exactly a second's worth empties the bucket; a millisecond later it is above zero again.
            (
                vec![(0, MIB), (0, 1), (1, MIB), (2, 1), (1_000, 1), (1_001, 1)],
                vec![true, false, true, false, false, true],
            ),
            // A refused record is not charged.
            (
                vec![(0, MIB), (0, MIB), (0, MIB), (1_000, MIB), (2_000, MIB)],
                vec![true, false, false, true, true],
            ),
            // A clock that goes back an hour refills nothing by that, and does not stop the flow for an hour.
            (vec![(3_600_000, MIB), (0, 1), (1, 1), (3_600_000, 1)], vec![true, false, true, true]),
        ] {
            assert_eq!(writes(&aws, &records), expected, "{records:?}");
        }
    }

    #[test]
    fn a_shard_takes_its_thousand_records() {
        let burst = vec![(0, 1); 1_500];
        assert_eq!(writes(&ShardLimits::aws(), &burst).iter().filter(|passed| **passed).count(), 1_000);
        let over_ten_seconds = (0..50_000).map(|at| (at / 5, 1)).collect::<Vec<_>>();
        let passed = writes(&ShardLimits::aws(), &over_ten_seconds).iter().filter(|passed| **passed).count();
        assert!((10_990..=11_000).contains(&passed), "{passed}");
    }

    #[test]
    fn records_that_go_together_leave_a_debt() {
        let aws = ShardLimits::aws();
        let mut budget = Budget::default();
        // (after the start, records, bytes together, whether they pass)
        for (after_ms, records, bytes, passes) in [
            (0, 999, 1, true),
            (0, 500, 1, true),
            (0, 1, 1, false),
            (499, 500, 1, false),
            (500, 500, 1, true),
            (999, 1, 1, false),
            (2_000, 2, 10 * MIB, true),
            (11_000, 2, 1, false),
            (11_001, 2, 1, true),
        ] {
            let charged = budget.charge_writes(&aws, START_MS + after_ms, records, bytes);
            assert_eq!(charged.is_ok(), passes, "{records} records after {after_ms} ms");
        }
        assert_eq!(budget.demand().records, 2_507);
    }

    #[test]
    fn a_shard_gives_five_calls_and_two_mebibytes() {
        let aws = ShardLimits::aws();
        for (calls, expected) in [
            (
                vec![(0, 0), (20, 0), (40, 0), (60, 0), (80, 0), (100, 0), (200, 0)],
                vec![true, true, true, true, true, false, true],
            ),
            // Once 10 MiB are returned nothing is for five seconds.
            (
                vec![(0, 10 * MIB), (1, 0), (4_999, 0), (5_000, 0), (5_001, 0)],
                vec![true, false, false, false, true],
            ),
            (
                vec![(0, MIB), (0, MIB), (0, 0), (1, 2 * MIB), (500, 0), (1_001, 0)],
                vec![true, true, false, true, false, true],
            ),
        ] {
            assert_eq!(reads(&aws, &calls), expected, "{calls:?}");
        }
    }

    #[test]
    fn a_reader_learns_how_long_to_wait() {
        let (aws, mut budget) = (ShardLimits::aws(), Budget::default());
        // (after the start, bytes of a call that is made as soon as it may be, the wait for the next one)
        for (after_ms, bytes, wait_ms) in
            [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 200), (200, 4 * MIB, 2_001)]
        {
            assert_eq!(budget.admit_read(&aws, START_MS + after_ms), Ok(()));
            budget.charge_read(bytes);
            assert_eq!(budget.read_wait_ms(&aws, START_MS + after_ms), wait_ms, "{after_ms} {bytes}");
        }
        assert_eq!(budget.read_wait_ms(&aws, START_MS + 2_201), 0);
        assert_eq!(budget.read_wait_ms(&ShardLimits::off(), START_MS + 200), 0);
    }

    #[test]
    fn an_enhanced_consumer_waits_until_its_bucket_is_refilled() {
        let aws = ShardLimits::aws();
        let mut budget = FanoutBudget::default();
        // (after the start, expected wait, bytes given then)
        for (after_ms, wait_ms, given) in [
            (0, 0, MIB),
            (0, 0, 2 * MIB),
            (0, 501, 0),
            (500, 1, 0),
            (501, 0, 10 * MIB),
            (501, 5_000, 0),
            (5_499, 2, 0),
            (5_501, 0, 0),
        ] {
            assert_eq!(budget.wait_ms(&aws, START_MS + after_ms), wait_ms, "{after_ms}");
            budget.charge(given);
        }
        budget.charge(100 * MIB);
        assert_eq!(budget.wait_ms(&ShardLimits::off(), START_MS + 5_501), 0);
    }

    #[test]
    fn without_limits_everything_passes() {
        let off = ShardLimits::off();
        assert!(writes(&off, &vec![(0, 10 * MIB); 2_000]).iter().all(|passed| *passed));
        assert!(reads(&off, &vec![(0, 10 * MIB); 2_000]).iter().all(|passed| *passed));
    }

    #[test]
    fn limits_can_be_switched_at_run_time() {
        let mut budget = Budget::default();
        let aws = ShardLimits::aws();
        assert_eq!(budget.charge_write(&aws, START_MS, 10 * MIB), Ok(()));
        assert_eq!(budget.charge_write(&aws, START_MS, 1), Err(Throttled));
        assert_eq!(budget.charge_write(&ShardLimits::off(), START_MS, 1), Ok(()));
        assert_eq!(budget.charge_write(&aws, START_MS, 1), Ok(()));
        let tenfold = ShardLimits { write_bytes_per_second: Some(10 * MIB), ..aws };
        assert_eq!(budget.charge_write(&aws, START_MS, 10 * MIB), Ok(()));
        assert_eq!(budget.charge_write(&tenfold, START_MS + 1_000, 1), Ok(()));
    }

    #[test]
    fn iterators_are_counted_apart_from_reads() {
        let (aws, mut budget) = (ShardLimits::aws(), Budget::default());
        let mut given = |at_ms| budget.admit_iterator(&aws, START_MS + at_ms).is_ok();
        assert_eq!(
            [0, 0, 0, 0, 0, 0, 199, 200, 200].map(&mut given).iter().filter(|given| **given).count(),
            6
        );
        assert_eq!(budget.admit_read(&aws, START_MS + 200), Ok(()));
        assert_eq!(budget.admit_iterator(&ShardLimits::off(), START_MS + 200), Ok(()));
    }
}
