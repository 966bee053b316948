//! The rate limits of the control plane: token buckets of callers and resources. Pure: time comes in as an argument.
//!
//! There is one bucket per operation and [`Subject`], found by a hash, so that long names take no memory. A bucket idle
//! for a second is full again, so it is dropped. At [`BUCKETS_MAX`] an arbitrary bucket is dropped for a new one, and
//! its subject starts with a full bucket: a caller that invents subjects resets few of the others' limits.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::throttle::{Bucket, RateExceeded};
use crate::limits::rates::Rate;

/// Buckets kept at a time, some 40 bytes each.
const BUCKETS_MAX: usize = 65_536;
/// Milliseconds after which idle buckets are looked for.
const SWEEP_EVERY_MS: u64 = 1_000;

/// The calls that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// 12 digits.
    pub account: Arc<str>,
    /// Such as `us-east-1`.
    pub region: Arc<str>,
    /// The resource that the calls name; empty for all calls of the account.
    pub resource: Arc<str>,
}

/// The buckets of all subjects.
#[derive(Debug, Default)]
pub(in crate::service) struct CallRates {
    /// By the hash of operation and subject.
    buckets: HashMap<u64, Bucket>,
    hasher: RandomState,
    swept_ms: u64,
}

impl CallRates {
    /// Takes one call, or refuses it and counts nothing.
    ///
    /// # Errors
    /// [`RateExceeded`] when the subject has made too many calls of this operation.
    pub(in crate::service) fn admit(
        &mut self,
        operation: &str,
        rate: Rate,
        subject: &Subject,
        now_ms: u64,
    ) -> Result<(), RateExceeded> {
        if now_ms.abs_diff(self.swept_ms) >= SWEEP_EVERY_MS {
            self.swept_ms = now_ms;
            self.buckets.retain(|_, bucket| !bucket.is_idle(now_ms));
        }
        let key = self.hasher.hash_one((operation, subject));
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            // An arbitrary bucket: callers cannot predict the order of the table, because the hashes are keyed.
            let given_way = self.buckets.keys().next().copied();
            given_way.map(|key| self.buckets.remove(&key));
        }
        let bucket = self.buckets.entry(key).or_default();
        bucket.take_one(Some(rate.per_second), now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::rates::{Scope, rate};

    const START_MS: u64 = 1_700_000_000_000;

    fn subject(account: &str, resource: &str) -> Subject {
        Subject { account: account.into(), region: "us-east-1".into(), resource: resource.into() }
    }

    /// Returns which of the calls at these times after the start are admitted.
    fn admitted(rates: &mut CallRates, operation: &str, subject: &Subject, after_ms: &[u64]) -> Vec<bool> {
        let per_second = match operation {
            "DescribeLimits" => 1,
            "ListShards" => 1_000,
            _ => 5,
        };
        let rate = rate(per_second, Scope::Account);
        let mut admit = |after| rates.admit(operation, rate, subject, START_MS + after).is_ok();
        after_ms.iter().map(|after| admit(*after)).collect()
    }

    #[test]
    fn a_call_too_many_waits_for_its_share_of_a_second() {
        let mut rates = CallRates::default();
        let caller = subject("000000000000", "");
        assert_eq!(
            admitted(&mut rates, "CreateStream", &caller, &[0, 0, 0, 0, 0, 0, 199, 200, 200]),
            [true, true, true, true, true, false, false, true, false]
        );
        assert_eq!(admitted(&mut rates, "DescribeLimits", &caller, &[0, 999, 1_000]), [true, false, true]);
    }

    #[test]
    fn subjects_and_operations_are_counted_apart() {
        let mut rates = CallRates::default();
        for caller in [subject("000000000000", ""), subject("111111111111", ""), subject("000000000000", "a")]
        {
            for operation in ["CreateStream", "DeleteStream"] {
                let six = admitted(&mut rates, operation, &caller, &[0; 6]);
                assert_eq!(six.iter().filter(|let_in| **let_in).count(), 5, "{operation} of {caller:?}");
            }
        }
    }

    #[test]
    fn inventing_subjects_lifts_hardly_anybodys_limits() {
        let mut rates = CallRates::default();
        let honest: Vec<Subject> = (0..100).map(|index| subject(&format!("{index:012}"), "")).collect();
        for caller in &honest {
            assert_eq!(admitted(&mut rates, "CreateStream", caller, &[0; 5]), [true; 5]);
        }
        for index in 0..BUCKETS_MAX + 10_000 {
            admitted(&mut rates, "ListShards", &subject("999999999999", &index.to_string()), &[0]);
        }
        let still_limited = |caller: &&Subject| admitted(&mut rates, "CreateStream", caller, &[0]) == [false];
        let count = honest.iter().filter(still_limited).count();
        assert!(count >= 50, "only {count} of 100 are still limited");
    }

    #[test]
    fn idle_buckets_are_forgotten_and_their_number_is_bounded() {
        let mut rates = CallRates::default();
        for index in 0..BUCKETS_MAX + 10 {
            let caller = subject("000000000000", &index.to_string());
            assert_eq!(admitted(&mut rates, "ListShards", &caller, &[0]), [true]);
            assert!(rates.buckets.len() <= BUCKETS_MAX);
        }
        admitted(&mut rates, "ListShards", &subject("000000000000", "last"), &[1_000]);
        assert_eq!(rates.buckets.len(), 1);
    }
}
