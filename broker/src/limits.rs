//! Every limit of the service that is a number, with its unit and its source.
//!
//! The build makes tables of the service model with the bounds of single members of a request (lengths, ranges,
//! patterns), and takes the few of them that stand here from the same model; limits that an operation checks by itself
//! stand here alone. "Model" is the service model of 2013-12-02, "guide" the Kinesis developer guide, "recorded" the
//! behaviour of the service as it was observed.

pub mod rates;

/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;

/// Bounds of the service model as constants, which the build writes.
mod service_model {
    include!(concat!(env!("OUT_DIR"), "/model_bounds.rs"));
}

// ---- names -------------------------------------------------------------------------------------

/// UTF-16 units of a stream name (model).
pub const STREAM_NAME_LENGTH_MAX: usize = service_model::STREAM_NAME_LENGTH_MAX;

// ---- streams -----------------------------------------------------------------------------------

/// Shards of a stream that is created without a count (recorded).
pub const SHARDS_BY_DEFAULT: u32 = 4;
/// Open shards of an account in a region (guide: 20,000 in the large regions).
pub const SHARDS_PER_ACCOUNT_MAX: u32 = 20_000;
/// On-demand streams of an account in a region (guide).
pub const ON_DEMAND_STREAMS_MAX: u32 = 50;
/// Shards that one change adds to a stream at most, whatever the quotas say: each takes memory as long as it is listed.
/// As many as an account has at AWS, so that no quota of AWS's is above it.
pub const SHARDS_PER_CHANGE_MAX: u32 = 20_000;
/// Open shards that UpdateShardCount brings a stream to at most (model).
pub const SHARD_COUNT_MAX: u32 = 10_000;
/// Hours a record is kept at least, and by default (guide).
pub const RETENTION_HOURS_MIN: u32 = 24;
/// Hours a record is kept at most: 365 days (guide).
pub const RETENTION_HOURS_MAX: u32 = 8_760;

/// MiB per second that an on-demand stream can have ahead of need: 10 GiB (model).
pub const WARM_MIB_PER_SECOND_MAX: u32 = 10_240;
/// Bytes of a resource policy: 20 KiB (guide).
pub const POLICY_BYTES_MAX: usize = 20_480;
/// Tags of a stream or a consumer (guide; the model lets more through).
pub const TAGS_PER_RESOURCE_MAX: usize = 50;

// ---- the metadata of a cluster -----------------------------------------------------------------
//
// Not of Kinesis: every node keeps the metadata in memory, and hands it over in one message.

/// Streams of a cluster unless its settings say otherwise.
pub const CLUSTER_STREAMS_MAX: u32 = 20_000;
/// Shards of a cluster unless its settings say otherwise, closed ones included: each takes some 500 bytes of memory.
pub const CLUSTER_SHARDS_MAX: u32 = 100_000;
/// Bytes of the metadata as a checkpoint stores them: they have to fit one message between nodes, which has 96 MiB.
pub const METADATA_BYTES_MAX: u64 = 64 * MIB;

// ---- records -----------------------------------------------------------------------------------

/// KiB of data and partition key of one record, unless the stream says otherwise (model, MaxRecordSizeInKiB).
pub const RECORD_KIB_BY_DEFAULT: u32 = 1_024;
/// KiB a stream can allow for one record (model).
pub const RECORD_KIB_MAX: u32 = service_model::RECORD_KIB_MAX;
/// Bytes of the data of one record, whatever the stream (model, Data).
pub const RECORD_DATA_BYTES_MAX: u64 = service_model::RECORD_DATA_BYTES_MAX;
/// UTF-16 units of a partition key (model).
pub const PARTITION_KEY_LENGTH_MAX: usize = service_model::PARTITION_KEY_LENGTH_MAX;
/// Records of one PutRecords (model).
pub const PUT_RECORDS_MAX: usize = service_model::PUT_RECORDS_MAX;
/// Bytes of data and partition keys of one PutRecords (guide).
pub const PUT_RECORDS_BYTES_MAX: u64 = 10 * MIB;
/// Records of one answer of GetRecords (model).
pub const GET_RECORDS_MAX: usize = service_model::GET_RECORDS_MAX;
/// Bytes of data and partition keys of one answer of GetRecords (model); a first record always fits.
pub const GET_RECORDS_BYTES_MAX: usize = 10 * MIB as usize;
/// Records of one event of SubscribeToShard, as in an answer of GetRecords (no figure is known of AWS).
pub const EVENT_RECORDS_MAX: usize = 10_000;
/// Bytes of data and partition keys of one event of SubscribeToShard; a first record always fits (no figure is
/// known of AWS; half of a consumer's bytes per second).
pub const EVENT_BYTES_MAX: usize = MIB as usize;
/// Milliseconds between two successful calls of SubscribeToShard for one consumer and shard (model).
pub const SUBSCRIPTION_PAUSE_MS: u64 = 5_000;
/// Seconds a subscription lasts (model).
pub const SUBSCRIPTION_LIFE_S: u64 = 300;
/// Seconds after which a subscription without records has an empty event. SDKs give up reading after 30 s, KCL 35 s.
pub const EVENT_PAUSE_S: u64 = 5;
/// Bytes of a request's body. 10 MiB of data are 14 MiB of JSON.
pub const BODY_BYTES_MAX: usize = 20 * MIB as usize;

// ---- producers (records.proto) -----------------------------------------------------------------

/// Producers that a shard remembers.
pub const PRODUCERS_PER_SHARD_MAX: usize = 1_024;
/// Batches that a shard remembers of a producer.
pub const BATCHES_PER_PRODUCER_MAX: usize = 64;
/// Milliseconds of the log's time after which a shard forgets a producer that has not written to it.
pub const PRODUCER_LIFE_MS: u64 = 3_600_000;

// ---- pages and tokens --------------------------------------------------------------------------

/// Shards of one page of ListShards; a larger MaxResults counts as this one (model).
pub const LIST_SHARDS_PAGE: usize = 1_000;
/// Shards of one page of DescribeStream; a larger Limit counts as this one (model).
pub const DESCRIBE_STREAM_PAGE: usize = 100;
/// Streams of one page of ListStreams; a larger Limit counts as this one (model).
pub const LIST_STREAMS_PAGE: usize = 100;
/// Consumers of one page of ListStreamConsumers; a larger MaxResults counts as this one (model).
pub const LIST_CONSUMERS_PAGE: usize = 100;
/// Milliseconds a shard iterator is good for (model).
pub const ITERATOR_LIFE_MS: u64 = 300_000;
/// Milliseconds a NextToken is good for (model).
pub const PAGE_TOKEN_LIFE_MS: u64 = 300_000;
/// Characters of a shard iterator; two less than the model's bound, so that an iterator in quotes fits too.
pub const ITERATOR_LENGTH_MAX: usize = service_model::SHARD_ITERATOR_LENGTH_MAX - 2;

// ---- consumer groups ---------------------------------------------------------------------------
//
// Not of Kinesis: bounds of the replicated metadata. A group takes about 100 bytes for each shard.

/// Consumer groups of one stream.
pub const CONSUMER_GROUPS_PER_STREAM_MAX: usize = 100;
/// Consumer groups of a cluster.
pub const CONSUMER_GROUPS_MAX: usize = 10_000;
/// Members of a consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Characters of the name of a group, as of that of a consumer.
pub const GROUP_NAME_LENGTH_MAX: usize = 128;
/// Characters of the name of a member.
pub const MEMBER_NAME_LENGTH_MAX: usize = 256;
/// Milliseconds of a lease at least: a member syncs three times in it, over a network and two disks.
pub const LEASE_MS_MIN: u32 = 1_000;
/// Milliseconds of a lease at most: as long a dead member keeps its shards.
pub const LEASE_MS_MAX: u32 = 300_000;
/// Milliseconds of a lease unless the first member says otherwise.
pub const LEASE_MS_BY_DEFAULT: u32 = 10_000;
/// Shards of one checkpoint, and leases given up in one sync: all of the largest stream.
pub const GROUP_SHARDS_PER_CALL_MAX: usize = 10_000;

// ---- answers -----------------------------------------------------------------------------------

/// Violations named in one ValidationException (recorded).
pub const VIOLATIONS_MAX: usize = 10;

const _: () = {
    assert!(RETENTION_HOURS_MIN < RETENTION_HOURS_MAX);
    assert!(RECORD_KIB_BY_DEFAULT <= RECORD_KIB_MAX);
    assert!(RECORD_KIB_MAX as u64 * 1_024 == RECORD_DATA_BYTES_MAX);
    // The largest record fits one PutRecords, and one answer.
    assert!(RECORD_DATA_BYTES_MAX <= PUT_RECORDS_BYTES_MAX);
    assert!(RECORD_DATA_BYTES_MAX as usize <= GET_RECORDS_BYTES_MAX);
    // The largest PutRecords fits a body: base64, and 1 KiB around each record.
    assert!(BODY_BYTES_MAX as u64 > PUT_RECORDS_BYTES_MAX / 3 * 4 + PUT_RECORDS_MAX as u64 * 1_024);
    assert!(SHARDS_BY_DEFAULT <= SHARDS_PER_ACCOUNT_MAX);
    assert!(LEASE_MS_MIN <= LEASE_MS_BY_DEFAULT && LEASE_MS_BY_DEFAULT <= LEASE_MS_MAX);
    assert!(CONSUMER_GROUPS_PER_STREAM_MAX <= CONSUMER_GROUPS_MAX);
};

/// The amounts that one shard accepts and delivers per second. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLimits {
    /// Bytes of data and partition keys taken per second.
    pub write_bytes_per_second: Option<u64>,
    /// Records taken per second.
    pub write_records_per_second: Option<u64>,
    /// Bytes of data and partition keys given to polling readers per second, all together.
    pub read_bytes_per_second: Option<u64>,
    /// Calls of polling readers per second, all together.
    pub read_calls_per_second: Option<u64>,
    /// Iterators given out per second, all together, as long as the shard is open.
    pub iterators_per_second: Option<u64>,
    /// Bytes of data and partition keys given per second to each consumer with a throughput of its own.
    pub fanout_bytes_per_second: Option<u64>,
}

impl ShardLimits {
    /// The limits of a Kinesis shard (model and guide).
    pub const fn aws() -> Self {
        Self {
            write_bytes_per_second: Some(MIB),
            write_records_per_second: Some(1_000),
            read_bytes_per_second: Some(2 * MIB),
            read_calls_per_second: Some(5),
            iterators_per_second: Some(5),
            fanout_bytes_per_second: Some(2 * MIB),
        }
    }

    /// No limits at all.
    pub const fn off() -> Self {
        Self {
            write_bytes_per_second: None,
            write_records_per_second: None,
            read_bytes_per_second: None,
            read_calls_per_second: None,
            iterators_per_second: None,
            fanout_bytes_per_second: None,
        }
    }
}

/// Rates and quotas of the control plane. `None` is no quota; a quota holds per account and region unless it says
/// otherwise, and a call beyond it fails with LimitExceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlLimits {
    /// Whether calls per second are limited.
    pub rates: bool,
    /// Open shards.
    pub shards_max: Option<u32>,
    /// Streams that are CREATING at a time.
    pub creating_streams_max: Option<u32>,
    /// On-demand streams.
    pub on_demand_streams_max: Option<u32>,
    /// Calls of UpdateShardCount per stream in any 24 hours.
    pub shard_count_updates_max: Option<u32>,
    /// Switches of a stream's mode in any 24 hours.
    pub mode_switches_max: Option<u32>,
    /// Consumers of a stream that are CREATING at a time.
    pub creating_consumers_max: Option<u32>,
    /// Consumers of a stream.
    pub consumers_max: Option<u32>,
    /// Consumers of an on-demand stream of an account that is committed to a minimum throughput.
    pub committed_consumers_max: Option<u32>,
    /// Streams of the cluster, of all accounts.
    pub cluster_streams_max: u32,
    /// Shards of the cluster, of all accounts, closed ones included.
    pub cluster_shards_max: u32,
}

impl ControlLimits {
    /// The limits of Kinesis (model; guide for shards, on-demand streams and mode switches).
    pub const fn aws() -> Self {
        Self {
            rates: true,
            shards_max: Some(SHARDS_PER_ACCOUNT_MAX),
            creating_streams_max: Some(5),
            on_demand_streams_max: Some(ON_DEMAND_STREAMS_MAX),
            shard_count_updates_max: Some(10),
            mode_switches_max: Some(2),
            creating_consumers_max: Some(5),
            consumers_max: Some(20),
            committed_consumers_max: Some(50),
            cluster_streams_max: CLUSTER_STREAMS_MAX,
            cluster_shards_max: CLUSTER_SHARDS_MAX,
        }
    }

    /// No limits but those of the cluster, which keep its nodes' memory.
    pub const fn off() -> Self {
        Self {
            rates: false,
            shards_max: None,
            creating_streams_max: None,
            on_demand_streams_max: None,
            shard_count_updates_max: None,
            mode_switches_max: None,
            creating_consumers_max: None,
            consumers_max: None,
            committed_consumers_max: None,
            cluster_streams_max: CLUSTER_STREAMS_MAX,
            cluster_shards_max: CLUSTER_SHARDS_MAX,
        }
    }
}
