//! Reads a whole stream by one call of Records.Subscribe.

use std::collections::HashMap;
use std::time::Duration;

use tidelog_proto::v1::subscribe_response::Event;
use tidelog_proto::v1::{Latest, Position, SubscribeRequest, position};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Ending, Reading};
use crate::grpc::Api;
use crate::ledger::ShardLog;

/// A silent call is looked after so often.
const QUIET: Duration = Duration::from_millis(200);

/// Follows the stream from now on, across reshards, until everything expected was read. Drops `ready` once the call has
/// begun.
///
/// # Errors
/// The call's, in words.
pub async fn subscribe(
    api: Api,
    reading: &Reading,
    stream: String,
    ready: mpsc::Sender<()>,
) -> Result<Vec<ShardLog>, String> {
    let from = Position { at: Some(position::At::Latest(Latest {})) };
    let request =
        SubscribeRequest { stream, from: Some(from), follow_reshards: true, ..SubscribeRequest::default() };
    let said = |status: tonic::Status| format!("Subscribe: {}", status.message());
    let mut events = api.records().subscribe(api.request(request)).await.map_err(said)?.into_inner();
    drop(ready);
    let mut logs = HashMap::<String, (ShardLog, Ending)>::new();
    let mut all = Ending::new(reading);
    loop {
        match timeout(QUIET, events.message()).await {
            Err(_) => {}
            Ok(Err(status)) => return Err(said(status)),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(message))) => {
                let Some(Event::Records(read)) = message.event else { continue };
                let shard = message.shard_id;
                let (log, ending) = logs
                    .entry(shard)
                    .or_insert_with_key(|shard| (ShardLog::new(shard), Ending::new(reading)));
                if !read.records.is_empty() {
                    ending.note_progress();
                    all.note_progress();
                }
                for record in &read.records {
                    reading.take(log, &record.sequence_number, &record.data);
                }
            }
        }
        if is_read(&mut logs, &mut all, reading) {
            break;
        }
    }
    Ok(logs.into_values().map(|(log, _)| log).collect())
}

fn is_read(logs: &mut HashMap<String, (ShardLog, Ending)>, all: &mut Ending, reading: &Reading) -> bool {
    let expected = reading.expected.borrow().clone();
    let Some(expected) = expected else { return false };
    let is_complete = expected
        .keys()
        .all(|shard| logs.get_mut(shard).is_some_and(|(log, ending)| ending.is_reached(log, shard, false)));
    // A shard of which nothing was ever read has no log of its own to wait with.
    is_complete
        || all.is_reached(&ShardLog::new(""), "", false) && all.progressed.elapsed() >= super::PATIENCE
}
