//! Puts records from several producers for a time while the broker may die and come back, or reshard.
//!
//! Each producer sends its next request only after the answer to the one before. A failed put is not sent again as
//! it was: the next attempt carries an id of its own in its bytes, so that a failed one that was written after all
//! is not taken for a duplicate.

use crate::Outcome;
use crate::lines::{Attempt, Clock, Row, read_rows, write_lines};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// A producer's pause after an error, so that a broker that is down is not hammered.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// How much load there is, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// After this time at the latest the load ends.
    pub(crate) seconds: Duration,
    pub(crate) producers: usize,
    /// 1 uses PutRecord, more uses PutRecords.
    pub(crate) records_per_request: usize,
    /// After each answer.
    pub(crate) pause: Duration,
}

/// Runs producers until their time has come or SIGTERM, and writes all their attempts.
pub(crate) async fn run(
    client: &Client,
    stream: &str,
    rows: &Path,
    attempts: &Path,
    pace: Pace,
) -> Outcome<()> {
    let rows: Arc<[Row]> = read_rows(rows)?.into();
    let clock = Arc::new(Clock::default());
    let until = Instant::now() + pace.seconds;
    let ending = end_on_signal()?;
    let mut running = Vec::with_capacity(pace.producers);
    for index in 0..pace.producers {
        let producer = Producer {
            name: format!("rust-{index}"),
            client: client.clone(),
            stream: stream.to_owned(),
            clock: Arc::clone(&clock),
            attempts: Vec::new(),
        };
        running.push(tokio::spawn(producer.run(Arc::clone(&rows), index, pace, until, Arc::clone(&ending))));
    }
    let mut all = Vec::new();
    for producer in running {
        all.extend(producer.await??);
    }
    write_lines(attempts, &all)
}

/// Becomes true with SIGTERM.
fn end_on_signal() -> Outcome<Arc<AtomicBool>> {
    let ending = Arc::new(AtomicBool::new(false));
    let (told, mut terminate) = (Arc::clone(&ending), signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        terminate.recv().await;
        told.store(true, Ordering::Relaxed);
    });
    Ok(ending)
}

struct Producer {
    name: String,
    client: Client,
    stream: String,
    clock: Arc<Clock>,
    attempts: Vec<Attempt>,
}

impl Producer {
    /// Puts rows from the `start`th on, around and around, until the time has come.
    async fn run(
        mut self,
        rows: Arc<[Row]>,
        start: usize,
        pace: Pace,
        until: Instant,
        ending: Arc<AtomicBool>,
    ) -> Outcome<Vec<Attempt>> {
        let mut next = rows.iter().cycle().skip(start);
        for size in sizes(pace.records_per_request) {
            if Instant::now() >= until || ending.load(Ordering::Relaxed) {
                break;
            }
            let batch: Vec<&Row> = next.by_ref().take(size).collect();
            let pause = if self.put(&batch).await? { pace.pause } else { PAUSE_AFTER_ERROR };
            tokio::time::sleep(pause).await;
        }
        Ok(self.attempts)
    }

    /// Sends rows by one request; whether all were acknowledged.
    async fn put(&mut self, batch: &[&Row]) -> Outcome<bool> {
        let (sent, first) = (self.clock.tick(), self.attempts.len());
        let mut blobs = Vec::with_capacity(batch.len());
        for (position, row) in batch.iter().enumerate() {
            let number = (first + position) as u64;
            let mut bytes = format!("{}-{number}|", self.name).into_bytes();
            bytes.extend(row.bytes()?);
            self.attempts.push(Attempt::new(&self.name, number, &row.key, &bytes, sent, position));
            blobs.push(Blob::new(bytes));
        }
        if let [row] = batch {
            let request = self.client.put_record().stream_name(&self.stream).partition_key(&row.key);
            if let Ok(answer) = request.set_data(blobs.pop()).send().await {
                let tick = self.clock.tick();
                self.attempts[first].acknowledge(tick, answer.shard_id(), answer.sequence_number());
            }
        } else {
            self.put_many(batch, blobs, first).await?;
        }
        Ok(self.attempts[first..].iter().all(|attempt| attempt.acknowledged.is_some()))
    }

    async fn put_many(&mut self, batch: &[&Row], blobs: Vec<Blob>, first: usize) -> Outcome<()> {
        let mut request = self.client.put_records().stream_name(&self.stream);
        for (row, blob) in batch.iter().zip(blobs) {
            request = request
                .records(PutRecordsRequestEntry::builder().partition_key(&row.key).data(blob).build()?);
        }
        let Ok(answer) = request.send().await else { return Ok(()) };
        let tick = self.clock.tick();
        for (attempt, result) in self.attempts[first..].iter_mut().zip(answer.records()) {
            if let (Some(shard), Some(number)) = (result.shard_id(), result.sequence_number()) {
                attempt.acknowledge(tick, shard, number);
            }
        }
        Ok(())
    }
}

/// The sizes of requests, without end: always 1, or around from a fifth of `max` to `max`.
fn sizes(max: usize) -> impl Iterator<Item = usize> {
    (max.div_ceil(5)..=max).cycle()
}
