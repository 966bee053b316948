//! Proposals from any node: they find the group's leader, and are tried again only while nothing was proposed.

mod lease_tables;
mod producers;

pub use lease_tables::{ExpiredTables, ExpiryTimes};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::RaftError;
use openraft::raft::linearizable_read::Linearizer;
use openraft::{EntryPayload, ReadPolicy};
use tidelog_proto::peer;
use tidelog_proto::stored::{self, MetadataBounds, Quotas};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{ProposeError, propose_error};
use super::leadership::leaders::{Leader, Leadership};
use super::metadata::META_GROUP;
use super::metadata::quotas;
use super::metadata::state::MetaOutcome;
use super::raft::{Rafts, messages};
use super::types::command::{self, LogCommand};
use super::types::outcome::Outcome;
use crate::cluster::peers::{Lane, Peers};
use crate::model::stream::Catalog;

/// How long a proposal looks for a leader that takes it, and then waits for its outcome.
const DEADLINE: Duration = Duration::from_secs(10);
/// Pause before a leader that refused is looked for again: elections take longer.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Proposes commands to the groups, wherever they are led, and waits until this node has applied something.
pub struct Proposals {
    rafts: Rafts,
    peers: Arc<Peers>,
    leadership: Arc<Leadership>,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// How large the metadata of the cluster may grow by commands of this node.
    bounds: MetadataBounds,
    quotas: Quotas,
}

impl Proposals {
    /// Proposals to these groups. Commands of the metadata go by these bounds and quotas, which they carry.
    pub fn new(
        (rafts, leadership): (Rafts, Arc<Leadership>),
        peers: Arc<Peers>,
        catalog: watch::Receiver<Arc<Catalog>>,
        (bounds, quotas): (MetadataBounds, Quotas),
    ) -> Self {
        Self { rafts, peers, leadership, catalog, bounds, quotas }
    }

    /// Proposes a metadata command; returns the outcome of applying it.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose_meta(
        &self,
        now_ms: u64,
        command: stored::meta_command::Command,
    ) -> Result<MetaOutcome, ProposeError> {
        let bounds = Some(self.bounds);
        let quotas = quotas::may_exceed(&command).then_some(self.quotas);
        let command = stored::MetaCommand { now_ms, command: Some(command), bounds, quotas };
        // A refusal takes no place in the log. Commands that pass together are judged again where they are applied.
        if let Err(exceeded) = quotas::check(&command, &self.catalog.borrow().clone()) {
            return Ok(MetaOutcome::QuotaExceeded(exceeded));
        }
        match self.propose(META_GROUP, LogCommand::Meta(Arc::new(command))).await? {
            Outcome::Meta(outcome) => Ok(outcome),
            other => panic!("a metadata command was answered with {other:?}"),
        }
    }

    /// Proposes a control command to a data group; returns the outcome of applying it.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose_data(
        &self,
        group: u8,
        command: stored::data_command::Command,
    ) -> Result<Outcome, ProposeError> {
        assert_ne!(group, META_GROUP, "a data command for the metadata group");
        let command = stored::DataCommand { command: Some(command) };
        self.propose(group, LogCommand::Data(Arc::new(command))).await
    }

    async fn propose(&self, group: u8, command: LogCommand) -> Result<Outcome, ProposeError> {
        let ends = Instant::now() + DEADLINE;
        loop {
            let proposing = async {
                match self.leadership.leader_within(group, ends).await {
                    Leader::Here => {
                        self.propose_here(group, command.clone()).await.map(|(outcome, _)| outcome)
                    }
                    Leader::At(node) => self.propose_at(node, group, &command, ends).await,
                    Leader::Unknown => Err(ProposeError::NotProposed),
                }
            };
            match timeout_at(ends, proposing).await {
                Ok(Err(ProposeError::NotProposed))
                    if Instant::now() + LOOK_AGAIN < ends && !self.leadership.is_over() =>
                {
                    sleep(LOOK_AGAIN).await;
                }
                Ok(outcome) => return outcome,
                Err(_) => return Err(ProposeError::Unknown),
            }
        }
    }

    /// Proposes to a group that is led here. Also says where in its log it stands.
    ///
    /// # Errors
    /// [`ProposeError::NotProposed`] when another node leads the group.
    pub async fn propose_here(&self, group: u8, command: LogCommand) -> Result<(Outcome, u64), ProposeError> {
        let proposing = self.rafts.of(group).client_write(command);
        match self.leadership.while_led_here(group, proposing).await {
            Some(Ok(response)) => Ok((response.data, response.log_id.index)),
            Some(Err(RaftError::APIError(error))) => Err(propose_error(&error)),
            Some(Err(RaftError::Fatal(_))) | None => Err(ProposeError::Unknown),
        }
    }

    async fn propose_at(
        &self,
        node: u64,
        group: u8,
        command: &LogCommand,
        ends: Instant,
    ) -> Result<Outcome, ProposeError> {
        let client = self.peers.client(node, Lane::Requests).await;
        let mut client = client.map_err(|_| ProposeError::NotProposed)?;
        let command: Bytes = command::encode(&EntryPayload::Normal(command.clone())).concat().into();
        let message = peer::ProposeRequest { group: group.into(), command };
        let deadline = ends.saturating_duration_since(Instant::now());
        let answer = client.propose(self.peers.request(node, message, Some(deadline))).await;
        let answer = answer.map_err(|status| refused_or_unknown(&status))?.into_inner();
        let (outcome, index) = messages::read_proposed(answer).unwrap_or_else(|error| {
            crate::log_at_most_once_a_second!(error, %error, "a peer's answer to a proposal is malformed; its outcome counts as unknown");
            Err(ProposeError::Unknown)
        })?;
        // The proposer reads its own change on this node, so the change must be applied here.
        self.applied(group, index, ends).await?;
        Ok(outcome)
    }

    /// Returns once this node has applied a group's log up to there.
    ///
    /// # Errors
    /// [`ProposeError::Unknown`] when it has not in time.
    pub async fn applied(&self, group: u8, index: u64, ends: Instant) -> Result<(), ProposeError> {
        let wait = ends.saturating_duration_since(Instant::now());
        let raft = self.rafts.of(group);
        let applied = raft.wait(Some(wait)).applied_index_at_least(Some(index), "what was proposed").await;
        applied.map(drop).map_err(|_| ProposeError::Unknown)
    }

    /// Returns once this node has applied everything of a group that was committed before the call: denials by its
    /// state are certain from then on.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time.
    pub async fn read_index(&self, group: u8) -> Result<(), ProposeError> {
        let ends = Instant::now() + DEADLINE;
        loop {
            let asking = async {
                match self.leadership.leader_within(group, ends).await {
                    Leader::Here => self.read_index_here(group).await,
                    Leader::At(node) => self.read_index_at(node, group).await,
                    Leader::Unknown => Err(ProposeError::NotProposed),
                }
            };
            match timeout_at(ends, asking).await {
                Ok(Ok(index)) => return self.applied(group, index, ends).await,
                Ok(Err(_)) if Instant::now() + LOOK_AGAIN < ends && !self.leadership.is_over() => {
                    sleep(LOOK_AGAIN).await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(ProposeError::Unknown),
            }
        }
    }

    /// The index that a read of a group that is led here has to wait for: a majority has just confirmed the leader.
    ///
    /// # Errors
    /// [`ProposeError::NotProposed`] when it is not led here.
    pub async fn read_index_here(&self, group: u8) -> Result<u64, ProposeError> {
        let raft = self.rafts.of(group);
        let linearizer: Result<Linearizer<_>, _> = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let linearizer = linearizer.map_err(|_| ProposeError::NotProposed)?;
        Ok(linearizer.read_log_id().log_id().index)
    }

    async fn read_index_at(&self, node: u64, group: u8) -> Result<u64, ProposeError> {
        let client = self.peers.client(node, Lane::Requests).await;
        let mut client = client.map_err(|_| ProposeError::NotProposed)?;
        let message = peer::ReadIndexRequest { group: group.into() };
        let answer = client.read_index(self.peers.request(node, message, Some(DEADLINE))).await;
        let answer = answer.map_err(|_| ProposeError::Unknown)?.into_inner();
        match messages::read_outcome(answer.outcome) {
            peer::Outcome::Applied => Ok(answer.index),
            _ => Err(ProposeError::NotProposed),
        }
    }
}

/// The outcome of a proposal whose call has failed. A peer that refuses the caller has looked no further.
pub fn refused_or_unknown(status: &tonic::Status) -> ProposeError {
    match status.code() {
        tonic::Code::PermissionDenied => ProposeError::NotProposed,
        _ => ProposeError::Unknown,
    }
}
