//! Puts a data set once: most rows by PutRecords, the last by PutRecord, all in the order of the file.

use crate::Outcome;
use crate::lines::{Attempt, Clock, Row, read_rows, write_lines};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use std::path::Path;

/// Rows per PutRecords request; a request may carry 500.
const ROWS_PER_REQUEST: usize = 250;

/// Rows put one by one at the end, so that both operations are used.
const ROWS_PUT_SINGLY: usize = 200;

/// Puts the rows of the file at `rows` and writes the attempts; the first error or refused record ends it.
pub(crate) async fn run(client: &Client, stream: &str, rows: &Path, attempts: &Path) -> Outcome<()> {
    let rows = read_rows(rows)?;
    let clock = Clock::default();
    let mut done = Vec::with_capacity(rows.len());
    let (batched, single) = rows.split_at(rows.len().saturating_sub(ROWS_PUT_SINGLY));
    for chunk in batched.chunks(ROWS_PER_REQUEST) {
        put_chunk(client, stream, chunk, &clock, &mut done).await?;
    }
    for row in single {
        put_row(client, stream, row, &clock, &mut done).await?;
    }
    write_lines(attempts, &done)
}

async fn put_chunk(
    client: &Client,
    stream: &str,
    chunk: &[Row],
    clock: &Clock,
    done: &mut Vec<Attempt>,
) -> Outcome<()> {
    let sent = clock.tick();
    let mut entries = Vec::with_capacity(chunk.len());
    let mut attempts = Vec::with_capacity(chunk.len());
    for (position, row) in chunk.iter().enumerate() {
        let bytes = row.bytes()?;
        let number = (done.len() + position) as u64;
        attempts.push(Attempt::new("put", number, &row.key, &bytes, sent, position));
        entries
            .push(PutRecordsRequestEntry::builder().partition_key(&row.key).data(Blob::new(bytes)).build()?);
    }
    let answer = client.put_records().stream_name(stream).set_records(Some(entries)).send().await?;
    if answer.records().len() != chunk.len() || answer.failed_record_count() != Some(0) {
        return Err(format!("{} rows sent, answer {answer:?}", chunk.len()).into());
    }
    let acknowledged = clock.tick();
    for (attempt, result) in attempts.iter_mut().zip(answer.records()) {
        let shard = result.shard_id().ok_or("a put record without a shard")?;
        let number = result.sequence_number().ok_or("a put record without a sequence number")?;
        attempt.acknowledge(acknowledged, shard, number);
    }
    done.extend(attempts);
    Ok(())
}

async fn put_row(
    client: &Client,
    stream: &str,
    row: &Row,
    clock: &Clock,
    done: &mut Vec<Attempt>,
) -> Outcome<()> {
    let bytes = row.bytes()?;
    let mut attempt = Attempt::new("put", done.len() as u64, &row.key, &bytes, clock.tick(), 0);
    let request = client.put_record().stream_name(stream).partition_key(&row.key).data(Blob::new(bytes));
    let answer = request.send().await?;
    attempt.acknowledge(clock.tick(), answer.shard_id(), answer.sequence_number());
    done.push(attempt);
    Ok(())
}
