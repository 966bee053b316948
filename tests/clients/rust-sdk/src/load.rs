//! Puts records from several producers for a time while the broker may die and come back.
//!
//! Each producer sends its next record only after the answer to the one before. A failed put is not sent
//! again as it was: the next attempt carries an id of its own in its bytes, so that whatever the broker did
//! with the failed one can be told apart from a duplicate.

use crate::Outcome;
use crate::lines::{Attempt, Clock, Row, read_rows, write_lines};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A producer's pause after an error, so that a broker that is down is not hammered.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// Runs `producers` producers for `seconds` and writes all their attempts.
pub(crate) async fn run(
    client: &Client,
    stream: &str,
    rows: &Path,
    attempts: &Path,
    seconds: f64,
    producers: usize,
) -> Outcome<()> {
    let rows: Arc<[Row]> = read_rows(rows)?.into();
    let clock = Arc::new(Clock::default());
    let until = Instant::now() + Duration::try_from_secs_f64(seconds)?;
    let mut running = Vec::with_capacity(producers);
    for index in 0..producers {
        let producer = Producer {
            name: format!("rust-{index}"),
            client: client.clone(),
            stream: stream.to_owned(),
            clock: Arc::clone(&clock),
        };
        running.push(tokio::spawn(producer.run(Arc::clone(&rows), index, until)));
    }
    let mut all = Vec::new();
    for producer in running {
        all.extend(producer.await??);
    }
    write_lines(attempts, &all)
}

struct Producer {
    name: String,
    client: Client,
    stream: String,
    clock: Arc<Clock>,
}

impl Producer {
    /// Puts rows from the `start`th on, around and around, until the time has come.
    async fn run(self, rows: Arc<[Row]>, start: usize, until: Instant) -> Outcome<Vec<Attempt>> {
        let mut attempts = Vec::new();
        for (number, row) in (0u64..).zip(rows.iter().cycle().skip(start)) {
            if Instant::now() >= until {
                break;
            }
            let attempt = self.attempt(number, row).await?;
            let failed = attempt.acknowledged.is_none();
            attempts.push(attempt);
            if failed {
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
        Ok(attempts)
    }

    async fn attempt(&self, number: u64, row: &Row) -> Outcome<Attempt> {
        let mut bytes = format!("{}-{number}|", self.name).into_bytes();
        bytes.extend(row.bytes()?);
        let mut attempt = Attempt::new(&self.name, number, &row.key, &bytes, self.clock.tick(), 0);
        let request = self.client.put_record().stream_name(&self.stream).partition_key(&row.key);
        if let Ok(answer) = request.data(Blob::new(bytes)).send().await {
            attempt.acknowledge(self.clock.tick(), answer.shard_id(), answer.sequence_number());
        }
        Ok(attempt)
    }
}
