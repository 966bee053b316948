//! Random operations with power failures at any point: after each, the last durable checkpoint and the log behind
//! it give the same shards, and sealed files equal those of a run without failures.

use std::path::Path;
use std::sync::Arc;

use crate::model::{
    CHECKPOINTS, Model, body, file_bytes, key, open, segment_path, segments_of, small_options,
};
use bytes::Bytes;
use proptest::prelude::*;
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ReadLimit, ShardError, ShardLog, ShardStore, StoreOptions};
use tidelog_storage::{SimDisk, checkpoint};

const SHARD_COUNT: u32 = 3;

/// A committed entry, which the write-ahead log would bring back.
#[derive(Clone, Debug)]
enum Entry {
    Batch { shard: u32, time_ms: u64, count: u32, body: Bytes, checksum: u32 },
    Trim { shard: u32, ordinal: u64 },
}

#[derive(Clone, Debug)]
enum Step {
    Batch {
        shard: u32,
        passed_ms: u64,
        count: u32,
        data_bytes: usize,
    },
    Trim {
        shard: u32,
        percent: u64,
    },
    Flush,
    Checkpoint,
    Read {
        shard: u32,
        percent: u64,
        limit: ReadLimit,
    },
    Crash,
    /// The newest checkpoint is damaged when the node comes back.
    DamagedCheckpoint {
        bit: u64,
        percent: u64,
    },
    /// The power goes after so many operations of a flush, a checkpoint and an unlinking.
    PowerCut {
        operations: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let data_bytes = prop_oneof![5 => 0..300usize, 3 => 1_000..6_000usize, 1 => 6_000..40_000usize];
    let limit = (1..40usize, 0..60_000usize).prop_map(|(records, bytes)| ReadLimit { records, bytes });
    let passed_ms = prop_oneof![4 => 0..50u64, 1 => 0..6_000u64];
    prop_oneof![
        24 => (0..SHARD_COUNT, passed_ms, 1..5u32, data_bytes)
            .prop_map(|(shard, passed_ms, count, data_bytes)| Step::Batch { shard, passed_ms, count, data_bytes }),
        2 => (0..SHARD_COUNT, 0..=100u64).prop_map(|(shard, percent)| Step::Trim { shard, percent }),
        4 => Just(Step::Flush),
        4 => Just(Step::Checkpoint),
        4 => (0..SHARD_COUNT, 0..110u64, limit)
            .prop_map(|(shard, percent, limit)| Step::Read { shard, percent, limit }),
        1 => Just(Step::Crash),
        1 => (0..400u64, 0..=100u64).prop_map(|(bit, percent)| Step::DamagedCheckpoint { bit, percent }),
        3 => (0..40u64).prop_map(|operations| Step::PowerCut { operations }),
    ]
}

struct Node {
    disk: SimDisk,
    options: StoreOptions,
    store: Arc<ShardStore>,
    flusher: Flusher,
    log: Vec<Entry>,
    models: Vec<Model>,
    now_ms: u64,
    sequence: u64,
}

impl Node {
    fn new(disk: SimDisk, options: StoreOptions) -> Node {
        let store = open(&disk, options, Vec::new());
        let mut node = Node {
            flusher: Flusher::new(store.clone()),
            disk,
            options,
            store,
            log: Vec::new(),
            models: vec![Model::default(); SHARD_COUNT as usize],
            now_ms: 0,
            sequence: 0,
        };
        node.create_shards();
        node
    }

    fn create_shards(&mut self) {
        (0..SHARD_COUNT).for_each(|shard| drop(self.store.create(key(shard))));
    }

    fn shard(&self, shard: u32) -> Arc<ShardLog> {
        self.store.get(key(shard)).expect("all shards were created")
    }

    fn commit(&mut self, entry: Entry) {
        match &entry {
            Entry::Batch { shard, time_ms, body, .. } => {
                self.models[*shard as usize].apply(*time_ms, body.clone());
            }
            Entry::Trim { shard, ordinal } => self.models[*shard as usize].trim(*ordinal),
        }
        self.apply(&entry);
        self.log.push(entry);
    }

    fn apply(&self, entry: &Entry) {
        match entry {
            Entry::Batch { shard, time_ms, count, body, checksum } => {
                self.shard(*shard).apply(*time_ms, *count, body.clone(), *checksum);
            }
            Entry::Trim { shard, ordinal } => self.shard(*shard).trim(*ordinal),
        }
    }

    fn checkpoint(&mut self) -> Result<(), ShardError> {
        self.sequence += 1;
        let logs: Vec<_> = (0..SHARD_COUNT).map(|shard| self.shard(shard)).collect();
        let at = (self.sequence, self.log.len() as u64);
        crate::model::checkpoint(&self.disk, &mut self.flusher, &logs, at)?;
        self.flusher.unlink().map(drop)
    }

    fn crash(&mut self, damaged: Option<u64>) {
        self.disk.crash();
        let loaded = checkpoint::load(&self.disk, Path::new(CHECKPOINTS)).expect("checkpoints survive");
        let (mut shards, mut index) = (Vec::new(), 0);
        if let Some(loaded) = loaded {
            assert_eq!(loaded.damaged_newer.map(|damaged| damaged.sequence), damaged);
            let group = loaded.checkpoint.groups.into_iter().next().expect("there is one group");
            (shards, index) = (group.shards, group.applied.expect("an index").1);
        }
        self.store = open(&self.disk, self.options, shards);
        self.flusher = Flusher::new(self.store.clone());
        self.create_shards();
        self.log[index as usize..].iter().for_each(|entry| self.apply(entry));
        self.check();
    }

    fn check(&self) {
        for (shard, model) in self.models.iter().enumerate() {
            let log = self.shard(shard as u32);
            model.check_times(&log);
            model.check_reads(&log, 1, ReadLimit { records: 50, bytes: 30_000 });
        }
    }

    fn take(&mut self, number: u64, step: &Step) {
        match *step {
            Step::Batch { shard, passed_ms, count, data_bytes } => {
                self.now_ms += passed_ms;
                let (body, checksum) = body(number, count, data_bytes);
                self.commit(Entry::Batch { shard, time_ms: self.now_ms, count, body, checksum });
            }
            Step::Trim { shard, percent } => {
                let ordinal = self.models[shard as usize].next_ordinal() * percent / 100;
                self.commit(Entry::Trim { shard, ordinal });
            }
            Step::Flush => drop(self.flusher.flush_some().expect("the disk is well")),
            Step::Checkpoint => self.checkpoint().expect("the disk is well"),
            Step::Read { shard, percent, limit } => {
                let model = &self.models[shard as usize];
                model.check_reads(&self.shard(shard), model.next_ordinal() * percent / 100, limit);
            }
            Step::Crash => self.crash(None),
            Step::DamagedCheckpoint { bit, percent } => {
                self.checkpoint().expect("the disk is well");
                self.take(number, &Step::Trim { shard: 0, percent });
                self.checkpoint().expect("the disk is well");
                let newest = format!("{CHECKPOINTS}/{:020}.checkpoint", self.sequence);
                self.disk.flip_bit(Path::new(&newest), bit);
                self.crash(Some(self.sequence));
                self.checkpoint().expect("the disk is well");
                self.checkpoint().expect("the disk is well");
            }
            Step::PowerCut { operations } => {
                self.disk.cut_power_after(operations);
                let _ = self.flusher.flush_some();
                let _ = self.checkpoint();
                self.crash(None);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_crash_leaves_the_same_shards_and_files(
        seed in any::<u64>(),
        is_large in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let segment_bytes = if is_large { 200_000 } else { 20_000 };
        let options = StoreOptions { segment_bytes, ..small_options() };
        let mut node = Node::new(SimDisk::new(seed), options);
        for (number, step) in steps.iter().enumerate() {
            node.take(number as u64, step);
        }
        node.check();
        node.crash(None);
        node.checkpoint().expect("the disk is well");

        let mut uncrashed = Node::new(SimDisk::new(0), options);
        node.log.iter().for_each(|entry| uncrashed.apply(entry));
        let logs: Vec<_> = (0..SHARD_COUNT).map(|shard| uncrashed.shard(shard)).collect();
        uncrashed.flusher.checkpoint(logs.iter().map(|log| log.snapshot()).collect()).expect("the disk is well");
        for key in (0..SHARD_COUNT).map(key) {
            for name in segments_of(&node.disk, key) {
                let path = segment_path(key, &name);
                prop_assert!(file_bytes(&node.disk, &path) == file_bytes(&uncrashed.disk, &path), "{:?}", path);
            }
        }
    }
}
