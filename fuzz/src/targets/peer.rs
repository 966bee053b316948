//! Messages between nodes. An input is a byte with the kind of a message, and the message.

use bytes::Bytes;
use tidelog::replication::check_peer_message;
use tidelog::service::check_peer_put;

/// Messages of peers: votes, entries, answers, proposals and records are taken or refused without a panic, and a
/// message that is taken is sent again unchanged.
///
/// # Panics
/// When one of these does not hold.
pub fn peer(data: &[u8]) {
    is_taken(data);
}

/// Whether a node takes the message.
///
/// # Panics
/// As [`peer`].
pub fn is_taken(data: &[u8]) -> bool {
    let (kind, body) = data.split_first().unwrap_or((&0, &[]));
    let body = Bytes::copy_from_slice(body);
    match kind % 8 {
        7 => check_peer_put(body),
        kind => check_peer_message(kind, body),
    }
}
