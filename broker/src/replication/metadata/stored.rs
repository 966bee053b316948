//! How the metadata group's state is stored: the domain's types and those of `stored.proto`, into each other.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::stored;

use crate::model::life::Life;
use crate::model::stream::{
    AccountRegion, Commitment, Consumer, ConsumerStatus, HashRange, Reshard, RetentionClock, Shard,
    ShardLevelMetrics, Stream, StreamKey, StreamMode, StreamStatus,
};

/// The key, if there are 32 bytes.
pub fn sealing_key(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

/// A node's life, as stored.
pub fn read_life(life: &stored::Life) -> Life {
    Life { number: life.number, nonce: life.nonce }
}

/// The inverse of [`read_life`].
pub fn store_life(life: Life) -> stored::Life {
    stored::Life { number: life.number, nonce: life.nonce }
}

/// The name that is stored.
pub fn stream_key(name: &stored::StreamName) -> StreamKey {
    StreamKey {
        account: name.account.as_str().into(),
        region: name.region.as_str().into(),
        name: name.name.as_str().into(),
    }
}

/// The mode that is stored.
pub fn read_mode(mode: stored::StreamMode) -> StreamMode {
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

/// The stream that is stored.
pub fn read_stream(stored: &stored::Stream) -> Result<Stream, String> {
    let name = stored.name.as_ref().ok_or("a stored stream has no name")?;
    let status = read_status(stored.status)?;
    let stream = Stream {
        uid: stored.uid,
        key: stream_key(name),
        status,
        created_ms: stored.created_ms,
        retention_hours: stored.retention_hours,
        mode: read_mode(stored.mode()),
        max_record_kib: stored.max_record_kib,
        is_auto_distributed: stored.is_auto_distributed,
        warm_mib_per_second: stored.warm_mib_per_second,
        shard_level_metrics: read_metrics(stored.shard_level_metrics),
        tags: stored.tags.clone(),
        policy: stored.policy.as_deref().map(Arc::from),
        consumers: stored.consumers.iter().map(read_consumer).collect(),
        reshard: stored.reshard.as_ref().map(read_reshard).transpose()?,
        shard_count_updates_ms: stored.shard_count_updates_ms.clone(),
        mode_switches_ms: stored.mode_switches_ms.clone(),
        shards: stored.shards.iter().map(read_shard).collect::<Result<_, _>>()?,
        routes: Vec::new(),
    };
    Ok(stream)
}

/// The metrics that are stored.
pub fn read_metrics(bits: u32) -> ShardLevelMetrics {
    ShardLevelMetrics(u8::try_from(bits).expect("there are seven metrics of a shard"))
}

fn read_consumer(stored: &stored::Consumer) -> Consumer {
    let status = match stored.status() {
        stored::ConsumerStatus::ConsumerCreating => ConsumerStatus::Creating,
        stored::ConsumerStatus::ConsumerActive => ConsumerStatus::Active,
        stored::ConsumerStatus::ConsumerDeleting => ConsumerStatus::Deleting,
    };
    Consumer {
        uid: stored.uid,
        name: stored.name.as_str().into(),
        status,
        created_ms: stored.created_ms,
        tags: stored.tags.clone(),
        policy: stored.policy.as_deref().map(Arc::from),
    }
}

fn store_consumer(consumer: &Consumer) -> stored::Consumer {
    let status = match consumer.status {
        ConsumerStatus::Creating => stored::ConsumerStatus::ConsumerCreating,
        ConsumerStatus::Active => stored::ConsumerStatus::ConsumerActive,
        ConsumerStatus::Deleting => stored::ConsumerStatus::ConsumerDeleting,
    };
    stored::Consumer {
        uid: consumer.uid,
        name: consumer.name.to_string(),
        status: status.into(),
        created_ms: consumer.created_ms,
        tags: consumer.tags.clone(),
        policy: consumer.policy.as_deref().map(str::to_owned),
    }
}

fn read_reshard(stored: &stored::Reshard) -> Result<Reshard, String> {
    let opened = stored.opened.iter().map(read_shard).collect::<Result<_, _>>()?;
    Ok(Reshard { sealed: stored.sealed.clone(), opened })
}

fn store_reshard(reshard: &Reshard) -> stored::Reshard {
    let opened = reshard.opened.iter().map(store_shard).collect();
    stored::Reshard { sealed: reshard.sealed.clone(), opened }
}

/// The commitment that is stored, and where.
pub fn read_commitment(stored: &stored::Commitment) -> (AccountRegion, Commitment) {
    let &stored::Commitment { is_enabled, started_ms, ended_ms, .. } = stored;
    let place = (stored.account.as_str().into(), stored.region.as_str().into());
    (place, Commitment { is_enabled, started_ms, ended_ms })
}

/// The stored form of a commitment.
pub fn store_commitment((account, region): &AccountRegion, commitment: &Commitment) -> stored::Commitment {
    let &Commitment { is_enabled, started_ms, ended_ms } = commitment;
    stored::Commitment {
        account: account.to_string(),
        region: region.to_string(),
        is_enabled,
        started_ms,
        ended_ms,
    }
}

/// The retention clock that is stored; one that was never set for none.
pub fn read_retention_clock(stored: Option<&stored::RetentionClock>) -> RetentionClock {
    stored.map_or_else(RetentionClock::default, |stored| RetentionClock {
        time_ms: stored.time_ms,
        accepted: stored.accepted,
        accepted_newest_ms: stored.accepted_newest_ms,
    })
}

/// The stored form of a retention clock; none for one that was never set.
pub fn store_retention_clock(clock: RetentionClock) -> Option<stored::RetentionClock> {
    let RetentionClock { time_ms, accepted, accepted_newest_ms } = clock;
    let is_set = clock != RetentionClock::default();
    is_set.then_some(stored::RetentionClock { time_ms, accepted, accepted_newest_ms })
}

/// The hash key that is stored.
pub fn read_hash_key(bytes: &[u8]) -> Result<u128, String> {
    Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| "a stored hash key has not 16 bytes")?))
}

/// The stored form of a hash key.
pub fn store_hash_key(key: u128) -> Bytes {
    Bytes::copy_from_slice(&key.to_be_bytes())
}

fn read_shard(stored: &stored::Shard) -> Result<Shard, String> {
    let hash = read_hash_key;
    Ok(Shard {
        index: stored.index,
        group: u8::try_from(stored.group).map_err(|_| "a stored shard has no such group")?,
        range: HashRange { start: hash(&stored.hash_start)?, end: hash(&stored.hash_end)? },
        parent: stored.parent,
        adjacent_parent: stored.adjacent_parent,
        created_s: stored.created_s,
        opened_ms: stored.opened_ms,
        closed_ms: stored.closed_ms,
        end_ordinal: stored.end_ordinal,
    })
}

/// The status that is stored.
pub fn read_status(stored: i32) -> Result<StreamStatus, String> {
    match stored::StreamStatus::try_from(stored) {
        Ok(stored::StreamStatus::Creating) => Ok(StreamStatus::Creating),
        Ok(stored::StreamStatus::Active) => Ok(StreamStatus::Active),
        Ok(stored::StreamStatus::Updating) => Ok(StreamStatus::Updating),
        Ok(stored::StreamStatus::Deleting) => Ok(StreamStatus::Deleting),
        Err(_) => Err(format!("a stream in a state of a newer version: {stored}")),
    }
}

/// The stored form of a status.
pub fn store_status(status: StreamStatus) -> stored::StreamStatus {
    match status {
        StreamStatus::Creating => stored::StreamStatus::Creating,
        StreamStatus::Active => stored::StreamStatus::Active,
        StreamStatus::Updating => stored::StreamStatus::Updating,
        StreamStatus::Deleting => stored::StreamStatus::Deleting,
    }
}

/// The stored form of a stream.
pub fn store_stream(stream: &Stream) -> stored::Stream {
    let status = store_status(stream.status);
    stored::Stream {
        uid: stream.uid,
        name: Some(store_key(&stream.key)),
        status: status.into(),
        created_ms: stream.created_ms,
        retention_hours: stream.retention_hours,
        mode: store_mode(stream.mode).into(),
        max_record_kib: stream.max_record_kib,
        shards: stream.shards.iter().map(store_shard).collect(),
        tags: stream.tags.clone(),
        warm_mib_per_second: stream.warm_mib_per_second,
        is_auto_distributed: stream.is_auto_distributed,
        shard_level_metrics: stream.shard_level_metrics.0.into(),
        policy: stream.policy.as_deref().map(str::to_owned),
        consumers: stream.consumers.iter().map(store_consumer).collect(),
        reshard: stream.reshard.as_ref().map(store_reshard),
        shard_count_updates_ms: stream.shard_count_updates_ms.clone(),
        mode_switches_ms: stream.mode_switches_ms.clone(),
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
    let hash = store_hash_key;
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
        end_ordinal: shard.end_ordinal,
    }
}
