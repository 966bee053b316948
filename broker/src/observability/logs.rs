//! The process's log on standard error. Losing a line is harmless; a broker that stops because of one is not.
//!
//! Invariants: no task that logs waits for standard error, and no line that cannot be written ends anything. A
//! thread of its own writes; lines that find its queue full, or standard error broken, are dropped and counted. Nor
//! does a client write the log at the rate of its requests:
//! [`log_at_most_once_a_second!`](crate::log_at_most_once_a_second) lets one line through and counts the others. Lines
//! of the request log ([`super::requests`]) are dropped and counted once the queue is half full.
//! The binary starts it, `/metrics` counts the dropped lines.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread of the log and the callers of the log have no runtime; \
    lines are dropped and counted once the thread has ended"
)]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; further ones are dropped.
const QUEUE_LINES_MAX: usize = 1_024;
/// Waiting lines beyond which lines of the request log are dropped.
const REQUEST_LINES_MAX: usize = QUEUE_LINES_MAX / 2;
/// How long the end of the process waits for a standard error that takes nothing.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);
/// The pause between two lines of one place that a client's requests can cause.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// Lines that standard error did not take.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
/// Lines that came too soon after another one of the same place.
static REPEATED: AtomicU64 = AtomicU64::new(0);
static LOG: OnceLock<Log> = OnceLock::new();

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for readers.
    #[default]
    Text,
    /// A JSON document a line: `timestamp`, `level`, `target`, and `fields`, of which `message` is one.
    Json,
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

struct Log {
    lines: Lines,
    set_filter: SetFilter,
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
pub fn start(filter: &str, format: LogFormat) -> io::Result<()> {
    if LOG.get().is_some() {
        return Ok(());
    }
    let lines = Lines::start(Box::new(io::stderr()), format)?;
    let subscriber = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(parsed(filter).unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(lines.clone());
    // Another subscriber, such as that of a test, stays; so does the log of a call that was quicker.
    let (set_filter, is_first): (SetFilter, bool) = match format {
        LogFormat::Text => {
            let subscriber =
                subscriber.with_ansi(io::stderr().is_terminal()).compact().with_filter_reloading();
            let filters = subscriber.reload_handle();
            let set = move |filter| filters.reload(filter).map_err(|error| error.to_string());
            (Box::new(set), subscriber.try_init().is_ok())
        }
        LogFormat::Json => {
            let json = subscriber.json().with_current_span(false).with_span_list(false);
            let subscriber = json.with_filter_reloading();
            let filters = subscriber.reload_handle();
            let set = move |filter| filters.reload(filter).map_err(|error| error.to_string());
            (Box::new(set), subscriber.try_init().is_ok())
        }
    };
    if is_first && LOG.set(Log { lines, set_filter }).is_ok() {
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
    EnvFilter::try_new(directives(filter)).map_err(|error| error.to_string())
}

/// The directives of a filter as users write it. A level without a target is that of Tidelog alone: other crates log at
/// WARN at most unless a directive names them. Lines of the request log have a switch of their own.
fn directives(filter: &str) -> String {
    let mut directives = vec![format!("{}=info", super::requests::TARGET)];
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        match directive.parse::<LevelFilter>() {
            Ok(level) if level > LevelFilter::WARN => {
                directives.extend(["warn".to_owned(), format!("tidelog={directive}")]);
            }
            _ => directives.push(directive.to_owned()),
        }
    }
    directives.join(",")
}

/// Whether the queue has room for a line of the request log; counts the line as dropped if not.
pub fn admits_request_line() -> bool {
    let has_room = LOG.get().is_none_or(|log| log.lines.has_room_for_request());
    if !has_room {
        UNWRITTEN.fetch_add(1, Ordering::Relaxed);
    }
    has_room
}

/// Writes a line at every level of the log, as far as standard error takes it, and all lines before it.
pub fn print(line: &str) {
    match LOG.get() {
        Some(log) => log.lines.push(log.lines.format.line(line).into_bytes()),
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
    /// Lines in the queue.
    queued: Arc<AtomicUsize>,
    format: LogFormat,
}

impl Lines {
    fn start(to: Box<dyn Write + Send>, format: LogFormat) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE_LINES_MAX);
        let queued = Arc::new(AtomicUsize::new(0));
        let writer =
            LineWriter { to, queued: queued.clone(), format, reported: UNWRITTEN.load(Ordering::Relaxed) };
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&entries))?;
        Ok(Self { queue, queued, format })
    }

    fn has_room_for_request(&self) -> bool {
        self.queued.load(Ordering::Relaxed) < REQUEST_LINES_MAX
    }

    fn push(&self, line: Vec<u8>) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(LogMessage::Line(line)).is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
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

/// The thread's end of the queue.
struct LineWriter {
    to: Box<dyn Write + Send>,
    queued: Arc<AtomicUsize>,
    format: LogFormat,
    /// Dropped lines that the log has reported already.
    reported: u64,
}

impl LineWriter {
    /// Writes lines as they come.
    fn run(mut self, entries: &Receiver<LogMessage>) {
        while let Ok(entry) = entries.recv() {
            match entry {
                LogMessage::Line(line) => {
                    self.queued.fetch_sub(1, Ordering::Relaxed);
                    let missing = UNWRITTEN.load(Ordering::Relaxed) - self.reported;
                    let notice = || self.format.line(&format!("log: {missing} lines could not be written"));
                    if missing > 0 && self.to.write_all(notice().as_bytes()).is_ok() {
                        self.reported += missing;
                    }
                    count(&self.to.write_all(&line));
                }
                // The task that waits for the flush may have given up.
                LogMessage::Flush(written) => drop(written.try_send(())),
            }
        }
    }
}

impl LogFormat {
    /// A line that no event of `tracing` makes.
    fn line(self, message: &str) -> String {
        match self {
            Self::Text => format!("{message}\n"),
            Self::Json => {
                let fields = serde_json::json!({ "message": message });
                let timestamp = jiff::Timestamp::now();
                let line = serde_json::json!({
                    "timestamp": format!("{timestamp:.6}"), "level": "ERROR", "fields": fields, "target": "tidelog",
                });
                format!("{line}\n")
            }
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
mod tests;
