//! openraft's requests and answers as `peer.proto` has them, and back.
//!
//! Messages of peers are checked: an answer that makes no sense is an error, never a guess.

use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::raft::TransferLeaderRequest;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, VoteRequest,
    VoteResponse,
};
use tidelog_proto::peer;
use tidelog_storage::wal::{GROUPS, LogPosition, Vote};

use crate::model::consumer_group::GroupRefusal;
use crate::replication::error::ProposeError;
use crate::replication::metadata::bounds::MetadataFull;
use crate::replication::metadata::quotas::{Quota, QuotaExceeded};
use crate::replication::metadata::state::MetaOutcome;
use crate::replication::metadata::stored::{read_status, store_status};
use crate::replication::types::command;
use crate::replication::types::config::{TypeConfig, log_id, position, raft_vote, stored_vote};
use crate::replication::types::outcome::{Outcome, TableAnswer};

/// A message that a peer of this version would not have sent.
#[derive(Debug, thiserror::Error)]
#[error("a peer sent {0}")]
pub struct Malformed(pub String);

fn missing(what: &str) -> Malformed {
    Malformed(format!("a message without {what}"))
}

/// The group that a message is about.
pub fn group(group: u32) -> Result<u8, Malformed> {
    u8::try_from(group)
        .ok()
        .filter(|group| usize::from(*group) < GROUPS)
        .ok_or_else(|| Malformed(format!("a message about group {group}")))
}

pub fn send_log_id(log_id: &LogIdOf<TypeConfig>) -> peer::LogId {
    let LogPosition { term, index } = position(log_id);
    peer::LogId { term, index }
}

pub fn read_log_id(message: &peer::LogId) -> LogIdOf<TypeConfig> {
    log_id(LogPosition { term: message.term, index: message.index })
}

pub fn send_vote(vote: &VoteOf<TypeConfig>) -> peer::Vote {
    let Vote { term, node, committed } = stored_vote(vote);
    peer::Vote { term, node, is_committed: committed }
}

/// Checks that the node that calls is the one whose vote the call carries: nobody leads or stands in another one's
/// name.
pub fn check_sender(caller: u64, vote: &VoteOf<TypeConfig>) -> Result<(), Malformed> {
    match stored_vote(vote).node {
        node if node == caller => Ok(()),
        node => Err(Malformed(format!("the vote of node {node} in a call of node {caller}"))),
    }
}

pub fn read_vote(message: Option<&peer::Vote>) -> Result<VoteOf<TypeConfig>, Malformed> {
    let message = message.ok_or_else(|| missing("a vote"))?;
    Ok(raft_vote(Vote { term: message.term, node: message.node, committed: message.is_committed }))
}

pub fn append_request(
    group: u8,
    request: &AppendEntriesRequest<TypeConfig>,
    replicated_index: u64,
) -> peer::AppendRequest {
    let entry = |entry: &EntryOf<TypeConfig>| {
        let LogPosition { term, index } = position(&entry.log_id);
        peer::Entry { term, index, parts: command::encode(&entry.payload) }
    };
    peer::AppendRequest {
        group: group.into(),
        vote: Some(send_vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(send_log_id),
        entries: request.entries.iter().map(entry).collect(),
        committed: request.leader_commit.as_ref().map(send_log_id),
        replicated_index,
        served_ms: 0,
        retention_ms: 0,
    }
}

pub fn read_append_request(
    message: peer::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let entry = |entry: peer::Entry| {
        let at = log_id(LogPosition { term: entry.term, index: entry.index });
        Ok(EntryOf::<TypeConfig>::new(at, command::decode_parts(entry.parts).map_err(Malformed)?))
    };
    Ok(AppendEntriesRequest {
        vote: read_vote(message.vote.as_ref())?,
        prev_log_id: message.previous.as_ref().map(read_log_id),
        entries: message.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: message.committed.as_ref().map(read_log_id),
    })
}

pub fn send_append_result(
    result: &StreamAppendResult<TypeConfig>,
    reluctance: String,
    metadata_applied: u64,
) -> peer::AppendResponse {
    use peer::append_response::Result as Answer;
    let result = match result {
        Ok(through) => Answer::Accepted(peer::Accepted { through: through.as_ref().map(send_log_id) }),
        Err(StreamAppendError::Conflict(at)) => Answer::Conflict(send_log_id(at)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(send_vote(vote)),
    };
    peer::AppendResponse { result: Some(result), reluctance, metadata_applied, ..Default::default() }
}

pub fn append_response(message: &peer::AppendResponse) -> Result<StreamAppendResult<TypeConfig>, Malformed> {
    use peer::append_response::Result as Answer;
    Ok(match message.result.as_ref().ok_or_else(|| missing("a result"))? {
        Answer::Accepted(accepted) => Ok(accepted.through.as_ref().map(read_log_id)),
        Answer::Conflict(at) => Err(StreamAppendError::Conflict(read_log_id(at))),
        Answer::HigherVote(vote) => Err(StreamAppendError::HigherVote(read_vote(Some(vote))?)),
    })
}

/// The answer to a request that was not one of a stream.
pub fn one_append_response(result: &StreamAppendResult<TypeConfig>) -> AppendEntriesResponse<TypeConfig> {
    match result {
        Ok(_) => AppendEntriesResponse::Success,
        Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
        Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(*vote),
    }
}

pub fn vote_request(group: u8, request: &VoteRequest<TypeConfig>) -> peer::VoteRequest {
    peer::VoteRequest {
        group: group.into(),
        vote: Some(send_vote(&request.vote)),
        last: request.last_log_id.as_ref().map(send_log_id),
        is_transfer: request.leadership_transfer,
    }
}

pub fn read_vote_request(message: &peer::VoteRequest) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let mut request =
        VoteRequest::new(read_vote(message.vote.as_ref())?, message.last.as_ref().map(read_log_id));
    request.leadership_transfer = message.is_transfer;
    Ok(request)
}

pub fn send_vote_response(response: &VoteResponse<TypeConfig>) -> peer::VoteResponse {
    peer::VoteResponse {
        vote: Some(send_vote(&response.vote)),
        is_granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(send_log_id),
    }
}

pub fn vote_response(message: peer::VoteResponse) -> Result<VoteResponse<TypeConfig>, Malformed> {
    let vote = read_vote(message.vote.as_ref())?;
    Ok(VoteResponse::new(vote, message.last.as_ref().map(read_log_id), message.is_granted))
}

pub fn transfer_request(
    group: u8,
    request: &TransferLeaderRequest<TypeConfig>,
) -> peer::TransferLeaderRequest {
    peer::TransferLeaderRequest {
        group: group.into(),
        from: Some(send_vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(send_log_id),
    }
}

pub fn read_transfer_request(
    message: &peer::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, Malformed> {
    let from = read_vote(message.from.as_ref())?;
    Ok(TransferLeaderRequest::new(from, message.to, message.last.as_ref().map(read_log_id)))
}

/// The outcome that a peer gets for a proposal without an answer.
pub fn outcome(error: ProposeError) -> peer::Outcome {
    match error {
        ProposeError::NotProposed => peer::Outcome::NotProposed,
        ProposeError::Unknown => peer::Outcome::Unknown,
    }
}

/// The outcome that a peer tells. A number that this version does not know may stand for anything.
pub fn read_outcome(number: i32) -> peer::Outcome {
    peer::Outcome::try_from(number).unwrap_or(peer::Outcome::Unknown)
}

pub fn send_proposed(proposed: Result<(Outcome, u64), ProposeError>) -> peer::ProposeResponse {
    use peer::propose_response::Answer;
    let (outcome, index) = match proposed {
        Ok(applied) => applied,
        Err(error) => {
            return peer::ProposeResponse { outcome: outcome(error).into(), ..Default::default() };
        }
    };
    let answer = match outcome {
        Outcome::Done => Answer::Done(peer::Done {}),
        Outcome::Sealed(ends) => {
            let end = |(shard, ordinal)| peer::sealed::End { shard, ordinal };
            Answer::Sealed(peer::Sealed { ends: ends.into_iter().map(end).collect() })
        }
        Outcome::Meta(outcome) => Answer::Meta(send_meta(outcome)),
        Outcome::Table(TableAnswer { status, body }) => {
            Answer::Table(peer::TableAnswer { status: status.into(), body })
        }
        Outcome::Appended(_) => panic!("records are no control command"),
    };
    peer::ProposeResponse { outcome: peer::Outcome::Applied.into(), answer: Some(answer), index }
}

pub fn read_proposed(
    message: peer::ProposeResponse,
) -> Result<Result<(Outcome, u64), ProposeError>, Malformed> {
    use peer::propose_response::Answer;
    match read_outcome(message.outcome) {
        peer::Outcome::NotProposed => return Ok(Err(ProposeError::NotProposed)),
        peer::Outcome::Unknown => return Ok(Err(ProposeError::Unknown)),
        peer::Outcome::Applied => {}
    }
    let outcome = match message.answer.ok_or_else(|| missing("an answer"))? {
        Answer::Done(_) => Outcome::Done,
        Answer::Sealed(sealed) => {
            Outcome::Sealed(sealed.ends.iter().map(|end| (end.shard, end.ordinal)).collect())
        }
        Answer::Meta(answer) => Outcome::Meta(read_meta(answer)?),
        Answer::Table(peer::TableAnswer { status, body }) => {
            let status = u16::try_from(status).map_err(|_| Malformed(format!("a status of {status}")))?;
            Outcome::Table(TableAnswer { status, body })
        }
    };
    Ok(Ok((outcome, message.index)))
}

fn send_meta(outcome: MetaOutcome) -> peer::MetaAnswer {
    use peer::meta_answer::Kind;
    let (mut shards, mut quota) = (Vec::new(), None);
    let (kind, value) = match outcome {
        MetaOutcome::Done => (Kind::Done, 0),
        MetaOutcome::Created(uid) => (Kind::Created, uid),
        MetaOutcome::NameTaken => (Kind::NameTaken, 0),
        MetaOutcome::NoSuchStream => (Kind::NoSuchStream, 0),
        MetaOutcome::NoSuchConsumer => (Kind::NoSuchConsumer, 0),
        MetaOutcome::NotActive(status) => (Kind::NotActive, store_status(status) as u64),
        MetaOutcome::NoSuchShard(shard) => (Kind::NoSuchShard, shard.into()),
        MetaOutcome::GroupRefused(refusal) => (send_refusal(refusal), 0),
        MetaOutcome::LifeRefused => (Kind::LifeRefused, 0),
        MetaOutcome::Full(MetadataFull::Streams(bound)) => (Kind::TooManyStreams, bound),
        MetaOutcome::Full(MetadataFull::Shards(bound)) => (Kind::TooManyShards, bound),
        MetaOutcome::Full(MetadataFull::Bytes(bound)) => (Kind::TooManyBytes, bound),
        MetaOutcome::Full(MetadataFull::Share(bound)) => (Kind::ShareTaken, bound),
        MetaOutcome::Overtaken => (Kind::Overtaken, 0),
        MetaOutcome::QuotaExceeded(exceeded) => {
            quota = Some(send_quota(exceeded));
            (Kind::QuotaExceeded, 0)
        }
        MetaOutcome::LeasesLost(lost) => {
            shards = lost;
            (Kind::LeasesLost, 0)
        }
    };
    peer::MetaAnswer { kind: kind.into(), value, shards, quota }
}

fn send_quota(exceeded: QuotaExceeded) -> peer::QuotaExceeded {
    use peer::quota_exceeded::Quota as Sent;
    let quota = match exceeded.quota {
        Quota::ShardsPerChange => Sent::ShardsPerChange,
        Quota::Shards => Sent::Shards,
        Quota::CreatingStreams => Sent::CreatingStreams,
        Quota::OnDemandStreams => Sent::OnDemandStreams,
        Quota::ShardCountUpdates => Sent::ShardCountUpdates,
        Quota::ModeSwitches => Sent::ModeSwitches,
        Quota::CreatingConsumers => Sent::CreatingConsumers,
        Quota::Consumers => Sent::Consumers,
        Quota::Tags => Sent::Tags,
    };
    let QuotaExceeded { limit, present, additional, .. } = exceeded;
    peer::QuotaExceeded { quota: quota.into(), limit, present, additional }
}

fn read_quota(message: Option<peer::QuotaExceeded>) -> Result<QuotaExceeded, Malformed> {
    use peer::quota_exceeded::Quota as Sent;
    let message = message.ok_or_else(|| missing("a quota"))?;
    let quota = match message.quota() {
        Sent::Unknown => return Err(missing("a known quota")),
        Sent::ShardsPerChange => Quota::ShardsPerChange,
        Sent::Shards => Quota::Shards,
        Sent::CreatingStreams => Quota::CreatingStreams,
        Sent::OnDemandStreams => Quota::OnDemandStreams,
        Sent::ShardCountUpdates => Quota::ShardCountUpdates,
        Sent::ModeSwitches => Quota::ModeSwitches,
        Sent::CreatingConsumers => Quota::CreatingConsumers,
        Sent::Consumers => Quota::Consumers,
        Sent::Tags => Quota::Tags,
    };
    let peer::QuotaExceeded { limit, present, additional, .. } = message;
    Ok(QuotaExceeded { quota, limit, present, additional })
}

fn send_refusal(refusal: GroupRefusal) -> peer::meta_answer::Kind {
    use peer::meta_answer::Kind;
    match refusal {
        GroupRefusal::NoSuchGroup => Kind::NoSuchGroup,
        GroupRefusal::MemberUnknown => Kind::MemberUnknown,
        GroupRefusal::HasMembers => Kind::GroupHasMembers,
        GroupRefusal::TooManyGroups => Kind::TooManyGroups,
        GroupRefusal::TooManyMembers => Kind::TooManyMembers,
    }
}

fn read_meta(message: peer::MetaAnswer) -> Result<MetaOutcome, Malformed> {
    use peer::meta_answer::Kind;
    let out_of_range = || Malformed(format!("an answer with the value {}", message.value));
    let kind = Kind::try_from(message.kind)
        .map_err(|_| Malformed(format!("an answer of the unknown kind {}", message.kind)))?;
    Ok(match kind {
        Kind::Done => MetaOutcome::Done,
        Kind::Created => MetaOutcome::Created(message.value),
        Kind::NameTaken => MetaOutcome::NameTaken,
        Kind::NoSuchStream => MetaOutcome::NoSuchStream,
        Kind::NoSuchConsumer => MetaOutcome::NoSuchConsumer,
        Kind::NotActive => {
            let status = i32::try_from(message.value).map_err(|_| out_of_range())?;
            MetaOutcome::NotActive(read_status(status).map_err(Malformed)?)
        }
        Kind::NoSuchShard => {
            MetaOutcome::NoSuchShard(u32::try_from(message.value).map_err(|_| out_of_range())?)
        }
        Kind::NoSuchGroup => MetaOutcome::GroupRefused(GroupRefusal::NoSuchGroup),
        Kind::MemberUnknown => MetaOutcome::GroupRefused(GroupRefusal::MemberUnknown),
        Kind::GroupHasMembers => MetaOutcome::GroupRefused(GroupRefusal::HasMembers),
        Kind::TooManyGroups => MetaOutcome::GroupRefused(GroupRefusal::TooManyGroups),
        Kind::TooManyMembers => MetaOutcome::GroupRefused(GroupRefusal::TooManyMembers),
        Kind::LifeRefused => MetaOutcome::LifeRefused,
        Kind::LeasesLost => MetaOutcome::LeasesLost(message.shards),
        Kind::QuotaExceeded => MetaOutcome::QuotaExceeded(read_quota(message.quota)?),
        Kind::Overtaken => MetaOutcome::Overtaken,
        Kind::TooManyStreams => MetaOutcome::Full(MetadataFull::Streams(message.value)),
        Kind::TooManyShards => MetaOutcome::Full(MetadataFull::Shards(message.value)),
        Kind::TooManyBytes => MetaOutcome::Full(MetadataFull::Bytes(message.value)),
        Kind::ShareTaken => MetaOutcome::Full(MetadataFull::Share(message.value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_newer_version_are_no_success() {
        use peer::propose_response::Answer;
        let done = peer::ProposeResponse { answer: Some(Answer::Done(peer::Done {})), ..Default::default() };
        assert!(matches!(read_proposed(done.clone()), Ok(Ok((Outcome::Done, 0)))));
        let newer = peer::ProposeResponse { outcome: 99, ..done };
        assert!(matches!(read_proposed(newer), Ok(Err(ProposeError::Unknown))));
        let newer = Answer::Meta(peer::MetaAnswer { kind: 99, ..Default::default() });
        assert!(read_proposed(peer::ProposeResponse { answer: Some(newer), ..Default::default() }).is_err());
    }
}
