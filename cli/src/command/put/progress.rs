//! The bar on standard error, where that is a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::command::figures;
use crate::command::output::wants_colour;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The bar, or nothing.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// `bytes` is the size of the input, if it is known.
    pub(super) fn start(bytes: Option<u64>) -> Self {
        if !io::stderr().is_terminal() || !wants_colour() {
            return Self(None);
        }
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{bar:30} {percent:>3} %  {msg}  {binary_bytes_per_sec}  {eta} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {binary_bytes}  {msg}  {binary_bytes_per_sec}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Lines of so many bytes are settled; `acknowledged` altogether.
    pub(super) fn advance(&self, bytes: u64, acknowledged: u64) {
        let Some(bar) = &self.0 else { return };
        bar.inc(bytes);
        let rate = figures::per_second(acknowledged, bar.elapsed());
        bar.set_message(format!("{} lines  {rate}/s", figures::count(acknowledged)));
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
