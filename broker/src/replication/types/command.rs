//! Payloads of log entries: commands, and their bytes.
//!
//! A payload begins with its kind. Control commands are protobuf (`stored.proto`); records have the layout of
//! `storage/FORMAT.md`, "Records entry": a table of sub-batch headers, then their bodies, which go unchanged from
//! here into the log, to every replica and into the segments.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use prost::Message;
use tidelog_proto::stored;
use tidelog_storage::shard::ShardKey;

use super::config;
use crate::cluster::peers::ClusterMember;
use crate::model::producer::{Positions, Stamp};

const KIND_BLANK: u8 = 0;
const KIND_MEMBERSHIP: u8 = 1;
const KIND_RECORDS: u8 = 2;
const KIND_DATA: u8 = 3;
const KIND_META: u8 = 4;

/// Bytes before the sub-batch headers: kind, version, reserved, count.
const RECORDS_PREFIX_BYTES: usize = 8;
/// Bytes of one sub-batch header.
const SUB_BATCH_HEADER_BYTES: usize = 40;
/// Version of the records layout.
const RECORDS_VERSION: u8 = 1;
/// Flag of a sub-batch that a producer has stamped: its origin stands behind the headers.
const FLAG_STAMPED: u64 = 1;
/// Bytes of an origin before its positions: producer, batch, settled below, creation second, number of words.
const ORIGIN_PREFIX_BYTES: usize = 33;

/// Records of one shard that arrived together.
#[derive(Clone, PartialEq, Eq)]
pub struct SubBatch {
    /// The shard that takes them.
    pub shard: ShardKey,
    /// Arrival by the leader's clock, milliseconds since the epoch; apply may raise it.
    pub time_ms: u64,
    /// Records in `body`, at least 1.
    pub count: u32,
    /// The records, encoded as `storage::record` says.
    pub body: Bytes,
    /// crc32 of `body`.
    pub body_crc: u32,
    /// The origin of records that a producer has stamped: they are written once, however often they come.
    pub origin: Option<Box<Origin>>,
}

/// Where the records of a stamped sub-batch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The producer and its batch.
    pub stamp: Stamp,
    /// Positions of the records in that batch, as many as there are records.
    pub positions: Positions,
    /// Creation second of the shard that takes them: part of their sequence numbers.
    pub created_s: u64,
}

impl SubBatch {
    /// A sub-batch over an encoded body, with its checksum.
    pub fn new(shard: ShardKey, time_ms: u64, count: u32, body: Bytes) -> Self {
        let body_crc = crc32fast::hash(&body);
        Self { shard, time_ms, count, body, body_crc, origin: None }
    }

    /// Adds the origin of the records to the sub-batch.
    #[must_use]
    pub fn with_origin(self, origin: Option<Origin>) -> Self {
        Self { origin: origin.map(Box::new), ..self }
    }
}

/// A command of a group's log. Cheap to clone: the log's cache and the apply task share it.
#[derive(Clone, PartialEq)]
pub enum LogCommand {
    /// Records of shards of a data group.
    Records(Arc<Vec<SubBatch>>),
    /// A control command of a data group.
    Data(Arc<stored::DataCommand>),
    /// A command of the metadata group.
    Meta(Arc<stored::MetaCommand>),
}

/// The payload type of a group's entries.
pub type Payload = EntryPayload<LogCommand, u64, ClusterMember>;

impl fmt::Debug for LogCommand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(batches) => write!(out, "Records({} sub-batches)", batches.len()),
            Self::Data(command) => write!(out, "{command:?}"),
            Self::Meta(command) => write!(out, "{command:?}"),
        }
    }
}

impl fmt::Display for LogCommand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

/// The parts of a payload's bytes, in order. Bodies are shared, not copied.
pub fn encode(payload: &Payload) -> Vec<Bytes> {
    match payload {
        EntryPayload::Blank => vec![Bytes::from_static(&[KIND_BLANK])],
        EntryPayload::Membership(membership) => {
            vec![encode_message(KIND_MEMBERSHIP, &config::stored_membership(membership))]
        }
        EntryPayload::Normal(LogCommand::Data(command)) => vec![encode_message(KIND_DATA, &**command)],
        EntryPayload::Normal(LogCommand::Meta(command)) => vec![encode_message(KIND_META, &**command)],
        EntryPayload::Normal(LogCommand::Records(batches)) => encode_records(batches),
    }
}

fn encode_message(kind: u8, message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + message.encoded_len());
    out.put_u8(kind);
    message.encode(&mut out).expect("a BytesMut grows");
    out.freeze()
}

fn encode_records(batches: &[SubBatch]) -> Vec<Bytes> {
    let mut head = BytesMut::with_capacity(RECORDS_PREFIX_BYTES + batches.len() * SUB_BATCH_HEADER_BYTES);
    head.put_u8(KIND_RECORDS);
    head.put_u8(RECORDS_VERSION);
    head.put_u16_le(0);
    head.put_u32_le(u32::try_from(batches.len()).expect("a batch is bounded"));
    for batch in batches {
        head.put_u64_le(batch.shard.stream_uid);
        head.put_u32_le(batch.shard.shard);
        head.put_u32_le(batch.count);
        head.put_u64_le(batch.time_ms);
        head.put_u32_le(u32::try_from(batch.body.len()).expect("a body is bounded"));
        head.put_u32_le(batch.body_crc);
        head.put_u64_le(if batch.origin.is_some() { FLAG_STAMPED } else { 0 });
    }
    for origin in batches.iter().filter_map(|batch| batch.origin.as_deref()) {
        encode_origin(origin, &mut head);
    }
    let mut parts = Vec::with_capacity(1 + batches.len());
    parts.push(head.freeze());
    parts.extend(batches.iter().map(|batch| batch.body.clone()));
    parts
}

fn encode_origin(origin: &Origin, out: &mut BytesMut) {
    let words = origin.positions.words();
    out.put_u64_le(origin.stamp.producer());
    out.put_u64_le(origin.stamp.batch());
    out.put_u64_le(origin.stamp.settled_below());
    out.put_u64_le(origin.created_s);
    out.put_u8(u8::try_from(words.len()).expect("positions have few words"));
    words.iter().for_each(|word| out.put_u64_le(*word));
}

/// The payload of those bytes. An error means that a newer version wrote them or that they are damaged.
pub fn decode(mut bytes: Bytes) -> Result<Payload, String> {
    if bytes.is_empty() {
        return Err("empty log payload".into());
    }
    let kind = bytes[0];
    if kind == KIND_RECORDS {
        return decode_records(bytes, None)
            .map(|batches| EntryPayload::Normal(LogCommand::Records(Arc::new(batches))));
    }
    bytes.advance(1);
    let broken = |error: prost::DecodeError| format!("log payload of kind {kind}: {error}");
    match kind {
        KIND_BLANK => Ok(EntryPayload::Blank),
        KIND_MEMBERSHIP => {
            let stored = stored::Membership::decode(bytes).map_err(broken)?;
            config::raft_membership(&stored).map(EntryPayload::Membership)
        }
        KIND_DATA => stored::DataCommand::decode(bytes)
            .map(|command| EntryPayload::Normal(LogCommand::Data(Arc::new(command))))
            .map_err(broken),
        KIND_META => stored::MetaCommand::decode(bytes)
            .map(|command| EntryPayload::Normal(LogCommand::Meta(Arc::new(command))))
            .map_err(broken),
        _ => Err(format!("log payload of unknown kind {kind}: written by a newer version")),
    }
}

/// The payload that [`encode`] gave, part by part: bodies of records are shared with the parts.
pub fn decode_parts(mut parts: Vec<Bytes>) -> Result<Payload, String> {
    if parts.len() == 1 {
        return decode(parts.remove(0));
    }
    match parts.first().and_then(|head| head.first()) {
        Some(&KIND_RECORDS) => {
            let head = parts.remove(0);
            decode_records(head, Some(parts))
                .map(|batches| Payload::Normal(LogCommand::Records(Arc::new(batches))))
        }
        _ => Err("log payload in parts that are not records".into()),
    }
}

/// The batches of a table and of the bodies behind it, or of those that came `apart` from it.
fn decode_records(mut bytes: Bytes, apart: Option<Vec<Bytes>>) -> Result<Vec<SubBatch>, String> {
    let short = || "records entry shorter than its table says".to_owned();
    if bytes.len() < RECORDS_PREFIX_BYTES {
        return Err(short());
    }
    if bytes[1] != RECORDS_VERSION {
        return Err(format!("records entry of version {}: written by a newer version", bytes[1]));
    }
    bytes.advance(4);
    let count = bytes.get_u32_le() as usize;
    if bytes.len() / SUB_BATCH_HEADER_BYTES < count {
        return Err(short());
    }
    let mut table = bytes.split_to(count * SUB_BATCH_HEADER_BYTES);
    let mut batches = Vec::with_capacity(count);
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        let shard = ShardKey { stream_uid: table.get_u64_le(), shard: table.get_u32_le() };
        let records = table.get_u32_le();
        let time_ms = table.get_u64_le();
        lengths.push(table.get_u32_le() as usize);
        let body_crc = table.get_u32_le();
        // Headers come before all origins.
        let origin = match table.get_u64_le() {
            0 => None,
            FLAG_STAMPED => Some(Box::new(decode_origin(&mut bytes, records)?)),
            _ => return Err("sub-batch with unknown flags: written by a newer version".into()),
        };
        batches.push(SubBatch { shard, time_ms, count: records, body: Bytes::new(), body_crc, origin });
    }
    let mut apart = apart.map(Vec::into_iter);
    for (batch, body_bytes) in batches.iter_mut().zip(lengths) {
        let body = match &mut apart {
            Some(bodies) => bodies.next().filter(|body| body.len() == body_bytes),
            None => (bytes.len() >= body_bytes).then(|| bytes.split_to(body_bytes)),
        };
        batch.body = body.ok_or_else(short)?;
    }
    let is_all = bytes.is_empty() && apart.is_none_or(|mut bodies| bodies.next().is_none());
    if is_all { Ok(batches) } else { Err("records entry longer than its table says".into()) }
}

/// The origin that stands at the front of those bytes, of a sub-batch with so many records.
fn decode_origin(bytes: &mut Bytes, records: u32) -> Result<Origin, String> {
    let short = || "records entry shorter than its origins say".to_owned();
    if bytes.len() < ORIGIN_PREFIX_BYTES {
        return Err(short());
    }
    let (producer, batch, settled_below) = (bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u64_le());
    let created_s = bytes.get_u64_le();
    let words = usize::from(bytes.get_u8());
    if bytes.len() / size_of::<u64>() < words {
        return Err(short());
    }
    let words: Vec<u64> = (0..words).map(|_| bytes.get_u64_le()).collect();
    let stamp = Stamp::new(producer, batch, settled_below).map_err(|error| error.to_string())?;
    let positions = Positions::from_words(&words).filter(|positions| positions.len() == records);
    let positions = positions.ok_or("a sub-batch with an origin of other records")?;
    Ok(Origin { stamp, positions, created_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(payload: &Payload) -> Bytes {
        encode(payload).concat().into()
    }

    fn records(stamped: [Option<(u64, u32)>; 3]) -> Payload {
        let batch = |shard, body: &'static [u8]| SubBatch {
            shard: ShardKey { stream_uid: 7, shard },
            time_ms: 1_700_000_000_000,
            count: 1,
            body: Bytes::from_static(body),
            body_crc: crc32fast::hash(body),
            origin: None,
        };
        let origin = |batch, position: u32| Origin {
            stamp: Stamp::new(0x0102_0304_0506_0708, batch, 3).expect("a stamp"),
            positions: [position].into_iter().collect(),
            created_s: 1_600_000_000,
        };
        let mut batches = vec![batch(0, b"one"), batch(3, b""), batch(0, b"three")];
        for (batch, stamped) in batches.iter_mut().zip(stamped) {
            batch.origin = stamped.map(|(number, position)| Box::new(origin(number, position)));
        }
        EntryPayload::Normal(LogCommand::Records(Arc::new(batches)))
    }

    const UNSTAMPED: [Option<(u64, u32)>; 3] = [None; 3];
    /// Number of the batch and position in it, of some.
    const STAMPED: [Option<(u64, u32)>; 3] = [Some((3, 0)), None, Some((4, 499))];

    #[test]
    fn payloads_come_back_as_they_went() {
        let data = stored::DataCommand {
            command: Some(stored::data_command::Command::DropStream(stored::StreamRef { uid: 9 })),
        };
        let meta = stored::MetaCommand { now_ms: 5, ..Default::default() };
        for payload in [
            Payload::Blank,
            Payload::Normal(LogCommand::Data(Arc::new(data))),
            Payload::Normal(LogCommand::Meta(Arc::new(meta))),
            records(UNSTAMPED),
            records(STAMPED),
        ] {
            let back = decode(joined(&payload)).expect("decodes");
            assert!(back == payload, "{back:?} differs from {payload:?}");
            assert!(decode_parts(encode(&payload)).expect("decodes") == payload, "{payload:?} in parts");
        }
    }

    #[test]
    fn every_cut_of_a_records_entry_is_refused() {
        for whole in [UNSTAMPED, STAMPED].map(|stamped| joined(&records(stamped))) {
            for length in 0..whole.len() {
                assert!(decode(whole.slice(..length)).is_err(), "cut to {length} bytes");
            }
        }
    }

    /// Bytes that stand in logs: these are written and read for ever.
    #[test]
    fn records_entries_have_the_bytes_of_the_format() {
        let golden = |name: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        for (name, stamped) in [("records-v1.bin", UNSTAMPED), ("records-v1-stamped.bin", STAMPED)] {
            let (bytes, entry) = (golden(name), records(stamped));
            assert!(joined(&entry) == bytes, "{name}: {:?}", joined(&entry));
            assert!(decode(bytes.into()).expect("decodes") == entry, "{name}");
        }
    }

    #[test]
    fn origins_without_sense_are_refused() {
        let whole = joined(&records(STAMPED));
        let origins = RECORDS_PREFIX_BYTES + 3 * SUB_BATCH_HEADER_BYTES;
        let flags = RECORDS_PREFIX_BYTES + SUB_BATCH_HEADER_BYTES - 8;
        // An unknown flag; no producer; no batch; a settled batch; no position; two of them; words without end.
        for (at, bytes) in [
            (flags, [3, 0, 0, 0, 0, 0, 0, 0]),
            (origins, [0; 8]),
            (origins + 8, [0; 8]),
            (origins + 16, [9, 0, 0, 0, 0, 0, 0, 0]),
            (origins + 33, [0; 8]),
            (origins + 33, [3, 0, 0, 0, 0, 0, 0, 0]),
            (origins + 25, [0, 0, 0, 0, 0, 0, 0, 255]),
        ] {
            let mut bad = whole.to_vec();
            bad[at..at + 8].copy_from_slice(&bytes);
            assert!(decode(bad.into()).is_err(), "{bytes:?} at {at}");
        }
    }
}
