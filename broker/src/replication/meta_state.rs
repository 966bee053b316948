//! The metadata group's state: a pure function of its log. Streams, their shards and the cluster's sealing key.

use bytes::Bytes;
use tidelog_proto::stored::{self, meta_command::Command};

use super::DATA_GROUPS;
use crate::model::hash_key;
use crate::model::stream::{Catalog, HashRange, Shard, Stream, StreamKey, StreamMode, StreamStatus};

/// Retention of a new stream, hours (AWS model, CreateStream).
const DEFAULT_RETENTION_HOURS: u32 = 24;

/// What the metadata group made of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaOutcome {
    /// Applied, or had been already.
    Done,
    /// A stream was begun under this uid.
    Created(u64),
    /// A stream of that name exists.
    NameTaken,
    /// There is no such stream (any more).
    NoSuchStream,
}

/// The state machine of group 0.
#[derive(Clone, Debug, Default)]
pub struct MetaState {
    catalog: Catalog,
    next_uid: u64,
    /// Creation seconds of new shards lie above this: a recreated stream's sequence numbers lie above its
    /// namesake's, whatever the clock does.
    creation_floor_s: u64,
}

impl MetaState {
    /// The state a checkpoint holds.
    pub fn restore(stored: &stored::MetaState) -> Result<Self, String> {
        let mut catalog = Catalog::new(sealing_key(&stored.sealing_key));
        for stream in &stored.streams {
            catalog.put(read_stream(stream)?);
        }
        Ok(Self { catalog, next_uid: stored.next_uid, creation_floor_s: stored.creation_floor_s })
    }

    /// What a checkpoint stores of it; the membership is the caller's to add.
    pub fn store(&self) -> stored::MetaState {
        stored::MetaState {
            streams: self.catalog.streams().values().map(|stream| store_stream(stream)).collect(),
            next_uid: self.next_uid,
            creation_floor_s: self.creation_floor_s,
            sealing_key: self.catalog.sealing_key.map(|key| Bytes::copy_from_slice(&key)).unwrap_or_default(),
            membership: None,
            membership_log_id: None,
        }
    }

    /// An immutable copy for readers; streams are shared with it.
    pub fn catalog(&self) -> Catalog {
        self.catalog.clone()
    }

    /// Applies one command. Panics on a command this version does not know: skipping it would let replicas differ.
    pub fn apply(&mut self, command: &stored::MetaCommand) -> MetaOutcome {
        let now_ms = command.now_ms;
        match command.command.as_ref().expect("a metadata command of a newer version") {
            Command::Bootstrap(bootstrap) => {
                if self.catalog.sealing_key.is_none() {
                    self.catalog.sealing_key = sealing_key(&bootstrap.sealing_key);
                }
                MetaOutcome::Done
            }
            Command::BeginCreateStream(begin) => self.begin_create(begin, now_ms),
            Command::FinishCreateStream(stream) => self.change(stream.uid, |stream| {
                if stream.status == StreamStatus::Creating {
                    stream.status = StreamStatus::Active;
                }
            }),
            Command::BeginDeleteStream(stream) => {
                self.change(stream.uid, |stream| stream.status = StreamStatus::Deleting)
            }
            Command::FinishDeleteStream(stream) => self.finish_delete(stream.uid),
            Command::SetRetention(set) => {
                self.change(set.uid, |stream| stream.retention_hours = set.retention_hours)
            }
        }
    }

    fn begin_create(&mut self, begin: &stored::BeginCreateStream, now_ms: u64) -> MetaOutcome {
        let key = stream_key(begin.stream.as_ref().expect("a stream has a name"));
        if self.catalog.streams().contains_key(&key) {
            return MetaOutcome::NameTaken;
        }
        self.next_uid += 1;
        let uid = self.next_uid;
        let created_s = (now_ms / 1_000).max(self.creation_floor_s + 1);
        let shards = hash_key::even_ranges(begin.shard_count)
            .enumerate()
            .map(|(index, range)| first_shard(uid, index as u32, range, created_s, now_ms))
            .collect();
        let stream = Stream {
            uid,
            key,
            status: StreamStatus::Creating,
            created_ms: now_ms,
            retention_hours: DEFAULT_RETENTION_HOURS,
            mode: read_mode(begin.mode()),
            max_record_kib: begin.max_record_kib,
            shards,
            routes: Vec::new(),
        };
        self.catalog.put(with_routes(stream));
        MetaOutcome::Created(uid)
    }

    fn finish_delete(&mut self, uid: u64) -> MetaOutcome {
        let Some(stream) = self.catalog.remove(uid) else { return MetaOutcome::Done };
        let newest_s = stream.shards.iter().map(|shard| shard.created_s).max().unwrap_or(0);
        self.creation_floor_s = self.creation_floor_s.max(newest_s);
        MetaOutcome::Done
    }

    fn change(&mut self, uid: u64, change: impl FnOnce(&mut Stream)) -> MetaOutcome {
        let Some(stream) = self.catalog.by_uid(uid) else { return MetaOutcome::NoSuchStream };
        let mut stream = Stream::clone(stream);
        change(&mut stream);
        self.catalog.put(stream);
        MetaOutcome::Done
    }
}

/// Shards of a stream go round the data groups; streams begin at different ones.
fn first_shard(uid: u64, index: u32, range: HashRange, created_s: u64, now_ms: u64) -> Shard {
    let group = 1 + ((uid + u64::from(index)) % u64::from(DATA_GROUPS)) as u8;
    Shard {
        index,
        group,
        range,
        parent: None,
        adjacent_parent: None,
        created_s,
        opened_ms: now_ms,
        closed_ms: None,
    }
}

fn with_routes(mut stream: Stream) -> Stream {
    let mut routes: Vec<_> = (stream.shards.iter().enumerate())
        .filter(|(_, shard)| shard.closed_ms.is_none())
        .map(|(position, shard)| (shard.range.start, position))
        .collect();
    routes.sort_unstable();
    stream.routes = routes;
    stream
}

fn sealing_key(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

fn stream_key(name: &stored::StreamName) -> StreamKey {
    StreamKey {
        account: name.account.as_str().into(),
        region: name.region.as_str().into(),
        name: name.name.as_str().into(),
    }
}

fn read_mode(mode: stored::StreamMode) -> StreamMode {
    match mode {
        stored::StreamMode::Provisioned => StreamMode::Provisioned,
        stored::StreamMode::OnDemand => StreamMode::OnDemand,
    }
}

/// The stored form of a mode.
pub fn store_mode(mode: StreamMode) -> stored::StreamMode {
    match mode {
        StreamMode::Provisioned => stored::StreamMode::Provisioned,
        StreamMode::OnDemand => stored::StreamMode::OnDemand,
    }
}

fn read_stream(stored: &stored::Stream) -> Result<Stream, String> {
    let name = stored.name.as_ref().ok_or("a stored stream has no name")?;
    let status = match stored.status() {
        stored::StreamStatus::Creating => StreamStatus::Creating,
        stored::StreamStatus::Active => StreamStatus::Active,
        stored::StreamStatus::Updating => StreamStatus::Updating,
        stored::StreamStatus::Deleting => StreamStatus::Deleting,
    };
    let stream = Stream {
        uid: stored.uid,
        key: stream_key(name),
        status,
        created_ms: stored.created_ms,
        retention_hours: stored.retention_hours,
        mode: read_mode(stored.mode()),
        max_record_kib: stored.max_record_kib,
        shards: stored.shards.iter().map(read_shard).collect::<Result<_, _>>()?,
        routes: Vec::new(),
    };
    Ok(with_routes(stream))
}

fn read_shard(stored: &stored::Shard) -> Result<Shard, String> {
    let hash = |bytes: &[u8]| -> Result<u128, String> {
        Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| "a stored hash key has not 16 bytes")?))
    };
    Ok(Shard {
        index: stored.index,
        group: u8::try_from(stored.group).map_err(|_| "a stored shard has no such group")?,
        range: HashRange { start: hash(&stored.hash_start)?, end: hash(&stored.hash_end)? },
        parent: stored.parent,
        adjacent_parent: stored.adjacent_parent,
        created_s: stored.created_s,
        opened_ms: stored.opened_ms,
        closed_ms: stored.closed_ms,
    })
}

fn store_stream(stream: &Stream) -> stored::Stream {
    let status = match stream.status {
        StreamStatus::Creating => stored::StreamStatus::Creating,
        StreamStatus::Active => stored::StreamStatus::Active,
        StreamStatus::Updating => stored::StreamStatus::Updating,
        StreamStatus::Deleting => stored::StreamStatus::Deleting,
    };
    stored::Stream {
        uid: stream.uid,
        name: Some(store_key(&stream.key)),
        status: status.into(),
        created_ms: stream.created_ms,
        retention_hours: stream.retention_hours,
        mode: store_mode(stream.mode).into(),
        max_record_kib: stream.max_record_kib,
        shards: stream.shards.iter().map(store_shard).collect(),
    }
}

/// The stored form of a stream's name.
pub fn store_key(key: &StreamKey) -> stored::StreamName {
    stored::StreamName {
        account: key.account.to_string(),
        region: key.region.to_string(),
        name: key.name.to_string(),
    }
}

fn store_shard(shard: &Shard) -> stored::Shard {
    let hash = |key: u128| Bytes::copy_from_slice(&key.to_be_bytes());
    stored::Shard {
        index: shard.index,
        group: shard.group.into(),
        hash_start: hash(shard.range.start),
        hash_end: hash(shard.range.end),
        parent: shard.parent,
        adjacent_parent: shard.adjacent_parent,
        created_s: shard.created_s,
        opened_ms: shard.opened_ms,
        closed_ms: shard.closed_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> StreamKey {
        StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: name.into() }
    }

    fn command(now_ms: u64, command: Command) -> stored::MetaCommand {
        stored::MetaCommand { now_ms, command: Some(command) }
    }

    fn create(state: &mut MetaState, name: &str, shard_count: u32, now_ms: u64) -> MetaOutcome {
        let begin = stored::BeginCreateStream {
            stream: Some(store_key(&key(name))),
            shard_count,
            mode: 0,
            max_record_kib: 1_024,
        };
        state.apply(&command(now_ms, Command::BeginCreateStream(begin)))
    }

    #[test]
    fn open_shards_cover_every_hash_key_once() {
        let mut state = MetaState::default();
        assert_eq!(create(&mut state, "a", 7, 1_000), MetaOutcome::Created(1));
        let catalog = state.catalog();
        let stream = &catalog.streams()[&key("a")];
        let mut next = 0;
        for shard in stream.open_shards() {
            assert_eq!(shard.range.start, next);
            next = shard.range.end.wrapping_add(1);
            assert_eq!(stream.route(shard.range.start).map(|shard| shard.index), Some(shard.index));
            assert_eq!(stream.route(shard.range.end).map(|shard| shard.index), Some(shard.index));
        }
        assert_eq!(next, 0, "the last range ends at 2^128 - 1");
    }

    #[test]
    fn a_name_is_taken_until_its_stream_is_gone_and_its_successor_sorts_above() {
        let mut state = MetaState::default();
        create(&mut state, "a", 1, 50_000);
        assert_eq!(create(&mut state, "a", 1, 50_000), MetaOutcome::NameTaken);
        let uid = stored::StreamRef { uid: 1 };
        state.apply(&command(50_000, Command::BeginDeleteStream(uid)));
        state.apply(&command(50_000, Command::FinishDeleteStream(uid)));
        // The clock even goes back: the successor's creation second still lies above.
        assert_eq!(create(&mut state, "a", 1, 20_000), MetaOutcome::Created(2));
        assert_eq!(state.catalog().streams()[&key("a")].shards[0].created_s, 51);
    }

    #[test]
    fn a_checkpoint_gives_back_the_same_state() {
        let mut state = MetaState::default();
        state.apply(&command(
            1,
            Command::Bootstrap(stored::Bootstrap { sealing_key: Bytes::from_static(&[7; 32]) }),
        ));
        create(&mut state, "a", 3, 10_000);
        state.apply(&command(11_000, Command::FinishCreateStream(stored::StreamRef { uid: 1 })));
        state.apply(&command(
            12_000,
            Command::SetRetention(stored::SetRetention { uid: 1, retention_hours: 48 }),
        ));
        let back = MetaState::restore(&state.store()).expect("restores");
        assert_eq!(back.store(), state.store());
        assert_eq!(back.catalog().streams(), state.catalog().streams());
        assert_eq!(back.catalog().sealing_key, Some([7; 32]));
    }
}
