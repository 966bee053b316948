//! The tests, by name and in their order: the one that all others lean on runs first.
//!
//! Not the usual test harness, because the order matters and because its threads would draw from the seed's stream.

use std::time::Instant;

use crate::plan::Planted;
use crate::runs::{Planting, run_one, run_seeds, tell_failure};
use crate::{checker_tests, entropy};

/// Seeds that run with every `cargo test`; thousands by `tests/simulation`.
const SEEDS: u64 = 5;
/// Seeds within which a planted mistake has to be caught.
const SEARCH_MAX: u64 = 40;

type Test = (&'static str, fn() -> Result<(), String>);

const TESTS: [Test; 9] = [
    ("the_same_seed_gives_the_same_trace", same_seed_same_trace),
    ("the_checker_sees_every_kind_of_violation", checker_tests::all_are_seen),
    ("nothing_is_lost_in_simulated_runs", nothing_is_lost),
    ("randomness_comes_from_the_seed", randomness_is_replaced),
    ("an_acknowledgement_before_its_sync_is_caught", || is_caught(Planted::AckBeforeSync)),
    ("a_vote_that_is_not_synced_is_caught", || is_caught(Planted::VoteNotSynced)),
    ("an_ordinal_given_at_the_proposal_is_caught", || is_caught(Planted::OrdinalAtProposal)),
    ("a_child_that_is_opened_early_is_caught", || is_caught(Planted::ChildOpenedEarly)),
    ("a_trim_by_the_own_clock_is_caught", || is_caught(Planted::TrimByOwnClock)),
];

/// Runs the tests whose name has `filter` in it and prints as the usual harness does; true when all passed.
pub fn run(filter: &str) -> bool {
    let began = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(filter)) {
        match test() {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(words) => {
                failed += 1;
                println!("test {name} ... FAILED\n{words}");
            }
        }
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    let (left_out, seconds) = (TESTS.len() - passed - failed, began.elapsed().as_secs_f64());
    println!(
        "\ntest result: {outcome}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out; \
         finished in {seconds:.2}s\n"
    );
    failed == 0
}

fn same_seed_same_trace() -> Result<(), String> {
    let traces: Vec<String> = run_seeds([1, 1, 2].into_iter(), Planting::default(), |_| false)
        .iter()
        .map(|outcome| format!("{} {}", outcome.seed, outcome.lines("trace").collect::<String>()))
        .collect();
    let of = |seed: &str| traces.iter().filter(|trace| trace.starts_with(seed)).collect::<Vec<_>>();
    match (&of("1 ")[..], &of("2 ")[..]) {
        ([first, second], [other]) if first == second && first[2..] != other[2..] && first.len() > 2 => {
            Ok(())
        }
        _ => Err(format!("seed 1 twice and seed 2 once gave {traces:?}")),
    }
}

fn randomness_is_replaced() -> Result<(), String> {
    if entropy::is_replaced() { Ok(()) } else { Err("the C library's getrandom was called".into()) }
}

fn nothing_is_lost() -> Result<(), String> {
    let outcomes = run_seeds(1..=SEEDS, Planting::default(), |_| false);
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_good) {
        tell_failure(outcome);
    }
    let failed: Vec<u64> =
        outcomes.iter().filter(|outcome| !outcome.is_good).map(|outcome| outcome.seed).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("seeds {failed:?} failed")) }
}

/// Some seed shows the mistake, and the same run without it shows nothing.
fn is_caught(planted: Planted) -> Result<(), String> {
    let outcomes = run_seeds(1..=SEARCH_MAX, Planting { mistake: Some(planted), honest: false }, |outcome| {
        !outcome.is_good
    });
    let Some(caught) = outcomes.iter().find(|outcome| !outcome.is_good) else {
        return Err(format!("none of {SEARCH_MAX} seeds shows {planted:?}"));
    };
    let seen = caught.lines("violation").next().unwrap_or_default();
    println!("{planted:?} is seen by seed {}: {seen}", caught.seed);
    let without = run_one(caught.seed, Planting { mistake: Some(planted), honest: true });
    let seen = without.lines("violation").next().unwrap_or_default();
    if without.is_good { Ok(()) } else { Err(format!("seed {} fails without it too: {seen}", caught.seed)) }
}
