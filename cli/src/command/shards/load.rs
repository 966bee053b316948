//! How busy a shard is, reckoned from the records that arrived of late.

use std::time::Duration;

use tidelog_kinesis::operations::{GetRecords, GetShardIterator, Record, Shard, StartingPosition};
use tidelog_kinesis::{Client, KinesisError, Timestamp};

/// The records and bytes that AWS lets into a shard each second.
const RECORDS_MAX: f64 = 1000.0;
const BYTES_MAX: f64 = 1024.0 * 1024.0;
/// A shard that takes this part of it is hot.
const HOT_PART: f64 = 0.8;
/// A shard that takes this many times the share of its range is hot as well, if the stream takes
/// [`RECORDS_TELLING`].
const HOT_TIMES: f64 = 2.0;
/// Records a second of a stream from which on an uneven load is no accident.
const RECORDS_TELLING: f64 = 10.0;

/// The traffic of a shard per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Records.
    pub(super) records_per_second: f64,
    /// Bytes of data and keys.
    pub(super) bytes_per_second: f64,
}

/// Reads the records that arrived within `span`, at most those of one call.
pub(super) async fn sampled(
    client: &Client,
    stream: &str,
    shard: &str,
    span: Duration,
) -> Result<Load, KinesisError> {
    let now = jiff::Timestamp::now().as_millisecond();
    let since = now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0);
    let position = StartingPosition::AtTimestamp { time: Timestamp(since) };
    let (stream_name, shard_id) = (stream.into(), shard.into());
    let iterator = client.call(&GetShardIterator { stream_name, shard_id, position }).await?.shard_iterator;
    let answer = client.call(&GetRecords { shard_iterator: iterator, limit: None }).await?;
    let is_complete = answer.millis_behind_latest.unwrap_or(0) == 0;
    Ok(reckoned(&answer.records, is_complete, since, span))
}

/// Over the whole span if these are all its records, over the time that they cover otherwise.
fn reckoned(records: &[Record], is_complete: bool, since: i64, span: Duration) -> Load {
    let covered = match records.last() {
        Some(last) if !is_complete => (last.approximate_arrival_timestamp.0 - since).max(1) as f64 / 1000.0,
        _ => span.as_secs_f64().max(0.001),
    };
    let bytes: usize = records.iter().map(|record| record.data.0.len() + record.partition_key.len()).sum();
    Load { records_per_second: records.len() as f64 / covered, bytes_per_second: bytes as f64 / covered }
}

/// Finds the shards that take too much: near the limits, or far above their share of the stream's traffic.
pub(super) fn hot(shards: &[Shard], loads: &[Option<Load>]) -> Vec<bool> {
    let total: f64 = loads.iter().flatten().map(|load| load.records_per_second).sum();
    let is_hot = |(shard, load): (&Shard, &Option<Load>)| {
        let Some(load) = load else { return false };
        let is_near_limit = load.records_per_second >= HOT_PART * RECORDS_MAX
            || load.bytes_per_second >= HOT_PART * BYTES_MAX;
        let fair = super::drawing::share(shard) * total;
        is_near_limit || (total >= RECORDS_TELLING && load.records_per_second > HOT_TIMES * fair)
    };
    shards.iter().zip(loads).map(is_hot).collect()
}

#[cfg(test)]
mod tests {
    use super::super::drawing::tests::shard;
    use super::*;

    #[test]
    fn a_load_is_computed_over_the_records_read() {
        let record = |at| Record {
            sequence_number: "1".into(),
            approximate_arrival_timestamp: Timestamp(at),
            data: tidelog_kinesis::Blob("12345678".into()),
            partition_key: "ab".into(),
        };
        let records = [record(1500), record(2000)];
        let load = |is_complete| reckoned(&records, is_complete, 1000, Duration::from_secs(10));
        assert_eq!(load(true), Load { records_per_second: 0.2, bytes_per_second: 2.0 });
        assert_eq!(load(false), Load { records_per_second: 2.0, bytes_per_second: 20.0 });
        assert_eq!(reckoned(&[], true, 0, Duration::from_secs(10)), Load::default());
    }

    #[test]
    fn a_shard_is_hot_near_its_limits_or_far_above_its_share() {
        let shards = [
            shard(0, &[], (0, u128::MAX / 4 * 3), true),
            shard(1, &[], (u128::MAX / 4 * 3 + 1, u128::MAX), true),
        ];
        let load = |records_per_second, bytes_per_second| Some(Load { records_per_second, bytes_per_second });
        let cases = [
            ([load(3.0, 9.0), load(900.0, 9.0)], [false, true]),
            ([load(100.0, 900_000.0), load(50.0, 9.0)], [true, false]),
            ([load(10.0, 9.0), load(20.0, 9.0)], [false, true]),
            ([load(1.0, 9.0), load(5.0, 9.0)], [false, false]),
            ([None, load(20.0, 9.0)], [false, true]),
        ];
        for (loads, expected) in cases {
            assert_eq!(hot(&shards, &loads), expected, "{loads:?}");
        }
    }
}
