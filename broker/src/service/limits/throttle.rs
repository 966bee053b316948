//! The budget of one shard, as the shard's leader keeps it. Pure: time comes in as an argument.
//!
//! Bytes are debts, not caps: a record or a read passes while the bucket is above zero and is then charged in full, so
//! that a 10 MiB record passes and the next ones wait until the bucket is above zero again. Records and calls are
//! counted: one passes while a full token is left. The records of a producer's batch pass together or not at all, and
//! may leave a debt of records. A bucket is full at the start and holds one second's worth of tokens.

use crate::limits::ShardLimits;

/// Milliseconds of a second; levels are kept in thousandths so that every millisecond counts.
const MILLIS: i64 = 1_000;

/// The shard's budget does not allow this now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded;

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
    /// [`RateExceeded`] while the bucket of bytes is not above zero or less than one token of records is left.
    pub fn charge_write(
        &mut self,
        limits: &ShardLimits,
        now_ms: u64,
        bytes: u64,
    ) -> Result<(), RateExceeded> {
        self.charge_writes(limits, now_ms, 1, bytes)
    }

    /// Takes so many records, of that many bytes of data and keys together, as one, or refuses all and charges nothing.
    /// Records beyond the tokens that are left become a debt, like bytes.
    ///
    /// # Errors
    /// [`RateExceeded`] while the bytes are in debt or no record is left.
    pub fn charge_writes(
        &mut self,
        limits: &ShardLimits,
        now_ms: u64,
        records: u64,
        bytes: u64,
    ) -> Result<(), RateExceeded> {
        self.demand.bytes += bytes;
        self.demand.records += records;
        self.write_bytes.refill(limits.write_bytes_per_second, now_ms);
        self.write_records.refill(limits.write_records_per_second, now_ms);
        if !self.write_bytes.is_above_zero() || !self.write_records.has_one() {
            return Err(RateExceeded);
        }
        self.write_bytes.take(bytes);
        self.write_records.take(records);
        Ok(())
    }

    /// Charges one call of a polling reader, or throttles it and charges nothing. [`Self::charge_read`] charges the
    /// bytes that the call then reads.
    ///
    /// # Errors
    /// [`RateExceeded`] while the bytes are in debt or no call is left.
    pub fn admit_read(&mut self, limits: &ShardLimits, now_ms: u64) -> Result<(), RateExceeded> {
        self.read_bytes.refill(limits.read_bytes_per_second, now_ms);
        self.read_calls.refill(limits.read_calls_per_second, now_ms);
        if !self.read_bytes.is_above_zero() || !self.read_calls.has_one() {
            return Err(RateExceeded);
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

    /// Charges one iterator, or throttles the call and charges nothing.
    ///
    /// # Errors
    /// [`RateExceeded`] while none is left.
    pub fn admit_iterator(&mut self, limits: &ShardLimits, now_ms: u64) -> Result<(), RateExceeded> {
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

    /// Whether the budget was not used for so long that its buckets are full again.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        let debt_free_ms = self.bytes.refilled_ms.saturating_add(self.bytes.above_zero_in_ms());
        now_ms.saturating_sub(debt_free_ms) >= MILLIS.unsigned_abs()
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
    pub(in crate::service) fn take_one(
        &mut self,
        rate: Option<u64>,
        now_ms: u64,
    ) -> Result<(), RateExceeded> {
        self.refill(rate, now_ms);
        if !self.has_one() {
            return Err(RateExceeded);
        }
        self.take(1);
        Ok(())
    }

    /// Whether the bucket was not used for so long that it is full again.
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
mod tests;
