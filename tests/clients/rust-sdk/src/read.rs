//! Reads every shard from its oldest record to its tip, by several consumers at once.

use crate::Outcome;
use crate::lines::{Record, encode, write_lines};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType};
use std::path::Path;

/// Records asked for by one call: few enough that a shard takes several calls.
const RECORDS_PER_CALL: i32 = 400;

/// Reads all shards of `stream` with `consumers` consumers side by side and writes the records of each.
pub(crate) async fn run(client: &Client, stream: &str, records: &Path, consumers: usize) -> Outcome<()> {
    let shards = list_shards(client, stream).await?;
    let mut running = Vec::new();
    for consumer in 0..consumers {
        for shard in &shards {
            running.push(tokio::spawn(read_shard(
                client.clone(),
                stream.to_owned(),
                shard.clone(),
                consumer,
            )));
        }
    }
    let mut all = Vec::new();
    for reader in running {
        all.extend(reader.await??);
    }
    write_lines(records, &all)
}

async fn list_shards(client: &Client, stream: &str) -> Outcome<Vec<String>> {
    let mut shards = Vec::new();
    let mut answer = client.list_shards().stream_name(stream).send().await?;
    loop {
        shards.extend(answer.shards().iter().map(|shard| shard.shard_id().to_owned()));
        let Some(token) = answer.next_token() else { return Ok(shards) };
        answer = client.list_shards().next_token(token).send().await?;
    }
}

async fn read_shard(client: Client, stream: String, shard: String, consumer: usize) -> Outcome<Vec<Record>> {
    let request = client.get_shard_iterator().stream_name(&stream).shard_id(&shard);
    let answer = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
    let mut iterator = answer.shard_iterator().map(str::to_owned);
    let mut records = Vec::new();
    while let Some(position) = iterator {
        let answer = client.get_records().shard_iterator(position).limit(RECORDS_PER_CALL).send().await?;
        for record in answer.records() {
            records.push(line(consumer, &shard, record)?);
        }
        if answer.records().is_empty() && answer.millis_behind_latest() == Some(0) {
            break;
        }
        iterator = answer.next_shard_iterator().map(str::to_owned);
    }
    Ok(records)
}

fn line(consumer: usize, shard: &str, record: &types::Record) -> Outcome<Record> {
    Ok(Record {
        consumer,
        shard: shard.to_owned(),
        sequence_number: record.sequence_number().to_owned(),
        key: record.partition_key().ok_or("a record without a partition key")?.to_owned(),
        data: encode(record.data()),
        arrival: record.approximate_arrival_timestamp().map(DateTime::as_secs_f64),
    })
}
