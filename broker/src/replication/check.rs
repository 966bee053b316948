//! Reads messages of peers without acting on them: fuzz targets call it with any bytes.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use tidelog_proto::peer::{
    AppendRequest, AppendResponse, ProposeRequest, ProposeResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};

use super::raft::messages;
use super::types::command;

/// Reads a message as one that a peer sends, of the kind that `kind` chooses, and returns whether a node takes it.
///
/// # Panics
/// When a message that is taken is sent with other contents than were read.
pub fn check_peer_message(kind: u8, body: Bytes) -> bool {
    match kind % 7 {
        0 => is_kept(body, append_request, |request| {
            let at: Vec<_> = request.entries.iter().map(|entry| (entry.term, entry.index)).collect();
            (request.group, request.vote, request.previous, request.committed, request.replicated_index, at)
        }),
        1 => is_kept(body, append_response, |answer| {
            (answer.result, answer.reluctance.clone(), answer.metadata_applied)
        }),
        2 => is_kept(body, vote_request, VoteRequest::clone),
        3 => is_kept(body, vote_response, VoteResponse::clone),
        4 => is_kept(body, transfer_request, TransferLeaderRequest::clone),
        5 => is_kept(body, proposed, |answer| (answer.outcome == 0).then_some(answer.index)),
        _ => is_kept(body, propose_request, |request| request.group),
    }
}

/// Whether the message is taken. One that is taken is sent with the same `members`, and as a message that is taken and
/// sent as the same.
fn is_kept<M: Message + Clone + Default + PartialEq + Debug, T: PartialEq + Debug>(
    body: Bytes,
    resent: impl Fn(M) -> Option<M>,
    members: impl Fn(&M) -> T,
) -> bool {
    let Ok(came) = M::decode(body) else { return false };
    let Some(sent) = resent(came.clone()) else { return false };
    assert_eq!(members(&sent), members(&came), "a message is sent as it came");
    let again = resent(sent.clone()).expect("a node takes what a node sends");
    assert_eq!(again, sent, "a message is read as it was sent");
    true
}

fn append_request(request: AppendRequest) -> Option<AppendRequest> {
    let (group, replicated) = (messages::group(request.group).ok()?, request.replicated_index);
    Some(messages::append_request(group, &messages::read_append_request(request).ok()?, replicated))
}

fn append_response(answer: AppendResponse) -> Option<AppendResponse> {
    let read = messages::append_response(&answer).ok()?;
    Some(messages::send_append_result(&read, answer.reluctance, answer.metadata_applied))
}

fn vote_request(request: VoteRequest) -> Option<VoteRequest> {
    let group = messages::group(request.group).ok()?;
    Some(messages::vote_request(group, &messages::read_vote_request(&request).ok()?))
}

fn vote_response(answer: VoteResponse) -> Option<VoteResponse> {
    Some(messages::send_vote_response(&messages::vote_response(answer).ok()?))
}

fn transfer_request(request: TransferLeaderRequest) -> Option<TransferLeaderRequest> {
    let group = messages::group(request.group).ok()?;
    Some(messages::transfer_request(group, &messages::read_transfer_request(&request).ok()?))
}

fn proposed(answer: ProposeResponse) -> Option<ProposeResponse> {
    Some(messages::send_proposed(messages::read_proposed(answer).ok()?))
}

fn propose_request(request: ProposeRequest) -> Option<ProposeRequest> {
    let group = messages::group(request.group).ok()?;
    let payload = command::decode(request.command).ok()?;
    Some(ProposeRequest { group: group.into(), command: command::encode(&payload).concat().into() })
}
