//! Aggregated records in the format of the Kinesis Producer Library.

use bytes::Bytes;
use md5::{Digest, Md5};
use tidelog_client::aggregation::{aggregate as pack, deaggregate};

/// The beginning of every aggregated record.
const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// Aggregated records: any bytes are taken apart, or left as they are, without a panic, also when their checksum is
/// right; records that were taken apart and put together again are the same.
///
/// # Panics
/// When one of that does not hold.
pub fn aggregate(data: &[u8]) {
    let unsealed = Bytes::copy_from_slice(data);
    let sealed = Bytes::from([&MAGIC, data, &Md5::digest(data)[..]].concat());
    for record in [unsealed, sealed] {
        if let Some(records) = deaggregate(&record) {
            assert_eq!(deaggregate(&pack(records.clone())), Some(records), "records stay the same");
        }
    }
}
