//! The shards that `tail` reads, each from its position on, and children after their parents.

use std::collections::BTreeMap;

use tidelog_client::ShardOrder;
use tidelog_kinesis::operations::{Shard, StartingPosition};

/// The shards of a stream and how far each is.
#[derive(Debug)]
pub(super) struct Sequence {
    position: StartingPosition,
    /// All shards that were listed, those that are read and those that are not wanted too.
    shards: BTreeMap<String, (Shard, StartingPosition)>,
    order: ShardOrder,
    began: bool,
}

impl Sequence {
    /// Reading begins at `position` in each of the shards that are there when it begins.
    pub(super) fn new(position: StartingPosition) -> Self {
        Self { position, shards: BTreeMap::new(), order: ShardOrder::default(), began: false }
    }

    /// Takes in shards that are not known yet. Shards of the first call are there at the beginning; later ones were
    /// made since, so that all their records are wanted.
    pub(super) fn take(&mut self, shards: Vec<Shard>) {
        let is_latest = self.position == StartingPosition::Latest;
        for shard in shards {
            if self.knows(&shard.shard_id) {
                continue;
            }
            if self.began || !is_latest || shard.is_open() {
                self.order.add(shard.shard_id.clone(), shard.parents().map(str::to_owned).collect());
            }
            let position =
                if self.began && is_latest { StartingPosition::TrimHorizon } else { self.position.clone() };
            self.shards.insert(shard.shard_id.clone(), (shard, position));
        }
        self.began = true;
    }

    /// The shards that are to be read now, each with where it begins.
    pub(super) fn reading(&mut self) -> Vec<(Shard, StartingPosition)> {
        self.order.start_ready();
        let reading = self.shards.iter().filter(|(shard_id, _)| self.order.is_reading(shard_id));
        reading.map(|(_, shard)| shard.clone()).collect()
    }

    /// Nothing more is wanted of that shard.
    pub(super) fn finish(&mut self, shard: &str) {
        self.order.finish(shard);
    }

    /// Whether that shard is known.
    pub(super) fn knows(&self, shard: &str) -> bool {
        self.shards.contains_key(shard)
    }

    /// Whether there is anything left to read.
    pub(super) fn is_going_on(&self) -> bool {
        !self.order.is_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_kinesis::operations::{HashKeyRange, SequenceNumberRange};

    fn shard(id: &str, parents: &[&str], is_open: bool) -> Shard {
        Shard {
            shard_id: id.into(),
            parent_shard_id: parents.first().map(|id| (*id).to_owned()),
            adjacent_parent_shard_id: parents.get(1).map(|id| (*id).to_owned()),
            hash_key_range: HashKeyRange { starting_hash_key: "0".into(), ending_hash_key: "1".into() },
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: "0".into(),
                ending_sequence_number: (!is_open).then(|| "1".into()),
            },
        }
    }

    fn ids(sequence: &mut Sequence) -> Vec<String> {
        sequence.reading().into_iter().map(|(shard, _)| shard.shard_id).collect()
    }

    #[test]
    fn children_wait_for_all_their_parents() {
        let mut sequence = Sequence::new(StartingPosition::TrimHorizon);
        sequence.take(vec![
            shard("1", &["0"], false),
            shard("2", &["0"], false),
            shard("3", &["1", "2"], true),
            shard("4", &[], true),
        ]);
        assert_eq!(ids(&mut sequence), ["1", "2", "4"], "their parent is not listed any more");
        sequence.finish("1");
        assert_eq!(ids(&mut sequence), ["2", "4"], "one parent of two");
        sequence.finish("2");
        assert_eq!(ids(&mut sequence), ["3", "4"]);
        sequence.finish("3");
        sequence.finish("4");
        assert!(!sequence.is_going_on());
    }

    #[test]
    fn the_newest_records_are_those_of_open_shards_and_their_children() {
        let mut sequence = Sequence::new(StartingPosition::Latest);
        sequence.take(vec![shard("0", &[], false), shard("1", &["0"], true)]);
        assert_eq!(
            sequence.reading().into_iter().map(|(_, position)| position).collect::<Vec<_>>(),
            [StartingPosition::Latest]
        );
        sequence.finish("1");
        sequence.take(vec![shard("0", &[], false), shard("1", &["0"], false), shard("2", &["1"], true)]);
        let reading = sequence.reading();
        assert_eq!(reading.len(), 1);
        assert_eq!((reading[0].0.shard_id.as_str(), &reading[0].1), ("2", &StartingPosition::TrimHorizon));
    }
}
