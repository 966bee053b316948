//! Records for groups that other nodes lead: this node, which took the request, sends them as encoded sub-batches to
//! the leader, which dates and proposes them, and charges those that were not charged before.
//!
//! If a leader did not propose the records, this node retries with the next leader, for up to [`LEADERLESS`]. Any other
//! failure leaves an unknown outcome. Memory is bounded by
//! [`Sizes::forwarded_bytes_max`](crate::replication::Sizes).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Appender;
use super::messages::{read_response, send_part};
use super::outcomes::{BatchOutcome, PartError, SentRecords};
use super::prepare::GroupPart;
use super::put_link::ForwardingShare;
use crate::cluster::peers::{Client, Lane};
use crate::replication::Leader;

/// How long a group may be without a leader that takes records before they are refused: an election takes a second
/// or two, and a client on the side of a minority has an answer in time.
const LEADERLESS: Duration = Duration::from_secs(5);
/// Pause before a leader is asked again, unless there is another one.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Appender {
    /// Sends a part to the leader of its group. Returns one outcome per sub-batch, and the part's records.
    pub(in crate::service) async fn forward(
        &self,
        part: GroupPart,
        deadline: Instant,
    ) -> (Result<Vec<BatchOutcome>, PartError>, Vec<SentRecords>) {
        let share = self.forwarding_share([&part], deadline).await;
        let outcome = match share {
            Some(share) => self.deliver(&part, &share, deadline).await,
            None => Err(PartError::NoRoom),
        };
        (outcome, part.sent)
    }

    /// A share of the memory for these parts; `None` if there is none in time.
    pub(in crate::service) async fn forwarding_share<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a GroupPart>,
        deadline: Instant,
    ) -> Option<ForwardingShare> {
        let batches = parts.into_iter().flat_map(|part| &part.batches);
        let bytes_max = self.groups.sizes().forwarded_bytes_max;
        let bytes = batches.map(|batch| batch.body.len()).sum::<usize>().min(bytes_max);
        let share = self.forwarding.clone().acquire_many_owned(bytes as u32);
        Some(Arc::new(timeout_at(deadline, share).await.ok()?.ok()?))
    }

    async fn deliver(
        &self,
        part: &GroupPart,
        share: &ForwardingShare,
        deadline: Instant,
    ) -> Result<Vec<BatchOutcome>, PartError> {
        let ends = deadline.min(Instant::now() + LEADERLESS);
        loop {
            let leader = self.groups.leadership().leader_within(part.group, ends).await;
            let tried = match leader {
                Leader::Here => {
                    let receiving = self.receive(part.group, part.batches.clone(), part.is_charged, None);
                    timeout_at(deadline, receiving).await.unwrap_or(Err(PartError::Unknown))
                }
                Leader::At(node) => {
                    let client =
                        self.groups.leadership().client_while_leading(node, part.group, Lane::Requests);
                    match timeout_at(ends, client).await {
                        Ok(Some(client)) => self.deliver_to((node, client), part, share, deadline).await,
                        _ => Err(PartError::NotProposed),
                    }
                }
                Leader::Unknown => return Err(PartError::NoLeader),
            };
            match tried {
                Err(PartError::NotProposed) if Instant::now() + LOOK_AGAIN < ends => {
                    self.other_leader(part.group, leader).await;
                }
                Err(PartError::NotProposed) => return Err(PartError::NoLeader),
                tried => return tried,
            }
        }
    }

    /// Waits until this node learns of another leader than the one that did not take a part, at most [`LOOK_AGAIN`]:
    /// the same node may still be the leader.
    async fn other_leader(&self, group: u8, tried: Leader) {
        let mut leaders = self.groups.leadership().watch_leaders();
        let other = leaders.wait_for(|leaders| leaders[usize::from(group)] != tried);
        // An error means that the groups have ended, which the next look for a leader finds.
        let _ = timeout(LOOK_AGAIN, other).await;
    }

    async fn deliver_to(
        &self,
        leader: (u64, Client),
        part: &GroupPart,
        share: &ForwardingShare,
        deadline: Instant,
    ) -> Result<Vec<BatchOutcome>, PartError> {
        let put = send_part(part, deadline);
        let carried = self.put_links.send(self.groups.peers(), leader, put, share.clone());
        let answer = timeout_at(deadline, carried).await.unwrap_or(Err(PartError::Unknown))?;
        read_response(answer, &part.batches)
    }
}
