//! The process's log on standard error. Losing a line is harmless; a broker that stops because of one is not.
//!
//! Invariants: no task that logs waits for standard error, and no line that cannot be written ends anything. A
//! thread of its own writes; lines that find its queue full, or standard error broken, are dropped and counted. Nor
//! does a client write the log at the rate of its requests:
//! [`log_at_most_once_a_second!`](crate::log_at_most_once_a_second) lets one line through and counts the others.
//! The binary starts it, `/metrics` counts the dropped lines.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread of the log and the callers of the log have no runtime; \
    lines are dropped and counted once the thread has ended"
)]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; further ones are dropped.
const QUEUE_LINES_MAX: usize = 1_024;
/// How long the end of the process waits for a standard error that takes nothing.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);
/// The pause between two lines of one place that a client's requests can cause.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// Lines that standard error did not take.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
/// Lines that came too soon after another one of the same place.
static REPEATED: AtomicU64 = AtomicU64::new(0);
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    lines: Lines,
    set_filter: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

enum LogMessage {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// How many lines are missing from the log since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Standard error did not take them.
    pub unwritten: u64,
    /// Lines that repeated, within a second, a line that a client's requests can cause.
    pub repeated: u64,
}

/// Counts the lines that are missing from the log.
pub fn dropped() -> Dropped {
    Dropped { unwritten: UNWRITTEN.load(Ordering::Relaxed), repeated: REPEATED.load(Ordering::Relaxed) }
}

/// Sends the process's log, and the words of panics, to standard error. Later calls change nothing.
///
/// # Errors
/// When the operating system has no thread left.
pub fn start(filter: &str) -> io::Result<()> {
    if LOG.get().is_some() {
        return Ok(());
    }
    let lines = Lines::start(Box::new(io::stderr()))?;
    let subscriber = tracing_subscriber::fmt()
        .compact()
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(parsed(filter).unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(lines.clone())
        .with_filter_reloading();
    let filters = subscriber.reload_handle();
    let set_filter = Box::new(move |filter| filters.reload(filter).map_err(|error| error.to_string()));
    // Another subscriber, such as that of a test, stays; so does the log of a call that was quicker.
    if subscriber.try_init().is_ok() && LOG.set(Log { lines, set_filter }).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => crate::log_at_most_once_a_second!(error, "{panic}\n{backtrace}"),
        _ => crate::log_at_most_once_a_second!(error, "{panic}"),
    }
    // The process ends with its main thread, and a panic elsewhere is its task's owner's to judge.
    if std::thread::current().name() == Some("main") {
        flush();
    }
}

/// Logs by `filter` from now on.
///
/// # Errors
/// Why the filter is unusable; the one before it stays.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let filter = parsed(filter)?;
    LOG.get().map_or(Ok(()), |log| (log.set_filter)(filter))
}

fn parsed(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|error| error.to_string())
}

/// Writes a line at every level of the log, as far as standard error takes it, and all lines before it.
pub fn print(line: &str) {
    match LOG.get() {
        Some(log) => log.lines.push(format!("{line}\n").into_bytes()),
        None => count(&writeln!(io::stderr(), "{line}")),
    }
    flush();
}

/// Returns once everything logged so far is written, or after a second. To be called before the process ends.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.lines.flush(FLUSH_DEADLINE);
    }
}

fn count(written: &io::Result<()>) {
    if written.is_err() {
        UNWRITTEN.fetch_add(1, Ordering::Relaxed);
    }
}

/// The queue in front of the thread that writes.
#[derive(Clone)]
struct Lines {
    queue: SyncSender<LogMessage>,
}

impl Lines {
    fn start(to: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE_LINES_MAX);
        let told = UNWRITTEN.load(Ordering::Relaxed);
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(to, &entries, told))?;
        Ok(Self { queue })
    }

    fn push(&self, line: Vec<u8>) {
        if self.queue.try_send(LogMessage::Line(line)).is_err() {
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, deadline: Duration) {
        let ends = Instant::now() + deadline;
        let (written, answer) = sync_channel(1);
        while self.queue.try_send(LogMessage::Flush(written.clone())).is_err() {
            if Instant::now() >= ends {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // A thread that is stuck in its write does not answer.
        let _ = answer.recv_timeout(ends.saturating_duration_since(Instant::now()));
    }
}

/// Writes lines as they come; `told` counts the dropped lines that the log has reported already.
fn write_all(mut to: Box<dyn Write + Send>, entries: &Receiver<LogMessage>, mut told: u64) {
    while let Ok(entry) = entries.recv() {
        match entry {
            LogMessage::Line(line) => {
                let missing = UNWRITTEN.load(Ordering::Relaxed) - told;
                if missing > 0 && writeln!(to, "log: {missing} lines could not be written").is_ok() {
                    told += missing;
                }
                count(&to.write_all(&line));
            }
            // The task that waits for the flush may have given up.
            LogMessage::Flush(written) => drop(written.try_send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// A write is one line: the formatter hands each over as a whole.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A place in the code whose lines clients can cause: it logs at most one a second.
#[derive(Debug)]
pub struct LogSite {
    pause: Duration,
    state: Mutex<LogSiteState>,
}

#[derive(Debug)]
struct LogSiteState {
    logged: Option<Instant>,
    repeated: u64,
}

impl LogSite {
    /// A place that has logged nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_pause(LINE_PAUSE)
    }

    /// A place that logs at most one line in `pause`.
    #[must_use]
    pub const fn with_pause(pause: Duration) -> Self {
        Self { pause, state: Mutex::new(LogSiteState { logged: None, repeated: 0 }) }
    }

    /// Whether a line may be logged now; if so, how many were left out since the last one.
    pub fn admit(&self) -> Option<u64> {
        // The log goes by real time, also where a test has a clock of its own: nothing else depends on it.
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().expect("no code panics while it holds this lock");
        if state.logged.is_some_and(|at| now.saturating_duration_since(at) < self.pause) {
            state.repeated += 1;
            REPEATED.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        state.logged = Some(now);
        Some(std::mem::take(&mut state.repeated))
    }
}

impl Default for LogSite {
    fn default() -> Self {
        Self::new()
    }
}

/// Logs a line at most once a second at this place of the code, with the number of those left out before it as `more`:
/// `log_at_most_once_a_second!(error, %error, "a shard cannot be read")`.
#[macro_export]
macro_rules! log_at_most_once_a_second {
    ($level:ident, $($line:tt)+) => {{
        static SITE: $crate::observability::logs::LogSite = $crate::observability::logs::LogSite::new();
        if let Some(more) = SITE.admit() {
            ::tracing::$level!(more = (more > 0).then_some(more), $($line)+);
        }
    }};
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    /// Takes lines while its gate is open; fails when `is_broken`.
    struct Reader {
        gate: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
        is_broken: bool,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A closed gate is an open one.
            let _ = self.gate.recv();
            if self.is_broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Counts are the process's, so a single test checks them.
    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_counted() {
        let before = dropped().unwritten;
        let (open, gate) = channel();
        drop(open);
        let broken = Lines::start(Box::new(Reader { gate, taken: Arc::default(), is_broken: true })).unwrap();
        assert_eq!((&broken).write(b"lost\n").unwrap(), 5, "whoever logs sees no error");
        broken.flush(Duration::from_secs(60));
        assert_eq!(dropped().unwritten, before + 1);

        let (open, gate) = channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let stalled =
            Lines::start(Box::new(Reader { gate, taken: taken.clone(), is_broken: false })).unwrap();
        // The thread may hold one line beside those of the queue.
        for _ in 0..QUEUE_LINES_MAX + 3 {
            stalled.push(b"line\n".to_vec());
        }
        let lost = dropped().unwritten - before - 1;
        assert!((2..=3).contains(&lost), "{lost}");
        drop(open);
        stalled.flush(Duration::from_secs(60));
        stalled.push(b"last\n".to_vec());
        stalled.flush(Duration::from_secs(60));
        let taken = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        assert!(taken.contains(&format!("log: {lost} lines could not be written\n")), "{taken}");
        assert!(taken.ends_with("last\n"));
    }

    #[test]
    fn a_place_logs_once_a_second_and_counts_the_others() {
        let place = LogSite::new();
        let now = Instant::now();
        assert_eq!(place.admit_at(now), Some(0));
        for _ in 0..1_000 {
            assert_eq!(place.admit_at(now + Duration::from_millis(999)), None);
        }
        assert_eq!(place.admit_at(now + Duration::from_secs(1)), Some(1_000));
        assert_eq!(place.admit_at(now + Duration::from_secs(3)), Some(0));
        assert!(dropped().repeated >= 1_000);
    }
}
