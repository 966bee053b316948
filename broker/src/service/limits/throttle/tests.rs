//! Tables of charges and waits, by time.

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
    assert_eq!(budget.charge_write(&aws, START_MS, 1), Err(RateExceeded));
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
    assert_eq!([0, 0, 0, 0, 0, 0, 199, 200, 200].map(&mut given).iter().filter(|given| **given).count(), 6);
    assert_eq!(budget.admit_read(&aws, START_MS + 200), Ok(()));
    assert_eq!(budget.admit_iterator(&ShardLimits::off(), START_MS + 200), Ok(()));
}
