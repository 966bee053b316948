//! Streams, consumers and catalogs for unit tests of every layer.

use std::sync::Arc;

use super::hash_key::even_ranges;
use super::stream::{
    Catalog, Consumer, ConsumerStatus, Shard, ShardLevelMetrics, Stream, StreamKey, StreamMode, StreamStatus,
    Tags,
};

/// The clock of the tests, milliseconds since the epoch.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// An ACTIVE stream that is an hour old.
pub fn stream(name: &str, shard_count: u32) -> Stream {
    let created_ms = NOW_MS - 3_600_000;
    let shard = |(index, range)| Shard {
        index,
        group: 1,
        range,
        parent: None,
        adjacent_parent: None,
        created_s: created_ms / 1_000,
        opened_ms: created_ms + 50,
        closed_ms: None,
        end_ordinal: None,
    };
    let shards = (0..).zip(even_ranges(shard_count)).map(shard).collect::<Vec<_>>();
    let routes = shards.iter().enumerate().map(|(position, shard)| (shard.range.start, position)).collect();
    Stream {
        uid: 42,
        key: StreamKey {
            account: Arc::from("000000000000"),
            region: Arc::from("us-east-1"),
            name: Arc::from(name),
        },
        status: StreamStatus::Active,
        created_ms,
        retention_hours: 24,
        mode: StreamMode::Provisioned,
        max_record_kib: 1_024,
        is_auto_distributed: false,
        warm_mib_per_second: 0,
        shard_level_metrics: ShardLevelMetrics::default(),
        tags: Tags::default(),
        policy: None,
        consumers: Vec::new(),
        reshard: None,
        shard_count_updates_ms: Vec::new(),
        mode_switches_ms: Vec::new(),
        shards,
        routes,
    }
}

/// An ACTIVE consumer, registered half an hour ago.
pub fn consumer(name: &str, uid: u64) -> Consumer {
    Consumer {
        uid,
        name: Arc::from(name),
        status: ConsumerStatus::Active,
        created_ms: NOW_MS - 1_800_000,
        tags: Tags::default(),
        policy: None,
    }
}

/// A stream whose shard 0 was split in two, `ago_ms` before now.
pub fn split_stream(name: &str, ago_ms: u64) -> Stream {
    let mut stream = stream(name, 1);
    let split_ms = NOW_MS - ago_ms;
    stream.shards[0].closed_ms = Some(split_ms);
    stream.shards[0].end_ordinal = Some(1);
    for (index, range) in (1..).zip(even_ranges(2)) {
        let parent = stream.shards[0].clone();
        let created_s = split_ms / 1_000 + 1;
        stream.shards.push(Shard {
            index,
            range,
            parent: Some(0),
            created_s,
            opened_ms: split_ms,
            closed_ms: None,
            end_ordinal: None,
            ..parent
        });
    }
    stream.routes = vec![(0, 1), (1 << 127, 2)];
    stream
}

/// A catalog of these streams.
pub fn catalog(streams: Vec<Stream>) -> Catalog {
    let mut catalog = Catalog::new(Some([7; 32]));
    for stream in streams {
        catalog.put(stream);
    }
    catalog
}
