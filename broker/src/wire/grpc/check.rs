//! Reads the bodies of gRPC calls without carrying them out: fuzz targets call it with any bytes.

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use tidelog_proto::v1::{PutRequest, PutStreamRequest};

use super::framing::MessageReader;
use super::put;

/// The messages of a body that comes in these frames, and whether it ends there: if not, the body is refused.
///
/// # Panics
/// When the reader waits for more than the whole body.
pub fn messages(frames: impl IntoIterator<Item = Bytes>) -> (Vec<Bytes>, bool) {
    let frames = frames.into_iter().map(|frame| Ok(Frame::data(frame)));
    let mut reader = MessageReader::new(StreamBody::new(stream::iter(frames)));
    let mut messages = Vec::new();
    loop {
        match reader.next().now_or_never().expect("every frame is there") {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

/// Counts the records of a message of Put and PutStream, then reads it.
///
/// # Panics
/// When the counter refuses a message that can be read, or counts other than its records.
pub fn count_and_read(message: &Bytes) {
    let counted = put::count(message).ok();
    if let Ok(read) = PutRequest::decode(message.clone()) {
        assert_eq!(counted, Some(read.records.len()), "records of a Put are counted as they are read");
    }
    if let Ok(read) = PutStreamRequest::decode(message.clone()) {
        assert_eq!(counted, Some(read.records.len()), "records of a PutStream are counted as they are read");
    }
}
