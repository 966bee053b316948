//! The message in the middle of an aggregated record, field by field as KPL has it. Written by `pack`, read by
//! `unpack`.

use bytes::Bytes;

/// The first bytes of an aggregated record.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// Bytes of the MD5 at its end.
pub const DIGEST_BYTES: usize = 16;

/// The records, and the keys that they name by their index.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AggregatedRecord {
    /// Each partition key once.
    #[prost(string, repeated, tag = "1")]
    pub partition_key_table: Vec<String>,
    /// Each explicit hash key once.
    #[prost(string, repeated, tag = "2")]
    pub explicit_hash_key_table: Vec<String>,
    /// In the order in which they were put.
    #[prost(message, repeated, tag = "3")]
    pub records: Vec<Part>,
}

/// One record. KCL refuses a message whose required fields are left out, also when they are zero.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Part {
    /// Into the table of partition keys.
    #[prost(uint64, required, tag = "1")]
    pub partition_key_index: u64,
    /// Into the table of explicit hash keys.
    #[prost(uint64, optional, tag = "2")]
    pub explicit_hash_key_index: Option<u64>,
    /// The record itself.
    #[prost(bytes = "bytes", required, tag = "3")]
    pub data: Bytes,
}
