//! One PutRecords: which of its lines are acknowledged, and the outcome of the others.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::queue::Pending;
use tidelog_kinesis::operations::{PutEntry, PutRecords, PutResult};
use tidelog_kinesis::{Blob, Client, KinesisError};

/// The outcome of one call.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) acknowledged: Vec<Pending>,
    pub(super) failed: Vec<Pending>,
    /// Why they failed.
    pub(super) reason: String,
    /// Whether putting them again is of no use.
    pub(super) is_final: bool,
}

/// One call, after a wait. `interrupt` ends it early, and then its outcome is not known.
pub(super) async fn call(
    client: &Client,
    stream: &str,
    batch: Vec<Pending>,
    wait: Option<Duration>,
    mut interrupt: watch::Receiver<bool>,
) -> Settled {
    if let Some(wait) = wait {
        tokio::select! {
            () = sleep(wait) => {}
            () = interrupted(&mut interrupt) => return all_failed(batch, "interrupted".into(), false, true),
        }
    }
    let entry = |line: &Pending| PutEntry {
        data: Blob(line.data.clone()),
        partition_key: line.key.clone(),
        explicit_hash_key: line.hash_key.clone(),
    };
    let put = PutRecords { stream_name: stream.into(), records: batch.iter().map(entry).collect() };
    let answer = tokio::select! {
        answer = client.call_once(&put) => answer,
        () = interrupted(&mut interrupt) => return all_failed(batch, "interrupted".into(), true, true),
    };
    match answer {
        Ok(answer) if answer.records.len() == batch.len() => settle_each(batch, answer.records),
        Ok(answer) => {
            let reason = format!("{} results for {} records", answer.records.len(), batch.len());
            all_failed(batch, reason, true, true)
        }
        Err(error) => {
            let (may_be_in, is_final) = (!error.is_certainly_not_done(), !error.is_passing());
            all_failed(batch, reason_of(&error), may_be_in, is_final)
        }
    }
}

async fn interrupted(interrupt: &mut watch::Receiver<bool>) {
    drop(interrupt.wait_for(|interrupted| *interrupted).await);
}

/// Each line by its own result.
fn settle_each(batch: Vec<Pending>, results: Vec<PutResult>) -> Settled {
    let mut settled = Settled::default();
    for (mut line, result) in batch.into_iter().zip(results) {
        let Some(code) = result.error_code else {
            settled.acknowledged.push(line);
            continue;
        };
        // Throttled records are certainly not in; of a failure of the service nobody knows.
        line.may_be_in |= code != "ProvisionedThroughputExceededException";
        settled.reason =
            result.error_message.map_or_else(|| code.clone(), |words| format!("{code}: {words}"));
        settled.failed.push(line);
    }
    settled
}

fn all_failed(mut batch: Vec<Pending>, reason: String, may_be_in: bool, is_final: bool) -> Settled {
    for line in &mut batch {
        line.may_be_in |= may_be_in;
    }
    Settled { acknowledged: Vec::new(), failed: batch, reason, is_final }
}

fn reason_of(error: &KinesisError) -> String {
    match error {
        KinesisError::Refused { exception, message, .. } => format!("{exception}: {message}"),
        other => other.to_string(),
    }
}
