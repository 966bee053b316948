//! Messages of event streams.

use bytes::Bytes;
use tidelog_proto::event_stream::{self as codec, Message, Part};

use super::Numbers;

/// Bytes in front of a message's headers, and behind its payload.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// Characters of a name that are used; longer ones are errors of the program.
const NAME_LENGTH: usize = 64;

/// Event streams: any bytes are read without a panic and with progress, also when their checksums are right;
/// messages that are written are read back unchanged, whole and in pieces.
///
/// # Panics
/// When one of these does not hold.
pub fn event_stream(data: &[u8]) {
    read_all(Bytes::copy_from_slice(data));
    read_all(with_checksums(data));

    let mut numbers = Numbers(data);
    let at = numbers.next() as usize;
    let (name, payload) = numbers.0.split_at(at % (NAME_LENGTH + 1) % (numbers.0.len() + 1));
    let name = &*String::from_utf8_lossy(name);
    let (own, shared) = payload.split_at(at % (payload.len() + 1));
    let event = codec::event(name, payload);
    let sharing = codec::event_sharing(name, own, &Part::new(shared.to_vec())).concat();
    assert_eq!(event, sharing, "a shared payload makes the same message");
    let exception = codec::exception(name, payload);
    let cut = at % event.len();
    assert_eq!(codec::decode(&mut event.slice(..cut)), Ok(None), "a message is not there before its end");
    let mut both = Bytes::from([event, exception].concat());
    for (kind, header) in [("event", ":event-type"), ("exception", ":exception-type")] {
        let message = codec::decode(&mut both).expect("a message").expect("the whole of it");
        assert_eq!((message.header(":message-type"), message.header(header)), (Some(kind), Some(name)));
        assert_eq!(message.payload, payload);
    }
    assert!(both.is_empty(), "both messages were taken");
}

fn read_all(mut bytes: Bytes) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let before = bytes.len();
        match codec::decode(&mut bytes) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) | Err(_) => return messages,
        }
        assert!(bytes.len() < before, "a message takes bytes");
    }
}

/// The input as headers and payload of one message whose lengths and checksums are right, except that the first two
/// bytes say how long the headers are.
fn with_checksums(data: &[u8]) -> Bytes {
    let (head, rest) = data.split_at(data.len().min(2));
    let headers_length = head.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let total = (PRELUDE_BYTES + rest.len() + CHECKSUM_BYTES) as u32;
    let mut out = [total.to_be_bytes(), headers_length.to_be_bytes()].concat();
    out.extend_from_slice(&checksum(&out));
    out.extend_from_slice(rest);
    let last = checksum(&out);
    out.extend_from_slice(&last);
    out.into()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_be_bytes()
}
