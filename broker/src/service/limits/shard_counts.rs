//! Traffic of single shards, counted for streams that ask for it. A stream that does not costs a look at its
//! settings.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::model::shard_id::ShardId;
use crate::model::stream::{Catalog, Shard, Stream, StreamKey};
use crate::observability::shard_level::{Row, SERIES_MAX, ShardCounts, page};
use crate::service::Service;

/// Counts by stream and shard, of streams with shard-level metrics.
#[derive(Debug, Default)]
pub struct CountsTable(RwLock<HashMap<(u64, u32), Arc<ShardCounts>>>);

impl CountsTable {
    /// The counts of a shard; `None` when its stream has none.
    pub fn of(&self, stream: &Stream, shard: &Shard) -> Option<Arc<ShardCounts>> {
        if stream.shard_level_metrics.is_empty() {
            return None;
        }
        let key = (stream.uid, shard.index);
        self.known(stream.uid, shard.index).or_else(|| {
            let mut table = self.0.write().expect("no code panics while it holds this lock");
            Some(table.entry(key).or_default().clone())
        })
    }

    /// The counts of a shard that has been used.
    fn known(&self, stream_uid: u64, shard: u32) -> Option<Arc<ShardCounts>> {
        let table = self.0.read().expect("no code panics while it holds this lock");
        table.get(&(stream_uid, shard)).cloned()
    }

    /// Forgets metrics that no stream asks for any more, and shards that are gone.
    pub fn forget(&self, catalog: &Catalog) {
        let mut table = self.0.write().expect("no code panics while it holds this lock");
        table.retain(|(uid, index), _| {
            let stream = catalog.by_uid(*uid).filter(|stream| !stream.shard_level_metrics.is_empty());
            stream.is_some_and(|stream| stream.shard(*index).is_some())
        });
    }
}

/// The detail in which the series fit on a page.
#[derive(Debug, PartialEq, Eq)]
enum Detail {
    Shards,
    /// The shards of each stream are added up.
    Streams,
    Nothing,
}

impl Detail {
    /// The most that fits, of so many series by shard and by stream.
    fn of(of_shards: usize, of_streams: usize) -> Self {
        match (of_shards <= SERIES_MAX, of_streams <= SERIES_MAX) {
            (true, _) => Self::Shards,
            (false, true) => Self::Streams,
            (false, false) => Self::Nothing,
        }
    }
}

impl Service {
    /// The series of single streams, and the enabled ones of all shards, as Prometheus reads them. Labels tell account
    /// and region where they are not the given ones.
    pub fn shard_level_page(&self, account: &str, region: &str) -> String {
        let catalog = self.catalog();
        let with_metrics = catalog.streams().values().filter(|stream| !stream.shard_level_metrics.is_empty());
        let streams: Vec<_> = with_metrics.collect();
        let series = |stream: &&Arc<Stream>| stream.shard_level_metrics.0.count_ones() as usize;
        let of_shards: usize = streams.iter().map(|stream| series(stream) * stream.shards.len()).sum();
        let of_streams: usize = streams.iter().map(series).sum();
        let place = (account, region);
        let of_stream = |stream: &Stream| stream_labels(&stream.key, account, region);
        let refusals = self.accounts.stream_refusals.page(&catalog, of_stream);
        let page = match Detail::of(of_shards, of_streams) {
            Detail::Shards => {
                let rows: Vec<_> =
                    streams.iter().flat_map(|stream| self.rows_of_shards(stream, place)).collect();
                page(&rows, 0)
            }
            Detail::Streams => {
                let rows: Vec<_> = streams.iter().map(|stream| self.row_of_stream(stream, place)).collect();
                page(&rows, of_shards)
            }
            Detail::Nothing => page(&[], of_shards),
        };
        refusals + &page
    }

    fn rows_of_shards(&self, stream: &Arc<Stream>, place: (&str, &str)) -> Vec<Row> {
        let row = |shard: &Shard| {
            let shard_id = ShardId(shard.index);
            let counts = self.accounts.shard_counts.of(stream, shard)?;
            let enabled = stream.shard_level_metrics.0;
            Some(Row { labels: shard_labels(&stream.key, shard_id, place.0, place.1), enabled, counts })
        };
        stream.shards.iter().filter_map(row).collect()
    }

    /// The shards of a stream added up.
    fn row_of_stream(&self, stream: &Arc<Stream>, place: (&str, &str)) -> Row {
        let counts = Arc::new(ShardCounts::default());
        for shard in &stream.shards {
            if let Some(of_shard) = self.accounts.shard_counts.known(stream.uid, shard.index) {
                counts.add_all(&of_shard);
            }
        }
        Row {
            labels: stream_labels(&stream.key, place.0, place.1),
            enabled: stream.shard_level_metrics.0,
            counts,
        }
    }
}

/// Names of streams and regions hold nothing that would have to be escaped.
fn shard_labels(key: &StreamKey, shard: ShardId, account: &str, region: &str) -> String {
    format!("stream=\"{}\",shard=\"{shard}\"{}", key.name, account_labels(key, account, region))
}

fn stream_labels(key: &StreamKey, account: &str, region: &str) -> String {
    format!("stream=\"{}\"{}", key.name, account_labels(key, account, region))
}

/// Account and region, where they are not the given ones.
fn account_labels(key: &StreamKey, account: &str, region: &str) -> String {
    let mut labels = String::new();
    for (name, own, usual) in [("account", &key.account, account), ("region", &key.region, region)] {
        if **own != *usual {
            labels.push_str(&format!(",{name}=\"{own}\""));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;
    use crate::model::stream::ShardLevelMetrics;

    #[test]
    fn counts_are_kept_while_they_are_asked_for() {
        let (table, mut stream) = (CountsTable::default(), fixture::stream("a", 2));
        assert!(table.of(&stream, &stream.shards[0]).is_none());
        stream.shard_level_metrics = ShardLevelMetrics(1);
        let first = table.of(&stream, &stream.shards[0]).unwrap();
        assert!(Arc::ptr_eq(&first, &table.of(&stream, &stream.shards[0]).unwrap()));
        assert!(!Arc::ptr_eq(&first, &table.of(&stream, &stream.shards[1]).unwrap()));
        let remaining = |stream: &Stream| {
            table.forget(&fixture::catalog(vec![stream.clone()]));
            table.0.read().unwrap().len()
        };
        assert_eq!(remaining(&stream), 2);
        let shard = stream.shards.pop().unwrap();
        assert_eq!(remaining(&stream), 1);
        stream.shards.push(shard);
        stream.shard_level_metrics = ShardLevelMetrics(0);
        assert_eq!(remaining(&stream), 0);
    }

    #[test]
    fn a_page_has_the_detail_that_fits() {
        assert_eq!(Detail::of(SERIES_MAX, 7), Detail::Shards);
        assert_eq!(Detail::of(SERIES_MAX + 1, SERIES_MAX), Detail::Streams);
        assert_eq!(Detail::of(20 * SERIES_MAX, SERIES_MAX + 1), Detail::Nothing);
    }

    #[test]
    fn labels_show_unusual_settings() {
        let key = fixture::stream("a", 1).key;
        let shown = |account, region| shard_labels(&key, ShardId(3), account, region);
        assert_eq!(shown("000000000000", "us-east-1"), r#"stream="a",shard="shardId-000000000003""#);
        let expected = r#"stream="a",shard="shardId-000000000003",account="000000000000",region="us-east-1""#;
        assert_eq!(shown("123456789012", "eu-west-1"), expected);
        assert_eq!(stream_labels(&key, "000000000000", "eu-west-1"), r#"stream="a",region="us-east-1""#);
    }
}
