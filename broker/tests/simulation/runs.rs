//! Runs in processes of their own, as many at a time as there are processors.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::plan::Planted;

/// The output of a run's process, and whether it ended well.
pub struct Outcome {
    /// The seed of the run.
    pub seed: u64,
    /// All that was printed.
    pub text: String,
    /// Without violations.
    pub is_good: bool,
}

impl Outcome {
    /// Lines that begin with that word, without it.
    pub fn lines<'text>(&'text self, word: &'text str) -> impl Iterator<Item = &'text str> {
        self.text.lines().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
    }
}

/// The mistake that is planted in a run, and whether it is left out after all: the same run without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planting {
    /// The mistake.
    pub mistake: Option<Planted>,
    /// Everything but the mistake.
    pub honest: bool,
}

/// Runs a seed.
pub fn run_one(seed: u64, planting: Planting) -> Outcome {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut command = Command::new(program);
    command.args(["--run", &seed.to_string()]);
    if let Some((name, _)) = Planted::ALL.iter().find(|(_, known)| Some(*known) == planting.mistake) {
        command.args(["--planted", name]);
    }
    if planting.honest {
        command.arg("--honest");
    }
    let output = command.output().expect("this program can be started");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() && !text.lines().any(|line| line.starts_with("violation ")) {
        // The process died: its last output is all there is.
        text += &format!(
            "violation the run ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Outcome { seed, text, is_good: output.status.success() }
}

/// Runs seeds until all have run or `is_enough` says so of an outcome. In the order in which they end.
pub fn run_seeds(
    seeds: impl Iterator<Item = u64> + Send,
    planting: Planting,
    is_enough: impl Fn(&Outcome) -> bool + Sync,
) -> Vec<Outcome> {
    let (seeds, outcomes) = (Mutex::new(seeds.fuse()), Mutex::new(Vec::new()));
    let is_done = AtomicBool::new(false);
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let next = seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(seed) = next else { return };
                    let outcome = run_one(seed, planting);
                    if is_enough(&outcome) {
                        is_done.store(true, Ordering::Relaxed);
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How to see a run again.
pub fn again(seed: u64) -> String {
    format!("cargo test -p tidelog --test simulation -- --run {seed} --trace trace.txt")
}

/// Runs many seeds, tells of each that fails, and sums up; true when none failed.
pub fn run_many(first: u64, count: u64) -> bool {
    let began = Instant::now();
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcomes = run_seeds(first..first + count, Planting::default(), |outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !outcome.is_good {
            failed.fetch_add(1, Ordering::Relaxed);
            tell_failure(outcome);
        }
        if done.is_multiple_of(100) {
            let failed = failed.load(Ordering::Relaxed);
            println!("{done} of {count} seeds, {failed} failed, {:?}", began.elapsed());
        }
        false
    });
    sum_up(&outcomes);
    let failed = outcomes.iter().filter(|outcome| !outcome.is_good).count();
    println!("{} seeds from {first} in {:.0?}: {failed} failed", outcomes.len(), began.elapsed());
    failed == 0
}

/// Prints the violations of a run and how to see it again.
pub fn tell_failure(outcome: &Outcome) {
    println!("seed {} failed:", outcome.seed);
    for violation in outcome.lines("violation").take(10) {
        println!("  {violation}");
    }
    println!("  again: {}", again(outcome.seed));
}

fn sum_up(outcomes: &[Outcome]) {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut sent, mut acknowledged, mut simulated_ms) = (0, 0, 0);
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    for outcome in outcomes {
        for (times, kind) in outcome.lines("fault").filter_map(|line| line.split_once(' ')) {
            *faults.entry(kind).or_default() += number(times);
        }
        for line in outcome.lines("records") {
            let words: Vec<&str> = line.split(' ').collect();
            sent += words.get(1).map_or(0, |text| number(text));
            acknowledged += words.get(3).map_or(0, |text| number(text));
        }
        for line in outcome.lines("simulated") {
            simulated_ms += line.split(' ').next().map_or(0, number);
        }
    }
    let faults: Vec<String> = faults.iter().map(|(kind, times)| format!("{times} {kind}")).collect();
    println!("faults: {}", faults.join(", "));
    println!("records: {sent} sent, {acknowledged} acknowledged; simulated: {} s", simulated_ms / 1_000);
}
