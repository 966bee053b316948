//! AWS's framing of event streams (`application/vnd.amazon.eventstream`): messages with headers, each checked twice.
//!
//! ```text
//! total length  u32 ┐ prelude         headers, each: length of the name u8, name, kind u8 (7: text),
//! headers length u32┘                                length of the text u16, text
//! CRC-32 of the prelude u32           payload
//!                                     CRC-32 of all before it u32
//! ```
//! All numbers are big endian. A message may share a part of its payload with others ([`Part`]): that part is neither
//! copied nor summed again. The operation SubscribeToShard writes these messages; only tests read them.

use std::fmt;

use bytes::{Buf, Bytes};
use crc32fast::Hasher;

/// Content type of a body that is a stream of messages.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";
/// Bytes of one message; SDKs accept as many (their payload's bound is 16 MiB). The largest record fits as base64.
pub const EVENT_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of the headers of one message; SDKs accept as many.
pub const HEADERS_BYTES_MAX: usize = 128 << 10;

/// Total length and headers length.
const LENGTHS_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const PRELUDE_BYTES: usize = LENGTHS_BYTES + CHECKSUM_BYTES;
/// The kind of a header whose value is text.
const TEXT: u8 = 7;
/// Content type of every payload of Kinesis.
const PAYLOAD_TYPE: &str = "application/x-amz-json-1.1";
/// Shared parts up to this are copied: one run of bytes costs less than three on their way to the socket.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// A part of a payload that several messages carry, summed once.
#[derive(Clone, Debug)]
pub struct Part {
    bytes: Bytes,
    checksum: Hasher,
}

impl Part {
    /// Sums the bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mut checksum = Hasher::new();
        checksum.update(&bytes);
        Self { bytes, checksum }
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// An event of that type with a JSON payload, as one run of bytes.
pub fn event(event_type: &str, payload: &[u8]) -> Bytes {
    let headers = [(":message-type", "event"), (":event-type", event_type), (":content-type", PAYLOAD_TYPE)];
    message(&headers, payload)
}

/// An event whose payload is `own` and then the `shared` part, as runs of bytes to be sent one after the other.
pub fn event_sharing(event_type: &str, own: &[u8], shared: &Part) -> Vec<Bytes> {
    let headers = [(":message-type", "event"), (":event-type", event_type), (":content-type", PAYLOAD_TYPE)];
    let mut out = begin(&headers, own, shared.bytes.len());
    if shared.bytes.len() <= JOINED_BYTES_MAX {
        out.extend_from_slice(&shared.bytes);
        return vec![end(out)];
    }
    let mut checksum = Hasher::new();
    checksum.update(&out);
    checksum.combine(&shared.checksum);
    let last = Bytes::copy_from_slice(&checksum.finalize().to_be_bytes());
    vec![out.into(), shared.bytes.clone(), last]
}

/// The exception of that name with a JSON payload; it ends a stream.
pub fn exception(name: &str, payload: &[u8]) -> Bytes {
    let headers =
        [(":message-type", "exception"), (":exception-type", name), (":content-type", PAYLOAD_TYPE)];
    message(&headers, payload)
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    end(begin(headers, payload, 0))
}

/// Prelude, headers and `payload`, with room for `more` bytes of payload and the checksum.
///
/// # Panics
/// When a name is longer than 255 bytes, a text than 65,535 or the whole than 4 GiB: errors of the program.
fn begin(headers: &[(&str, &str)], payload: &[u8], more: usize) -> Vec<u8> {
    let headers_length: usize = headers.iter().map(|(name, text)| 4 + name.len() + text.len()).sum();
    let total = PRELUDE_BYTES + headers_length + payload.len() + more + CHECKSUM_BYTES;
    let joined = if more <= JOINED_BYTES_MAX { more } else { 0 };
    let mut out = Vec::with_capacity(total - more + joined);
    let length = |bytes: usize| u32::try_from(bytes).expect("a message is far below 4 GiB").to_be_bytes();
    out.extend_from_slice(&length(total));
    out.extend_from_slice(&length(headers_length));
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    for (name, text) in headers {
        out.push(u8::try_from(name.len()).expect("a header's name has at most 255 bytes"));
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        let length = u16::try_from(text.len()).expect("a header's text has at most 65,535 bytes");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(payload);
    out
}

fn end(mut out: Vec<u8>) -> Bytes {
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.into()
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names and texts, in order.
    pub headers: Vec<(String, String)>,
    /// The bytes behind the headers.
    pub payload: Bytes,
}

impl Message {
    /// The text of the header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str())
    }
}

/// Bytes that are no message, or none of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(
    /// The fault of the bytes.
    pub &'static str,
);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Takes the first message off `bytes`. `None`: its end has not arrived yet, and nothing was taken.
///
/// # Errors
/// [`Malformed`] as soon as it is certain, also while the rest is missing: lengths out of bounds, checksums that do
/// not match, headers that do not fill their room or are not text.
pub fn decode(bytes: &mut Bytes) -> Result<Option<Message>, Malformed> {
    if bytes.len() < PRELUDE_BYTES {
        return Ok(None);
    }
    let mut prelude = &bytes[..PRELUDE_BYTES];
    let (total, headers_length) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
    if prelude.get_u32() != crc32fast::hash(&bytes[..LENGTHS_BYTES]) {
        return Err(Malformed("the prelude's checksum does not match"));
    }
    if total > EVENT_MESSAGE_BYTES_MAX || headers_length > HEADERS_BYTES_MAX {
        return Err(Malformed("a length is above its bound"));
    }
    if total < PRELUDE_BYTES + headers_length + CHECKSUM_BYTES {
        return Err(Malformed("the headers are longer than the message"));
    }
    if bytes.len() < total {
        return Ok(None);
    }
    let summed = total - CHECKSUM_BYTES;
    let checksum = (&bytes[summed..total]).get_u32();
    if checksum != crc32fast::hash(&bytes[..summed]) {
        return Err(Malformed("the message's checksum does not match"));
    }
    let headers = read_headers(&bytes[PRELUDE_BYTES..PRELUDE_BYTES + headers_length])?;
    let payload = bytes.slice(PRELUDE_BYTES + headers_length..summed);
    bytes.advance(total);
    Ok(Some(Message { headers, payload }))
}

fn read_headers(mut bytes: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        headers.push(read_header(&mut bytes)?);
    }
    Ok(headers)
}

fn read_header(bytes: &mut &[u8]) -> Result<(String, String), Malformed> {
    let cut = Malformed("a header is cut off");
    let name_length = bytes.try_get_u8().map_err(|_| cut)?;
    let name = read_text(bytes, name_length.into())?;
    if bytes.try_get_u8().map_err(|_| cut)? != TEXT {
        return Err(Malformed("a header is not text"));
    }
    let length = bytes.try_get_u16().map_err(|_| cut)?;
    Ok((name, read_text(bytes, length.into())?))
}

fn read_text(bytes: &mut &[u8], length: usize) -> Result<String, Malformed> {
    let (text, rest) = bytes.split_at_checked(length).ok_or(Malformed("a header is cut off"))?;
    *bytes = rest;
    str::from_utf8(text).map(ToOwned::to_owned).map_err(|_| Malformed("a header is not UTF-8"))
}

#[cfg(test)]
mod tests;
