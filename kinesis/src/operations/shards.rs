//! Operations on shards.

use serde::{Deserialize, Serialize};

use super::{Done, operation};

/// Asks for shards, a page of them: by the stream's name, or by the token of the page before.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListShards {
    /// The stream; not together with a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<String>,
    /// The page to list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// The shards to list; all without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_filter: Option<ShardFilter>,
}
operation!(ListShards, "ListShards", repeatable: true, ListShardsAnswer);

/// The selection of shards.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardFilter {
    /// Such as `AT_LATEST`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
}

/// A page of shards.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListShardsAnswer {
    /// The shards.
    pub shards: Vec<Shard>,
    /// Names the next page; `None` at the last.
    pub next_token: Option<String>,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shard {
    /// Such as `shardId-000000000000`.
    pub shard_id: String,
    /// The shard that was split, or one of the two that were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_shard_id: Option<String>,
    /// The other of the two that were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjacent_parent_shard_id: Option<String>,
    /// The keys that it takes.
    pub hash_key_range: HashKeyRange,
    /// The shard's sequence numbers.
    pub sequence_number_range: SequenceNumberRange,
}

impl Shard {
    /// Whether it takes records.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sequence_number_range.ending_sequence_number.is_none()
    }

    /// The shards it came from.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.parent_shard_id.as_deref().into_iter().chain(self.adjacent_parent_shard_id.as_deref())
    }
}

/// Hash keys from and to, both included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HashKeyRange {
    /// The first, in decimal digits.
    pub starting_hash_key: String,
    /// The last, in decimal digits.
    pub ending_hash_key: String,
}

impl HashKeyRange {
    /// First and last as numbers; `None` when they are none.
    #[must_use]
    pub fn bounds(&self) -> Option<(u128, u128)> {
        Some((self.starting_hash_key.parse().ok()?, self.ending_hash_key.parse().ok()?))
    }
}

/// Sequence numbers from and to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SequenceNumberRange {
    /// The first.
    pub starting_sequence_number: String,
    /// The last, of a shard that is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_sequence_number: Option<String>,
}

/// A shard that follows a closed one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChildShard {
    /// The id of the shard.
    pub shard_id: String,
    /// Where it came from.
    #[serde(default)]
    pub parent_shards: Vec<String>,
}

/// Sets the number of shards, with equal ranges.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateShardCount {
    stream_name: String,
    target_shard_count: u32,
    scaling_type: &'static str,
}

impl UpdateShardCount {
    /// The number of shards: at most double, at least half as many as now.
    #[must_use]
    pub fn new(stream_name: String, target_shard_count: u32) -> Self {
        Self { stream_name, target_shard_count, scaling_type: "UNIFORM_SCALING" }
    }
}
operation!(UpdateShardCount, "UpdateShardCount", repeatable: false, Done);

/// Makes two shards of one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SplitShard {
    /// The stream.
    pub stream_name: String,
    /// The shard that is closed.
    pub shard_to_split: String,
    /// The first hash key of the second child, in decimal digits.
    pub new_starting_hash_key: String,
}
operation!(SplitShard, "SplitShard", repeatable: false, Done);

/// Makes one shard of two neighbours.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MergeShards {
    /// The stream.
    pub stream_name: String,
    /// One of them.
    pub shard_to_merge: String,
    /// The other.
    pub adjacent_shard_to_merge: String,
}
operation!(MergeShards, "MergeShards", repeatable: false, Done);
