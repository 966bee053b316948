//! The request log: a line for each finished request that [`RequestLines`] asks for.
//!
//! Off by default: a request then costs one load and one branch. `wire/request_log.rs` follows a request from its head
//! to the end of its answer; the operations note the stream that a request names. Lines go through the process's log
//! ([`super::logs`]), and never take more than half of its queue.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::logs;

/// Target of the lines in filters of the log.
pub const TARGET: &str = "tidelog::requests";

/// The requests that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestLines {
    /// None.
    #[default]
    Off,
    /// Requests answered with an error.
    Errors,
    /// Requests answered with an error, and requests whose answer began after this time or later.
    Slow(Duration),
    /// Every request.
    All,
}

/// [`RequestLines`] as a number: 0, 1 and 2 are `Off`, `Errors` and `All`, larger ones microseconds of `Slow` above 3.
static WANTED: AtomicU64 = AtomicU64::new(OFF);
const OFF: u64 = 0;
const ERRORS: u64 = 1;
const ALL: u64 = 2;
const SLOW: u64 = 3;

impl RequestLines {
    /// Whether a request gets a line.
    #[must_use]
    pub fn include(self, is_error: bool, duration: Duration) -> bool {
        match self {
            Self::Off => false,
            Self::Errors => is_error,
            Self::Slow(least) => is_error || duration >= least,
            Self::All => true,
        }
    }
}

/// Logs these requests from now on.
pub fn set(lines: RequestLines) {
    let wanted = match lines {
        RequestLines::Off => OFF,
        RequestLines::Errors => ERRORS,
        RequestLines::All => ALL,
        RequestLines::Slow(least) => {
            u64::try_from(least.as_micros()).unwrap_or(u64::MAX).saturating_add(SLOW)
        }
    };
    WANTED.store(wanted, Ordering::Relaxed);
}

/// Returns which requests are logged now.
pub fn wanted() -> RequestLines {
    match WANTED.load(Ordering::Relaxed) {
        OFF => RequestLines::Off,
        ERRORS => RequestLines::Errors,
        ALL => RequestLines::All,
        slow => RequestLines::Slow(Duration::from_micros(slow - SLOW)),
    }
}

tokio::task_local! {
    static NOTE: RequestNote;
}

/// Details of a request that only its operation knows. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RequestNote(Arc<Details>);

#[derive(Debug, Default)]
struct Details {
    stream: OnceLock<Arc<str>>,
    operation: OnceLock<String>,
}

impl RequestNote {
    /// Runs `future` so that [`note_stream`] and [`note_operation`] inside of it note here.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        NOTE.scope(self.clone(), future).await
    }

    /// Runs `work` like [`Self::scope`].
    pub fn sync_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        NOTE.sync_scope(self.clone(), work)
    }

    /// The stream, once it is noted.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        self.0.stream.get().map(|name| &**name)
    }

    /// The operation, once one is noted: only for requests whose head does not name it.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.get().map(String::as_str)
    }
}

/// Notes the stream that the request of this task names, if the request is followed. The first one counts.
pub fn note_stream(name: impl FnOnce() -> Option<Arc<str>>) {
    if WANTED.load(Ordering::Relaxed) == OFF {
        return;
    }
    let _ = NOTE.try_with(|note| {
        if note.0.stream.get().is_none()
            && let Some(name) = name()
        {
            let _ = note.0.stream.set(name);
        }
    });
}

/// Notes the operation of the request of this task, if the request is followed.
pub fn note_operation(name: &str) {
    if WANTED.load(Ordering::Relaxed) != OFF {
        let _ = NOTE.try_with(|note| note.0.operation.set(name.to_owned()));
    }
}

/// A line of the request log.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// The id that the client sees as `x-amzn-requestid`.
    pub id: &'a str,
    /// Such as `PutRecords`, `DynamoDB.GetItem`, `tidelog.v1.Records/Put` or `GET /health`.
    pub operation: &'a str,
    /// The stream that the request names, if it names one that the operation got to.
    pub stream: Option<&'a str>,
    /// The HTTP status; that of a gRPC call is the one that it is counted by.
    pub status: u16,
    /// The name of the error.
    pub error: Option<&'a str>,
    /// Bytes of the body of the request, where its head says how many.
    pub request_bytes: Option<u64>,
    /// Bytes of the body of the answer that the connection has taken.
    pub bytes: u64,
    /// Time until the answer began.
    pub duration: Duration,
    /// Time until the connection had taken the answer.
    pub total: Duration,
    /// Whether the answer was cut off before its end.
    pub is_cut_off: bool,
    /// The client's address.
    pub caller: IpAddr,
}

impl RequestLine<'_> {
    /// Writes the line, unless lines of requests already take half of the log's queue; such a line is counted.
    pub fn write(&self) {
        if !logs::admits_request_line() {
            return;
        }
        let milliseconds = |duration: Duration| duration.as_micros() as f64 / 1_000.0;
        tracing::info!(
            target: TARGET,
            id = self.id,
            operation = self.operation,
            stream = self.stream,
            status = self.status,
            error = self.error,
            request_bytes = self.request_bytes,
            bytes = self.bytes,
            duration_ms = milliseconds(self.duration),
            total_ms = milliseconds(self.total),
            cut_off = self.is_cut_off.then_some(true),
            caller = %self.caller,
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn lines_include_errors_slow_requests_or_all() {
        for (lines, expected) in [
            (RequestLines::Off, [false, false, false]),
            (RequestLines::Errors, [false, false, true]),
            (RequestLines::Slow(SECOND), [false, true, true]),
            (RequestLines::All, [true, true, true]),
        ] {
            let included = [(false, Duration::ZERO), (false, SECOND), (true, Duration::ZERO)]
                .map(|(is_error, duration)| lines.include(is_error, duration));
            assert_eq!(included, expected, "{lines:?}");
        }
    }

    /// The setting is the process's, so a single test changes it.
    #[tokio::test]
    async fn the_first_stream_is_noted_while_requests_are_followed() {
        let note = RequestNote::default();
        let named = |name: &'static str| move || Some(Arc::from(name));
        note.scope(async { note_stream(|| panic!("no request is followed")) }).await;
        for lines in [RequestLines::Slow(SECOND), RequestLines::Slow(Duration::ZERO), RequestLines::Errors] {
            set(lines);
            assert_eq!(wanted(), lines);
        }
        note_stream(|| panic!("no request runs here"));
        note.scope(async {
            note_stream(|| None);
            note_stream(named("first"));
            note_stream(named("second"));
            note_operation("PutMetricData");
        })
        .await;
        set(RequestLines::Off);
        assert_eq!((note.stream(), note.operation()), (Some("first"), Some("PutMetricData")));
    }
}
