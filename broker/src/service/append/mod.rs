//! The path of a put: from a request's records to the ordinals of their shards.
//!
//! 1. [`prepare`] routes, charges and encodes the records: into sub-batches, one per shard, and parts, one per group.
//! 2. Each part goes to the node that proposes it: into the queue of the group where this node leads it, otherwise to
//!    the leader ([`forward`], over a [`put_link`]), which takes it by [`receive`]. All parts go at the same time.
//! 3. Each part has one outcome ([`outcomes`]). Records that were certainly not proposed, because a shard was sealed or
//!    the leader of a group has just changed, are sent again; records that may have been proposed are not.
//!
//! A [`session`] keeps the order of one caller's puts. This is the hot path: allocations are per request and per shard.

pub mod forward;
pub mod messages;
pub mod outcomes;
pub mod prepare;
pub mod put_link;
pub mod receive;
pub mod refusal;
pub mod session;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, join_all};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::model::producer::Stamp;
use crate::model::producers::ProducerRefusal;
use crate::model::stream::Stream;
use crate::replication::{AppendOutcome, Groups};
use crate::service::limits::Accounting;
use outcomes::{PartError, Results, Retries, SentRecords, refuse, settle_part};
use prepare::{ChargeStatus, GroupPart, Proposer};
use put_link::PutLinks;
use refusal::PutGate;

/// How long a put waits for its outcome before the client gets an unknown outcome. A put that waits at a leader
/// which has lost its majority gets it sooner.
const OUTCOME_DEADLINE: Duration = Duration::from_secs(10);

/// A record on its way in, already validated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewRecord<'a> {
    /// MD5 of the partition key, or the explicit hash key.
    pub hash_key: u128,
    /// 1 to 256 characters.
    pub partition_key: Option<&'a str>,
    /// The data.
    pub data: Payload<'a>,
}

/// A record's data as the codec left it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// Standard base64 with padding, checked.
    Base64 {
        /// The text.
        text: &'a str,
        /// Bytes it decodes to.
        decoded_len: usize,
    },
    /// The bytes themselves.
    Raw(&'a [u8]),
}

impl Payload<'_> {
    /// Bytes of data.
    pub fn len(&self) -> usize {
        match self {
            Self::Base64 { decoded_len, .. } => *decoded_len,
            Self::Raw(bytes) => bytes.len(),
        }
    }

    /// True for no data at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl NewRecord<'_> {
    pub(super) fn key(&self) -> &[u8] {
        self.partition_key.unwrap_or_default().as_bytes()
    }

    /// Bytes that limits count: data and key.
    pub(super) fn bytes(&self) -> usize {
        self.data.len() + self.key().len()
    }
}

/// The position of a stored record; enough for its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedRecord {
    /// The shard's index.
    pub shard: u32,
    /// The shard's creation second.
    pub created_s: u64,
    /// The record's ordinal in the shard.
    pub ordinal: u64,
    /// Arrival, milliseconds since the epoch.
    pub time_ms: u64,
}

/// Why a record has no sequence number. After [`Self::Unknown`] this attempt may have stored it, after every other
/// failure it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFailure {
    /// The shard's write limit is exceeded; nothing was written.
    Throttled {
        /// The shard's index.
        shard: u32,
    },
    /// The record may have been written or not.
    Unknown,
    /// The record was not written; the same request may succeed later.
    Unavailable,
    /// The record was not written: its producer has settled the batch, and the shard has forgotten it. Only with a
    /// stamp.
    ProducerStale,
    /// The record was not written: its shard has no room to remember the batch. Only with a stamp.
    ProducerTableFull,
}

impl From<ProducerRefusal> for AppendFailure {
    fn from(refusal: ProducerRefusal) -> Self {
        match refusal {
            ProducerRefusal::Stale => Self::ProducerStale,
            ProducerRefusal::TableFull => Self::ProducerTableFull,
        }
    }
}

/// Appends records to shards, whichever nodes lead their groups.
pub struct Appender {
    groups: Arc<Groups>,
    accounts: Arc<Accounting>,
    gate: PutGate,
    /// Bytes of records on their way to the leaders of other groups.
    forwarding: Arc<Semaphore>,
    /// Bytes of records that came from other nodes, until they are answered.
    received: Arc<Semaphore>,
    /// The streams of puts to the other nodes.
    put_links: PutLinks,
}

impl Appender {
    /// Appends to the shards of these groups.
    pub fn new(groups: Arc<Groups>, accounts: Arc<Accounting>) -> Self {
        let sizes = groups.sizes();
        let [forwarding, received] = [sizes.forwarded_bytes_max, sizes.received_bytes_max]
            .map(|bytes_max| Arc::new(Semaphore::new(bytes_max)));
        let gate = PutGate::new(groups.clone());
        Self { groups, accounts, gate, forwarding, received, put_links: PutLinks::default() }
    }

    /// The gate that decides whether records are taken.
    pub fn gate(&self) -> &PutGate {
        &self.gate
    }

    /// Appends records, in order per shard. One result per record; it never fails as a whole. Records whose shard is
    /// sealed meanwhile wait for its children and go there.
    ///
    /// With a `stamp` the records are a producer's whole batch. Records that an earlier attempt has written are
    /// answered with their first sequence numbers, and the records of one shard are written together or not at all.
    /// Each attempt is charged.
    pub async fn append(
        &self,
        stream: &Stream,
        records: &[NewRecord<'_>],
        stamp: Option<&Stamp>,
    ) -> Vec<Result<AppendedRecord, AppendFailure>> {
        let (parts, mut results) = self.prepare_all(stream, records, stamp);
        let deadline = outcome_deadline();
        let retries = self.send(parts, deadline, &mut results).await;
        self.send_again(stream.uid, records, stamp, retries, deadline, &mut results).await;
        results
    }

    /// Prepares all records of a request: routes, charges and encodes them. Records that are refused have their
    /// results.
    pub(super) fn prepare_all(
        &self,
        stream: &Stream,
        records: &[NewRecord<'_>],
        stamp: Option<&Stamp>,
    ) -> (Vec<GroupPart>, Vec<Result<AppendedRecord, AppendFailure>>) {
        let mut results = vec![Err(AppendFailure::Unavailable); records.len()];
        let all = 0..records.len() as u32;
        let parts = self.prepare(stream, records, all, stamp, ChargeStatus::Due, &mut results);
        (parts, results)
    }

    /// Sends the retries again, until none is left.
    pub(super) async fn send_again(
        &self,
        uid: u64,
        records: &[NewRecord<'_>],
        stamp: Option<&Stamp>,
        mut retries: Retries,
        deadline: Instant,
        results: &mut Results,
    ) {
        while !retries.is_empty() {
            let Some(stream) = self.successor(uid, &retries.sealed, deadline).await else {
                refuse(results, retries.sent(), AppendFailure::Unavailable);
                break;
            };
            let parts = self.prepare(&stream, records, retries.records(), stamp, ChargeStatus::Done, results);
            retries = self.send(parts, deadline, results).await;
        }
    }

    /// Sends parts to their groups and notes their outcomes. Returns the records that have to be sent again.
    pub(super) async fn send(
        &self,
        mut parts: Vec<GroupPart>,
        deadline: Instant,
        results: &mut Results,
    ) -> Retries {
        let is_remote = |part: &mut GroupPart| part.proposer == Proposer::Leader;
        let remote: Vec<GroupPart> = parts.extract_if(.., is_remote).collect();
        let forwarding = join_all(remote.into_iter().map(|part| self.forward(part, deadline).boxed()));
        let proposing = async { join_all(self.queue(parts, deadline).await).await };
        let (proposed, forwarded) = tokio::join!(proposing, forwarding);
        let mut retries = Retries::default();
        for (outcome, sent) in proposed {
            settle_part(results, outcome, sent, &mut retries);
        }
        for (outcome, sent) in forwarded {
            settle_part(results, outcome, sent, &mut retries);
        }
        retries
    }

    /// Queues parts at their groups, which this node leads. Returns the futures of their outcomes.
    pub(super) async fn queue(
        &self,
        parts: Vec<GroupPart>,
        deadline: Instant,
    ) -> Vec<impl Future<Output = (Result<Vec<AppendOutcome>, PartError>, Vec<SentRecords>)> + use<'_>> {
        let mut queued = Vec::with_capacity(parts.len());
        for GroupPart { group, batches, sent, .. } in parts {
            let queueing = self.groups.appends().append(group, batches);
            let answer = timeout_at(deadline, self.groups.leadership().while_led_here(group, queueing)).await;
            queued.push(async move {
                let answer = match answer {
                    Ok(Some(answer)) => answer,
                    Ok(None) => return (Err(PartError::NoLeader), sent),
                    Err(_) => return (Err(PartError::NoRoom), sent),
                };
                let answered =
                    timeout_at(deadline, self.groups.leadership().while_led_here(group, answer)).await;
                let outcome = match answered {
                    Ok(Some(Ok(outcome))) => outcome.map_err(PartError::from),
                    // The deadline has passed, another node leads the group now, or the group has stopped.
                    Err(_) | Ok(None | Some(Err(_))) => Err(PartError::Unknown),
                };
                (outcome, sent)
            });
        }
        queued
    }

    /// The stream once these sealed shards are closed and their children are in the catalog; `None` when the stream is
    /// gone or the deadline has passed.
    async fn successor(&self, uid: u64, sealed: &[SentRecords], deadline: Instant) -> Option<Arc<Stream>> {
        let is_closed = |stream: &Stream| {
            let is_open = |index| stream.shard(index).is_some_and(|shard| shard.closed_ms.is_none());
            !sealed.iter().any(|sent| is_open(sent.shard))
        };
        let mut catalogs = self.groups.watch_catalog();
        let closed = catalogs.wait_for(|catalog| catalog.by_uid(uid).is_none_or(|stream| is_closed(stream)));
        let catalog = timeout_at(deadline, closed).await.ok()?.ok()?;
        catalog.by_uid(uid).cloned()
    }
}

pub(super) fn outcome_deadline() -> Instant {
    Instant::now() + OUTCOME_DEADLINE
}
