//! A producer by the Kinesis protocol: one connection, one request at a time, each sent when it is due or as soon as
//! the one before it is answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::sleep;

use super::answer::{self, Entry};
use super::body::{Bodies, Body};
use super::connection::{Connection, Exchange};
use super::ledger::{Answers, fingerprint};
use super::run_state::RunState;
use super::tally::{Counts, Tally};

/// Pause after a request for which there was no connection.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(50);
/// Pause after a request of which nothing was written.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// A producer and the things it needs.
#[derive(Debug)]
pub struct Producer {
    /// The state of the run.
    pub state: Arc<RunState>,
    /// The counts of the producer's thread.
    pub tally: Arc<Mutex<Tally>>,
    /// The producer's own connection.
    pub connection: Connection,
    /// The producer's own request bodies.
    pub bodies: Bodies,
    /// Bytes of a record, on average.
    pub mean_bytes: f64,
}

impl Producer {
    /// Sends records as they become due, until the schedule is over. Returns the answers to its records.
    pub async fn run(mut self) -> Answers {
        let mut answers = Answers::default();
        // Without it the first request of every producer would measure the connection as well.
        if let Err(error) = self.connection.open().await {
            self.state.failing(Instant::now(), &error);
        }
        while let Some(due) = self.state.schedule.next().await {
            let body = self.bodies.next(self.state.window.ns(due));
            let is_kept = self.state.keeps(body.records as u64);
            if is_kept {
                answers.send(body.first, body.records);
            }
            self.tally.lock().expect("nobody panics with it").sent(due, Instant::now(), body.records as u64);
            let exchange = self.connection.exchange("PutRecords", body.bytes.clone()).await;
            if let Some(pause) = self.settle(due, &body, exchange, is_kept.then_some(&mut answers)) {
                sleep(pause).await;
            }
        }
        answers
    }

    /// Counts the outcome of a request. How long to wait before the next one, when nothing came of it.
    fn settle(
        &mut self,
        due: Instant,
        body: &Body,
        exchange: Exchange<Bytes>,
        mut answers: Option<&mut Answers>,
    ) -> Option<Duration> {
        let (now, records) = (Instant::now(), body.records as u64);
        let mut tally = self.tally.lock().expect("nobody panics with it");
        let refuse_all = |answers: Option<&mut Answers>| {
            if let Some(answers) = answers {
                (body.first..body.first + records).for_each(|sequence| answers.refuse(sequence));
            }
        };
        match exchange {
            Exchange::Answered(200, answer) => {
                let counts = entries(&mut tally, (due, now), body, &answer, answers.as_deref_mut());
                tally.settled(due, now, counts, counts.acknowledged > 0);
                if self.state.window.second(due).is_some() {
                    tally.bytes += (counts.acknowledged as f64 * self.mean_bytes) as u64;
                }
                if counts.acknowledged + counts.throttled > 0 {
                    self.state.alive(now);
                }
                (counts.acknowledged == 0).then_some(REFUSED_PAUSE)
            }
            Exchange::Answered(status, answer) => {
                let (code, words) = exception(status, &answer);
                let is_throttled = answer::is_throttle(code.as_bytes());
                let counts = if is_throttled {
                    self.state.alive(now);
                    Counts { throttled: records, ..Counts::default() }
                } else if status < 500 {
                    Counts { failed: records, ..Counts::default() }
                } else {
                    Counts { unknown: records, ..Counts::default() }
                };
                if counts.unknown == 0 {
                    refuse_all(answers);
                }
                tally.settled(due, now, counts, false);
                if !is_throttled {
                    tally.error(&words, records);
                    self.state.failing(now, &words);
                }
                Some(REFUSED_PAUSE)
            }
            Exchange::NotSent(error) => {
                refuse_all(answers);
                tally.settled(due, now, Counts { failed: records, ..Counts::default() }, false);
                tally.error(&format!("not sent: {error}"), records);
                self.state.failing(now, &error);
                Some(UNREACHABLE_PAUSE)
            }
            Exchange::Broken(error) => {
                tally.settled(due, now, Counts { unknown: records, ..Counts::default() }, false);
                tally.error(&format!("not answered: {error}"), records);
                self.state.failing(now, &error);
                Some(REFUSED_PAUSE)
            }
        }
    }
}

/// Counts the entries of an answer. Records without an entry are of unknown outcome.
fn entries(
    tally: &mut Tally,
    (due, now): (Instant, Instant),
    body: &Body,
    answer: &[u8],
    mut answers: Option<&mut Answers>,
) -> Counts {
    let (mut counts, mut sequence) = (Counts::default(), body.first);
    let end = body.first + body.records as u64;
    let read = answer::read(answer, |entry| {
        if sequence == end {
            return;
        }
        match entry {
            Entry::Placed { shard, number } => {
                counts.acknowledged += 1;
                let text = |bytes| str::from_utf8(bytes).unwrap_or_default();
                tally.placed(due, now, text(shard), text(number));
                if let Some(answers) = &mut answers {
                    answers.acknowledge(sequence, fingerprint(shard, number));
                }
            }
            Entry::Failed { code } if answer::is_throttle(code) => {
                counts.throttled += 1;
                if let Some(answers) = &mut answers {
                    answers.refuse(sequence);
                }
            }
            // Such as InternalFailure: it says nothing about the record.
            Entry::Failed { code } => {
                counts.unknown += 1;
                tally.error(&String::from_utf8_lossy(code), 1);
            }
        }
        sequence += 1;
    });
    if let Err(error) = read {
        tally.error(&format!("an answer that is none: {error}"), end - sequence);
    } else if sequence < end {
        tally.error("an answer for fewer records than were sent", end - sequence);
    }
    counts.unknown += end - sequence;
    counts
}

/// Name of the exception, and words for it.
fn exception(status: u16, answer: &[u8]) -> (String, String) {
    #[derive(Default, Deserialize)]
    struct Exception {
        #[serde(rename = "__type", default)]
        name: String,
        #[serde(default, alias = "Message")]
        message: String,
    }
    let Exception { name, message } = serde_json::from_slice(answer).unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().to_owned();
    let words = if name.is_empty() { format!("HTTP status {status}") } else { format!("{name}: {message}") };
    (name, words)
}
