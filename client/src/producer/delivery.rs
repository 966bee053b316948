//! Sends one batch until it is settled: all its outcomes known, or given up at the delivery timeout. Runs as a task of
//! its own, started by `driver`.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidelog_proto::v1;
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::receipt::{Acknowledgement, Pending};
use crate::backoff;
use crate::connection::Connection;
use crate::error::{Error, Reason};
use crate::shards::Shards;

/// Where batches go.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub connection: Connection,
    pub stream: String,
}

/// A batch that is done with.
#[derive(Debug)]
pub(super) struct Settled {
    pub range: RangeInclusive<u128>,
    /// To be sent again in later batches, in order.
    pub returned: Vec<Pending>,
    /// Why, as far as waiting helps.
    pub failed: Option<Error>,
    /// One of the returned records is invalid: smaller batches will show which.
    pub is_split: bool,
    /// A record went to another shard than expected.
    pub has_strayed: bool,
    /// The shards as they are now, where they had to be asked for.
    pub shards: Option<Shards>,
}

/// Sends the batch, again and again if need be.
pub(super) async fn deliver(mut batch: Batch, destination: Destination) -> Settled {
    metrics::counter!(crate::metrics::BATCHES_SENT).increment(1);
    let mut attempts = 0;
    loop {
        let answer = attempt(&batch, &destination).await;
        if let Err(error) = &answer {
            tracing::debug!(%error, attempts, "put failed");
        }
        batch.take(answer);
        batch.give_up_late(Instant::now());
        if !batch.is_uncertain() {
            return settle(batch, &destination).await;
        }
        attempts += 1;
        metrics::counter!(crate::metrics::BATCHES_SENT_AGAIN).increment(1);
        let asked = batch.failed.as_ref().and_then(Error::retry_after);
        sleep(backoff::delay(attempts, asked).min(time_left(&batch))).await;
    }
}

async fn attempt(batch: &Batch, destination: &Destination) -> Result<v1::PutResponse, Error> {
    let node = destination.connection.node();
    // An attempt that begins at the deadline still has a moment for its answer.
    let within =
        destination.connection.request_timeout().min(time_left(batch).max(Duration::from_millis(50)));
    let mut request = node.request(batch.request(&destination.stream));
    request.set_timeout(within);
    let began = Instant::now();
    let answer = node.answer_within(within, node.records().put(request)).await;
    metrics::histogram!(crate::metrics::PUT_SECONDS).record(began.elapsed().as_secs_f64());
    answer
}

fn time_left(batch: &Batch) -> Duration {
    batch.deadline().map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
}

async fn settle(mut batch: Batch, destination: &Destination) -> Settled {
    let mut unwritten = batch.unwritten();
    let mut shards = None;
    let misplaced = batch.misplaced();
    if !misplaced.is_empty() {
        let deadline = misplaced.iter().flat_map(|(_, members)| members).map(|member| member.deadline).max();
        match list(destination, deadline.unwrap_or_else(Instant::now)).await {
            Ok(listed) => {
                for (acknowledgement, members) in misplaced {
                    unwritten.returned.extend(foreign(&acknowledgement, members, &listed));
                }
                shards = Some(listed);
            }
            Err(error) => {
                let members = misplaced.into_iter().flat_map(|(_, members)| members);
                members.for_each(|member| member.give_up(true, error.clone()));
            }
        }
        unwritten.returned.sort_by_key(|member| member.order);
    }
    metrics::counter!(crate::metrics::RECORDS_RETRIED).increment(unwritten.returned.len() as u64);
    let waiting = unwritten.returned.iter().filter_map(|member| member.failed.as_ref());
    Settled {
        failed: waiting.max_by_key(|error| error.retry_after()).cloned(),
        has_strayed: batch.has_strayed(),
        range: batch.range,
        returned: unwritten.returned,
        is_split: unwritten.is_split,
        shards,
    }
}

/// Acknowledges the members that belong where their aggregated record went. The others do not count there, readers
/// leave them out: they come back, to be written where they belong.
fn foreign(acknowledgement: &Acknowledgement, members: Vec<Pending>, shards: &Shards) -> Vec<Pending> {
    let range = shards.range(&acknowledgement.shard_id).unwrap_or(0..=u128::MAX);
    let (here, elsewhere) = members.into_iter().partition(|member| range.contains(&member.hash_key));
    let here: Vec<Pending> = here;
    here.into_iter().for_each(|member| member.acknowledge(acknowledgement.clone()));
    elsewhere
}

/// Asks for the shards until they are known or it is too late.
async fn list(destination: &Destination, deadline: Instant) -> Result<Shards, Error> {
    let mut failures = 0;
    loop {
        match Shards::list(&destination.connection, &destination.stream).await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                failures += 1;
                sleep(backoff::delay(failures, error.retry_after())).await;
            }
            Err(error) => return Err(Error::new(Reason::UnknownOutcome, error.to_string())),
            listed => return listed,
        }
    }
}
