//! The framing against known messages, and against bytes that are none.

use super::*;

/// Names and texts.
type Headers = &'static [(&'static str, &'static str)];

/// Messages whose bytes are known from implementations of the framing: headers, payload, hexadecimal bytes.
const KNOWN: [(Headers, &str, &str); 3] = [
    (&[], "", "000000100000000005c248eb7d98c8ff"),
    (&[], "{'foo':'bar'}", "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"),
    (
        &[("content-type", "application/json")],
        "{'foo':'bar'}",
        "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a276261\
         72277d8d9c08b1",
    ),
];

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn decoded(bytes: impl Into<Bytes>) -> Result<Option<Message>, Malformed> {
    decode(&mut bytes.into())
}

/// `bytes` with the checksums that belong to them.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let prelude = crc32fast::hash(&bytes[..LENGTHS_BYTES]).to_be_bytes();
    bytes[LENGTHS_BYTES..PRELUDE_BYTES].copy_from_slice(&prelude);
    let end = bytes.len() - CHECKSUM_BYTES;
    let whole = crc32fast::hash(&bytes[..end]).to_be_bytes();
    bytes[end..].copy_from_slice(&whole);
    bytes
}

#[test]
fn known_messages_are_written_and_read() {
    for (headers, payload, hexadecimal) in KNOWN {
        assert_eq!(message(headers, payload.as_bytes()), bytes_of(hexadecimal), "{payload}");
        let read = decoded(bytes_of(hexadecimal)).unwrap().unwrap();
        let owned = headers.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        assert_eq!(read.headers, owned.collect::<Vec<_>>());
        assert_eq!(read.payload, payload);
    }
}

#[test]
fn events_and_exceptions_have_their_headers() {
    for (bytes, kind, name_header, name) in [
        (event("initial-response", b"{}"), "event", ":event-type", "initial-response"),
        (exception("AnyException", b"{}"), "exception", ":exception-type", "AnyException"),
    ] {
        let read = decoded(bytes).unwrap().unwrap();
        assert_eq!(read.header(":message-type"), Some(kind));
        assert_eq!(read.header(name_header), Some(name));
        assert_eq!(read.header(":content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!((read.headers.len(), &*read.payload), (3, &b"{}"[..]));
    }
}

#[test]
fn a_shared_part_changes_no_byte_of_the_message() {
    for (shared, runs) in [(0, 1), (1, 1), (JOINED_BYTES_MAX, 1), (JOINED_BYTES_MAX + 1, 3), (100_000, 3)] {
        let part = Part::new(vec![b'x'; shared]);
        let own = b"{\"a\":";
        let parts = event_sharing("SubscribeToShardEvent", own, &part);
        assert_eq!(parts.len(), runs);
        let whole = [&own[..], part.bytes()].concat();
        assert_eq!(parts.concat(), event("SubscribeToShardEvent", &whole), "{shared} bytes");
    }
}

#[test]
fn messages_are_taken_one_by_one_once_they_are_whole() {
    let (first, second) = (event("A", b"one"), event("B", b"two"));
    let both = [&*first, &*second].concat();
    for length in 0..first.len() {
        let mut cut = Bytes::copy_from_slice(&both[..length]);
        assert_eq!(decode(&mut cut), Ok(None), "{length}");
        assert_eq!(cut.len(), length);
    }
    let mut bytes = Bytes::from(both);
    for payload in ["one", "two"] {
        assert_eq!(decode(&mut bytes).unwrap().unwrap().payload, payload);
    }
    assert!(bytes.is_empty());
}

#[test]
fn every_changed_byte_is_noticed() {
    let sound = event("SubscribeToShardEvent", b"{\"Records\":[]}").to_vec();
    for position in 0..sound.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = sound.clone();
            changed[position] ^= flip;
            assert!(decoded(changed).is_err(), "byte {position}");
        }
    }
}

#[test]
fn malformed_messages_are_refused_even_with_right_checksums() {
    let lengths = |total: u32, headers: u32, rest: &[u8]| {
        let prelude = [total.to_be_bytes(), headers.to_be_bytes(), [0; 4]].concat();
        summed([prelude, rest.to_vec(), vec![0; 4]].concat())
    };
    let with_header = |header: &[u8]| lengths(16 + header.len() as u32, header.len() as u32, header);
    for (bytes, reason) in [
        (lengths(u32::MAX, 0, b""), "a length is above its bound"),
        (lengths(EVENT_MESSAGE_BYTES_MAX as u32 + 1, 0, b""), "a length is above its bound"),
        (lengths(16, HEADERS_BYTES_MAX as u32 + 1, b""), "a length is above its bound"),
        (lengths(15, 0, b""), "the headers are longer than the message"),
        (lengths(0, 0, b""), "the headers are longer than the message"),
        (lengths(20, 5, b"abcd"), "the headers are longer than the message"),
        (with_header(b"\x05a"), "a header is cut off"),
        (with_header(b"\x01a"), "a header is cut off"),
        (with_header(b"\x01a\x07\x00"), "a header is cut off"),
        (with_header(b"\x01a\x07\x00\x02b"), "a header is cut off"),
        (with_header(b"\x01a\x00"), "a header is not text"),
        (with_header(b"\x01\xff\x07\x00\x00"), "a header is not UTF-8"),
        (with_header(b"\x01a\x07\x00\x01\xff"), "a header is not UTF-8"),
    ] {
        assert_eq!(decoded(bytes.clone()), Err(Malformed(reason)), "{bytes:?}");
    }
    assert!(decoded(with_header(b"\x00\x07\x00\x00")).is_ok());
}
