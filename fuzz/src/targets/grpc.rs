//! Bodies of gRPC calls. An input is a byte with the size of the body's frames, and the body.

use bytes::Bytes;
use tidelog::wire::grpc::check;

/// Bodies of Put and PutStream: the messages are the same however the body is cut into frames, none is lost or
/// longer than its bytes, and the counter of records counts as many as decoding gives.
///
/// # Panics
/// When one of these does not hold.
pub fn grpc(data: &[u8]) {
    let (frame_bytes, body) = data.split_first().unwrap_or((&0, &[]));
    let body = Bytes::copy_from_slice(body);
    let frames = body.chunks(usize::from(*frame_bytes) + 1).map(Bytes::copy_from_slice);
    let in_parts = check::messages(frames);
    let (messages, is_complete) = check::messages([body.clone()]);
    assert_eq!(in_parts, (messages.clone(), is_complete), "messages do not depend on frames");
    let taken: Vec<u8> = messages.iter().flat_map(framed).collect();
    assert!(body.starts_with(&taken), "messages are those of the body");
    assert!(!is_complete || taken.len() == body.len(), "the body ends behind its last message");
    check::count_and_read(&body);
    messages.iter().for_each(check::count_and_read);
}

/// A message behind the flag of a plain one, and its length.
fn framed(message: &Bytes) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("an input is short");
    [&[0], &length.to_be_bytes()[..], message].concat()
}
