//! Progress of a run: a line on a terminal that renews itself, or a line a second elsewhere if asked for.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::report::short_latency;
use super::run_state::RunState;
use super::tally::Counts;

/// Where progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// On the terminal; cut off at its width.
    Terminal(ProgressBar),
    /// Line by line on standard error.
    Lines,
    /// Nowhere.
    Silent,
}

impl Progress {
    /// On a terminal always, elsewhere when asked for.
    pub fn new(is_asked_for: bool) -> Self {
        if stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a template"));
            return Self::Terminal(bar);
        }
        if is_asked_for { Self::Lines } else { Self::Silent }
    }

    /// Shows the present step.
    pub fn say(&self, words: &str) {
        match self {
            Self::Terminal(bar) => {
                bar.set_message(words.to_owned());
                bar.tick();
            }
            Self::Lines => eprintln!("{words}"),
            Self::Silent => {}
        }
    }

    /// Nothing more will be said.
    pub fn end(&self) {
        if let Self::Terminal(bar) = self {
            bar.finish_and_clear();
        }
    }

    /// Reports each second of the run, until the future is dropped.
    pub async fn follow(&self, state: &RunState, length: Duration) {
        let mut timer = tokio::time::interval(Duration::from_secs(1));
        timer.tick().await;
        loop {
            timer.tick().await;
            if !matches!(self, Self::Silent) {
                self.say(&line(state, length));
            }
        }
    }
}

/// The last whole second in figures.
fn line(state: &RunState, length: Duration) -> String {
    let now = Instant::now();
    let passed = now.saturating_duration_since(state.window.began).as_secs();
    let begin = format!("{passed} of {} s", length.as_secs());
    let Some(second) = state.window.second(now).and_then(|second| second.checked_sub(1)) else {
        return format!("{begin}, warming up");
    };
    let mut counts = Counts::default();
    let (mut p99, mut received) = (0, 0);
    for tally in &state.tallies {
        let tally = tally.lock().expect("nobody panics with it");
        if let Some(second) = tally.seconds.get(second) {
            counts.add(&second.counts);
            p99 = p99.max(second.latency.value_at_quantile(0.99));
            received += second.counts.received;
        }
    }
    let wrong = counts.throttled + counts.failed + counts.unknown;
    let read = if received > 0 { format!(", {received} read") } else { String::new() };
    format!(
        "{begin}: {} records/s acknowledged, {wrong} throttled or failed{read}, p99 {} ms",
        counts.acknowledged,
        short_latency(p99 as f64 / 1_000.0)
    )
}
