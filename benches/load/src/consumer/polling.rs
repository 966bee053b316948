//! Reads a shard by GetRecords, no more often than the protocol allows for one shard.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Ending, Read, Reading};
use crate::ledger::ShardLog;
use tidelog_kinesis::operations::{GetRecords, GetShardIterator, StartingPosition};
use tidelog_kinesis::{Client, KinesisError};

/// Pause after a call that was throttled: the protocol counts calls and bytes in a second.
const THROTTLED_PAUSE: Duration = Duration::from_millis(500);

/// Reads until the shard's end or until everything expected was read.
pub(super) async fn read(
    client: &Client,
    reading: &Reading,
    stream: &str,
    shard: String,
    from: StartingPosition,
    ready: Option<mpsc::Sender<()>>,
) -> Result<Read, String> {
    let begin = GetShardIterator { stream_name: stream.into(), shard_id: shard.clone(), position: from };
    let begun = client.call(&begin).await.map_err(|error| error.to_string())?;
    drop(ready);
    let (mut log, mut ending) = (ShardLog::new(&shard), Ending::new(reading));
    let mut get = GetRecords { shard_iterator: begun.shard_iterator, limit: None };
    loop {
        let next_call = Instant::now() + reading.poll_every;
        let answer = match client.call_once(&get).await {
            Ok(answer) => answer,
            Err(error) if error.is_throttle() => {
                sleep(THROTTLED_PAUSE).await;
                ending.note_progress();
                continue;
            }
            Err(error) if error.is_passing() && !has_given_up(&mut ending, &log, &shard) => {
                sleep(THROTTLED_PAUSE).await;
                continue;
            }
            Err(error) => return Err(said(&shard, &error)),
        };
        for record in &answer.records {
            reading.take(&mut log, &record.sequence_number, &record.data.0);
        }
        let Some(next) = answer.next_shard_iterator else {
            return Ok(Read { shard, log, children: answer.child_shards });
        };
        let is_at_tip = answer.records.is_empty() && answer.millis_behind_latest.unwrap_or(0) == 0;
        if !is_at_tip {
            ending.note_progress();
        }
        if ending.is_reached(&log, &shard, is_at_tip) {
            return Ok(Read { shard, log, children: Vec::new() });
        }
        get.shard_iterator = next;
        sleep_until(next_call).await;
    }
}

/// While records are put, an endpoint may be away for any time; afterwards not for longer than records are waited for.
fn has_given_up(ending: &mut Ending, log: &ShardLog, shard: &str) -> bool {
    ending.is_reached(log, shard, false)
}

fn said(shard: &str, error: &KinesisError) -> String {
    format!("{shard}: {error}")
}
