//! The JSON lines exchanged with the test runner: rows in, attempts and records out.
//!
//! Bytes travel as base64. A line is written at once and flushed by the end of a phase; the runner reads a file
//! only after the phase has ended.

use crate::Outcome;
use aws_sdk_kinesis::primitives::Blob;
use aws_smithy_types::base64;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A row of the data set.
#[derive(Clone, Deserialize)]
pub(crate) struct Row {
    /// The partition key.
    pub(crate) key: String,
    /// The data, as base64.
    data: String,
}

impl Row {
    /// The row's bytes; an error if the line did not hold base64.
    pub(crate) fn bytes(&self) -> Outcome<Vec<u8>> {
        Ok(base64::decode(self.data.as_str())?)
    }
}

/// One record sent once. A record that was never acknowledged has no shard, number or acknowledgement.
#[derive(Serialize)]
pub(crate) struct Attempt {
    pub(crate) attempt_id: String,
    pub(crate) producer: String,
    pub(crate) key: String,
    pub(crate) data: String,
    /// The clock's tick before the request was sent.
    pub(crate) sent: u64,
    /// The record's place within its request, from 0.
    pub(crate) position: usize,
    /// The clock's tick after the answer had come.
    pub(crate) acknowledged: Option<u64>,
    /// When the answer had come, in seconds since 1970.
    pub(crate) acknowledged_at: Option<f64>,
    pub(crate) shard: Option<String>,
    pub(crate) sequence_number: Option<String>,
}

impl Attempt {
    /// An attempt that is about to be sent.
    pub(crate) fn new(
        producer: &str,
        number: u64,
        key: &str,
        data: &[u8],
        sent: u64,
        position: usize,
    ) -> Self {
        Self {
            attempt_id: format!("{producer}-{number}"),
            producer: producer.to_owned(),
            key: key.to_owned(),
            data: base64::encode(data),
            sent,
            position,
            acknowledged: None,
            acknowledged_at: None,
            shard: None,
            sequence_number: None,
        }
    }

    /// Notes the broker's acknowledgement.
    #[expect(
        clippy::disallowed_methods,
        reason = "the machine's time is compared with that of the broker's records"
    )]
    pub(crate) fn acknowledge(&mut self, tick: u64, shard: &str, sequence_number: &str) {
        self.acknowledged = Some(tick);
        self.acknowledged_at =
            SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).ok();
        self.shard = Some(shard.to_owned());
        self.sequence_number = Some(sequence_number.to_owned());
    }
}

/// A record as a consumer read it.
#[derive(Serialize)]
pub(crate) struct Record {
    pub(crate) consumer: usize,
    pub(crate) shard: String,
    pub(crate) sequence_number: String,
    pub(crate) key: String,
    pub(crate) data: String,
    /// Approximate arrival, in seconds since 1970.
    pub(crate) arrival: Option<f64>,
}

/// Orders requests and answers of all producers of this process: a tick is larger than every earlier one.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    /// The next tick.
    pub(crate) fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Base64 of the SDK's blob.
pub(crate) fn encode(blob: &Blob) -> String {
    base64::encode(blob.as_ref())
}

/// All rows of the file at `path`; an error if it cannot be read or holds none.
pub(crate) fn read_rows(path: &Path) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        rows.push(serde_json::from_str(&line?)?);
    }
    if rows.is_empty() {
        return Err("the file of rows is empty".into());
    }
    Ok(rows)
}

/// Writes one JSON line per item to a new file at `path`.
pub(crate) fn write_lines<T: Serialize>(path: &Path, items: &[T]) -> Outcome<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for item in items {
        serde_json::to_writer(&mut file, item)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_attempts_carry_the_same_bytes() {
        let row: Row = serde_json::from_str(r#"{"key":"k","data":"AAH/"}"#).unwrap();
        let bytes = row.bytes().unwrap();
        assert_eq!(bytes, [0, 1, 255]);
        assert_eq!(Attempt::new("p", 1, &row.key, &bytes, 0, 0).data, "AAH/");
    }

    #[test]
    fn a_row_that_is_not_base64_is_an_error() {
        let row: Row = serde_json::from_str(r#"{"key":"k","data":"?"}"#).unwrap();
        assert!(row.bytes().is_err());
    }

    #[test]
    fn ticks_increase() {
        let clock = Clock::default();
        assert!(clock.tick() < clock.tick());
    }
}
