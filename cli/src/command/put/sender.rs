//! The loop between lines and calls: fills calls, keeps several under way, puts failed records again, and gives up
//! when nothing has been acknowledged for too long.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::signal::ctrl_c;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::call::{Settled, call};
use super::content::{Content, NewRecord};
use super::input::{Input, Read, Spot};
use super::key::KeySource;
use super::ledger::Ledger;
use super::pace::Pace;
use super::progress::Progress;
use super::queue::{BatchBounds, Pending, Queue};
use crate::command::figures;
use tidelog_kinesis::{Client, wait_after};

/// One call: 500 records, as the service has it, and half of the service's bytes, which emulators accept too.
const BOUNDS: BatchBounds = BatchBounds { records: 500, bytes: 4 * 1024 * 1024 };
/// Lines that are read ahead, at most.
const WAITING_LINES_MAX: usize = 20_000;
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a call waits to be filled by a slow input.
const LINGER: Duration = Duration::from_millis(20);
/// Waits before records are put again, the first and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long calls under way are waited for after Ctrl-C.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// Puts lines.
pub(super) struct Sender<'a> {
    pub(super) client: &'a Client,
    pub(super) stream: &'a str,
    pub(super) keys: KeySource,
    /// The form of the input's pieces.
    pub(super) content: Content,
    /// The rate at which records are taken, if it is bounded.
    pub(super) pace: Option<Pace>,
    pub(super) keeps_order: bool,
    /// The largest record, key and data, in bytes.
    pub(super) record_max: usize,
    /// How many calls are under way at once.
    pub(super) calls_max: usize,
    /// How long to go on while nothing is acknowledged.
    pub(super) patience: Duration,
    pub(super) progress: &'a Progress,
    pub(super) ledger: Ledger,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All lines were read, and put or refused.
    Complete,
    /// The stream takes no more.
    GaveUp,
    /// Ctrl-C.
    Interrupted,
}

/// The calls under way and the records that wait.
struct Loop<'a> {
    queue: Queue,
    calls: FuturesUnordered<BoxFuture<'a, Settled>>,
    /// Cuts the calls short.
    interrupt: watch::Sender<bool>,
    is_input_open: bool,
    /// When a call is sent that is not full.
    linger_end: Option<Instant>,
    /// Since when nothing is acknowledged.
    failing_since: Option<Instant>,
    /// How often in a row calls failed by half or more.
    failures: u32,
    /// The first line that was not read.
    next: Spot,
    reason: String,
}

impl<'a> Sender<'a> {
    /// Puts all lines of the input, or as many as can be.
    pub(super) async fn run(&mut self, mut input: Input) -> Ending {
        self.ledger.names = input.names();
        let mut state = Loop {
            queue: Queue::default(),
            calls: FuturesUnordered::new(),
            interrupt: watch::Sender::new(false),
            is_input_open: true,
            linger_end: None,
            failing_since: None,
            failures: 0,
            next: Spot { input: 0, line: 1 },
            reason: "interrupted".into(),
        };
        let ending = tokio::select! {
            ending = self.put(&mut input, &mut state) => ending,
            _ = ctrl_c() => Ending::Interrupted,
        };
        if ending != Ending::Complete {
            self.wind_up(&mut input, &mut state, ending).await;
        }
        ending
    }

    async fn put(&mut self, input: &mut Input, state: &mut Loop<'a>) -> Ending {
        loop {
            self.send(state);
            if !state.is_input_open && state.queue.lines() == 0 && state.calls.is_empty() {
                return Ending::Complete;
            }
            let has_room = state.is_input_open
                && state.queue.lines() < WAITING_LINES_MAX
                && state.queue.bytes() < WAITING_BYTES_MAX;
            let allowance = self.pace.as_mut().map_or(usize::MAX, |pace| pace.allowance(Instant::now()));
            let due = self.pace.as_ref().filter(|_| has_room && allowance == 0).map(Pace::next);
            let lingers = state.linger_end.filter(|end| *end > Instant::now());
            tokio::select! {
                biased;
                Some(settled) = state.calls.next() => {
                    if self.settle(state, settled) {
                        return Ending::GaveUp;
                    }
                }
                read = input.next(), if has_room && allowance > 0 => self.take(input, state, read, allowance),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = sleep_until(lingers.unwrap_or_else(Instant::now)), if lingers.is_some() => {}
            }
        }
    }

    /// Takes a line and those behind it that are at hand.
    fn take(&mut self, input: &mut Input, state: &mut Loop<'a>, first: Option<Read>, allowance: usize) {
        state.is_input_open = first.is_some();
        let mut next = first;
        let mut taken = 0;
        while let Some(read) = next {
            self.admit(state, read);
            taken += 1;
            let has_room = taken < BOUNDS.records.min(allowance) && state.queue.bytes() < WAITING_BYTES_MAX;
            next = if has_room { input.next_at_hand() } else { None };
        }
        if let Some(pace) = &mut self.pace {
            pace.take(taken);
        }
    }

    /// A line goes into the queue, unless it cannot be a record.
    fn admit(&mut self, state: &mut Loop<'a>, read: Read) {
        let Some((spot, piece)) = self.accept(read, &mut state.next) else { return };
        let NewRecord { key, hash_key, data } = match self.content.record(&piece, &self.keys) {
            Ok(record) => record,
            Err(reason) => return self.ledger.refuse(spot, Some(&piece), &reason),
        };
        if key.len() + data.len() > self.record_max {
            return self.ledger.refuse(spot, Some(&piece), &self.too_long());
        }
        let lane = if self.keeps_order { lane_of(&key) } else { lane_of(&(spot.input, spot.line)) };
        let origin = self.content.is_encoded().then_some(piece);
        state.queue.push(Pending { spot, key, hash_key, data, origin, lane, may_be_in: false });
        if state.linger_end.is_none() {
            state.linger_end = Some(Instant::now() + LINGER);
        }
    }

    /// Returns the line that was read, if it is one of ours and complete.
    fn accept(&mut self, read: Read, next: &mut Spot) -> Option<(Spot, Bytes)> {
        let (Read::Line(spot, _) | Read::TooLong(spot) | Read::Broken(spot, _)) = read;
        *next = Spot { line: spot.line + 1, ..spot };
        match read {
            Read::Line(_, data) => return Some((spot, data)),
            Read::TooLong(_) => self.ledger.refuse(spot, None, &self.too_long()),
            Read::Broken(_, error) => {
                self.ledger.refuse(spot, None, &format!("cannot be read, nor the lines behind it: {error}"));
            }
        }
        None
    }

    fn too_long(&self) -> String {
        format!("longer than the stream's largest record of {}", figures::bytes(self.record_max as u64))
    }

    /// Starts as many calls as may be under way, full ones, or any once the input is slow or at its end.
    fn send(&mut self, state: &mut Loop<'a>) {
        while state.calls.len() < self.calls_max && state.queue.ready() > 0 {
            let is_full = state.queue.ready() >= BOUNDS.records || state.queue.bytes() >= BOUNDS.bytes;
            let is_due = state.linger_end.is_none_or(|end| end <= Instant::now());
            if !is_full && !is_due && state.is_input_open {
                return;
            }
            let batch = state.queue.batch(BOUNDS);
            let wait = (state.failures > 0).then(|| wait_after(state.failures, WAIT_FIRST, WAIT_MAX));
            state.calls.push(Box::pin(call(
                self.client,
                self.stream,
                batch,
                wait,
                state.interrupt.subscribe(),
            )));
        }
        if state.queue.lines() == 0 {
            state.linger_end = None;
        }
    }

    /// Writes down the outcome of a call; whether it is time to give up.
    fn settle(&mut self, state: &mut Loop<'a>, settled: Settled) -> bool {
        let (done, failed) = (settled.acknowledged.len(), settled.failed.len());
        let mut bytes = 0;
        for line in settled.acknowledged {
            self.ledger.acknowledged += 1;
            self.ledger.bytes += line.size() as u64;
            self.ledger.maybe_twice += u64::from(line.may_be_in);
            bytes += line.line().len() as u64 + 1;
            state.queue.settle(line.lane);
        }
        self.progress.advance(bytes, self.ledger.acknowledged);
        state.failures = if failed > done { state.failures.saturating_add(1) } else { u32::from(failed > 0) };
        if done > 0 {
            state.failing_since = None;
        }
        if failed == 0 {
            return false;
        }
        for line in settled.failed {
            state.queue.again(line);
        }
        state.reason = settled.reason;
        let since = *state.failing_since.get_or_insert_with(Instant::now);
        settled.is_final || since.elapsed() > self.patience
    }

    /// Names everything that is not acknowledged, after calls under way have had their time.
    async fn wind_up(&mut self, input: &mut Input, state: &mut Loop<'a>, ending: Ending) {
        let reason = state.reason.clone();
        let interrupt = state.interrupt.clone();
        let grace = tokio::spawn(async move {
            sleep(INTERRUPT_GRACE).await;
            interrupt.send_replace(true);
        });
        while let Some(settled) = state.calls.next().await {
            self.settle(state, settled);
        }
        grace.abort();
        for line in state.queue.drain() {
            let unknown = if line.may_be_in { " (it may be in the stream all the same)" } else { "" };
            self.ledger.refuse(line.spot, Some(line.line()), &format!("{reason}{unknown}"));
        }
        if ending == Ending::GaveUp && self.ledger.keeps_rejects() {
            tokio::select! {
                () = self.drain(input, state, &reason) => {}
                _ = ctrl_c() => self.ledger.leave_unread(state.next),
            }
        } else if state.is_input_open && !is_at_end(input).await {
            self.ledger.leave_unread(state.next);
        }
    }

    /// All that is left goes to the rejects.
    async fn drain(&mut self, input: &mut Input, state: &mut Loop<'a>, reason: &str) {
        while let Some(read) = input.next().await {
            if let Some((spot, data)) = self.accept(read, &mut state.next) {
                self.ledger.refuse(spot, Some(&data), reason);
            }
        }
    }
}

/// Whether there was nothing left to read anyway.
async fn is_at_end(input: &mut Input) -> bool {
    matches!(timeout(Duration::from_millis(50), input.next()).await, Ok(None))
}

fn lane_of(name: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
