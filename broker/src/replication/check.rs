//! Reads what peers send without acting on it: fuzz targets call it with any bytes.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use tidelog_proto::peer::{
    AppendRequest, AppendResponse, ProposeRequest, ProposeResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};

use super::{command, peer_messages as messages};

/// Reads a message as one that a peer sends, of the kind that `kind` chooses, and returns whether a node takes it.
///
/// # Panics
/// When a message that is taken is not sent as what was read.
pub fn check_peer_message(kind: u8, body: Bytes) -> bool {
    match kind % 7 {
        0 => is_stable(body, |request: AppendRequest| {
            let (group, held) = (messages::group(request.group).ok()?, request.held);
            let read = messages::read_append_request(request).ok()?;
            Some(messages::append_request(group, &read, held))
        }),
        1 => is_stable(body, |answer: AppendResponse| {
            let read = messages::append_response(&answer).ok()?;
            Some(messages::send_append_result(&read, answer.reluctance, answer.metadata_applied))
        }),
        2 => is_stable(body, |request: VoteRequest| {
            let group = messages::group(request.group).ok()?;
            Some(messages::vote_request(group, &messages::read_vote_request(&request).ok()?))
        }),
        3 => is_stable(body, |answer: VoteResponse| {
            Some(messages::send_vote_response(&messages::vote_response(answer).ok()?))
        }),
        4 => is_stable(body, |request: TransferLeaderRequest| {
            let group = messages::group(request.group).ok()?;
            Some(messages::transfer_request(group, &messages::read_transfer_request(&request).ok()?))
        }),
        5 => is_stable(body, |answer: ProposeResponse| {
            Some(messages::send_proposed(messages::read_proposed(answer).ok()?))
        }),
        _ => is_stable(body, |request: ProposeRequest| {
            let (group, payload) =
                (messages::group(request.group).ok()?, command::decode(request.command).ok()?);
            Some(ProposeRequest { group: group.into(), command: command::encode(&payload).concat().into() })
        }),
    }
}

/// Whether the message is taken. One that is taken is sent as a message that is taken as the same.
fn is_stable<M: Message + Clone + Default + PartialEq + Debug>(
    body: Bytes,
    resent: impl Fn(M) -> Option<M>,
) -> bool {
    let Some(sent) = M::decode(body).ok().and_then(&resent) else { return false };
    let again = resent(sent.clone()).expect("a node takes what a node sends");
    assert_eq!(again, sent, "a message is read as it was sent");
    true
}
