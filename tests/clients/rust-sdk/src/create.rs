//! Creates a stream and waits until it takes records.

use crate::Outcome;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::client::Waiters;
use aws_sdk_kinesis::types::StreamDescriptionSummary;
use std::time::Duration;

/// How long a new stream may take to become ACTIVE.
const CREATION_SECONDS_MAX: u64 = 60;

/// Creates `stream` with `shards` shards; an error if it is not ACTIVE with that many in time.
pub(crate) async fn run(client: &Client, stream: &str, shards: i32) -> Outcome<()> {
    client.create_stream().stream_name(stream).shard_count(shards).send().await?;
    client
        .wait_until_stream_exists()
        .stream_name(stream)
        .wait(Duration::from_secs(CREATION_SECONDS_MAX))
        .await?;
    let summary = client.describe_stream_summary().stream_name(stream).send().await?;
    let open = summary.stream_description_summary().map(StreamDescriptionSummary::open_shard_count);
    if open != Some(shards) {
        return Err(format!("asked for {shards} shards, the stream has {open:?}").into());
    }
    Ok(())
}
