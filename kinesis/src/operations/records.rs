//! Operations on records.

use serde::{Deserialize, Serialize};

use super::{ChildShard, operation};
use crate::{Blob, Timestamp};

/// Puts up to 500 records and 10 MiB. A retry after an unknown outcome may put records twice.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecords {
    /// The stream.
    pub stream_name: String,
    /// The records.
    pub records: Vec<PutEntry>,
}
operation!(PutRecords, "PutRecords", repeatable: false, PutRecordsAnswer);

/// A record to put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutEntry {
    /// The bytes of the record.
    pub data: Blob,
    /// The key that decides on the record's shard, 1 to 256 characters.
    pub partition_key: String,
    /// The hash key that decides on the record's shard instead, in decimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit_hash_key: Option<String>,
}

/// The outcomes of the records.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordsAnswer {
    /// How many failed.
    pub failed_record_count: u32,
    /// One for each record, in the order of the request.
    pub records: Vec<PutResult>,
}

/// The outcome of a record: a position, or an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResult {
    /// The record's sequence number, if it was written.
    pub sequence_number: Option<String>,
    /// The record's shard, if it was written.
    pub shard_id: Option<String>,
    /// Why it is not: `ProvisionedThroughputExceededException` or `InternalFailure`.
    pub error_code: Option<String>,
    /// More words on that.
    pub error_message: Option<String>,
}

/// Asks for an iterator: a position in a shard.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIterator {
    /// The stream.
    pub stream_name: String,
    /// The shard.
    pub shard_id: String,
    /// The position to begin at.
    #[serde(flatten)]
    pub position: StartingPosition,
}
operation!(GetShardIterator, "GetShardIterator", repeatable: true, ShardIteratorAnswer);

/// A position in a shard to read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "ShardIteratorType")]
pub enum StartingPosition {
    /// The oldest record that is kept.
    #[serde(rename = "TRIM_HORIZON")]
    TrimHorizon,
    /// After the newest.
    #[serde(rename = "LATEST")]
    Latest,
    /// The first record that arrived at that time or later; not in the future.
    #[serde(rename = "AT_TIMESTAMP")]
    AtTimestamp {
        /// The time.
        #[serde(rename = "Timestamp")]
        time: Timestamp,
    },
    /// The record of that number.
    #[serde(rename = "AT_SEQUENCE_NUMBER")]
    AtSequenceNumber {
        /// The number.
        #[serde(rename = "StartingSequenceNumber")]
        number: String,
    },
    /// Behind the record of that number.
    #[serde(rename = "AFTER_SEQUENCE_NUMBER")]
    AfterSequenceNumber {
        /// The number.
        #[serde(rename = "StartingSequenceNumber")]
        number: String,
    },
}

/// An iterator.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardIteratorAnswer {
    /// The token; good for five minutes.
    pub shard_iterator: String,
}

/// Reads records; 5 calls and 2 MiB a second for each shard.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecords {
    /// From where.
    pub shard_iterator: String,
    /// At most so many, 1 to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
operation!(GetRecords, "GetRecords", repeatable: true, GetRecordsAnswer);

/// Records of a shard, and where to go on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecordsAnswer {
    /// The records, in order; may be none.
    pub records: Vec<Record>,
    /// Where to go on; `None` when the shard is closed and read to its end.
    pub next_shard_iterator: Option<String>,
    /// How far behind the newest record this is, in milliseconds; 0 at the tip. Emulators may not say.
    pub millis_behind_latest: Option<u64>,
    /// The shards that follow the closed shard.
    #[serde(default)]
    pub child_shards: Vec<ChildShard>,
}

/// A record of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The record's sequence number, increasing in its shard; decimal digits.
    pub sequence_number: String,
    /// When it arrived.
    #[serde(default)]
    pub approximate_arrival_timestamp: Timestamp,
    /// The bytes of the record.
    pub data: Blob,
    /// The record's partition key.
    #[serde(default)]
    pub partition_key: String,
}
