//! Power losses at any moment against a model: the log is always one of the states that it went through, and never
//! one before the last acknowledged sync.

use crate::fixture::*;
use proptest::prelude::*;
use tidelog_storage::wal::{GroupId, SpareFiles, Wal, WalOp, WalOptions, WalReader};
use tidelog_storage::{SimDisk, WalError};

/// One step of a run. Positions are drawn relative to the log's entries at that moment.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Intent>),
    Sync,
    Prepare,
    Crash,
    /// The process ends and starts again; the disk keeps all writes, synced or not.
    Restart,
    /// The power goes after so many changes of the disk, in the middle of the next one.
    CutPower(u64),
}

#[derive(Clone, Debug)]
enum Intent {
    Append { group: GroupId, len: usize },
    Vote { group: GroupId },
    Truncate { group: GroupId, back: u64 },
    Purge { group: GroupId, back: u64 },
    PurgeBeyond { group: GroupId },
    Committed { group: GroupId },
}

fn intent() -> impl Strategy<Value = Intent> {
    let group = 0..3_u8;
    prop_oneof![
        8 => (group.clone(), 0..5000_usize).prop_map(|(group, len)| Intent::Append { group, len }),
        1 => group.clone().prop_map(|group| Intent::Vote { group }),
        1 => (group.clone(), 0..4_u64).prop_map(|(group, back)| Intent::Truncate { group, back }),
        3 => (group.clone(), 0..3_u64).prop_map(|(group, back)| Intent::Purge { group, back }),
        1 => group.clone().prop_map(|group| Intent::PurgeBeyond { group }),
        1 => group.prop_map(|group| Intent::Committed { group }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => prop::collection::vec(intent(), 1..4).prop_map(Step::Commit),
        2 => Just(Step::Sync),
        3 => Just(Step::Prepare),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        3 => (0..12_u64).prop_map(Step::CutPower),
    ]
}

struct Run {
    disk: SimDisk,
    options: WalOptions,
    wal: Wal,
    reader: WalReader,
    spares: SpareFiles,
    /// The states that the log went through since the last one known to be durable, which is the first.
    history: Vec<Model>,
    term: u64,
}

impl Run {
    fn new(seed: u64, sync_every_commit: bool) -> Self {
        let disk = SimDisk::new(seed);
        let options = WalOptions { file_bytes: 40 * KIB, first_file_bytes: 28 * KIB, sync_every_commit };
        let (wal, reader, _) = open(&disk, options).expect("a new log");
        let spares = wal.spare_files();
        Self { disk, options, wal, reader, spares, history: vec![Model::default()], term: 1 }
    }

    fn now(&self) -> &Model {
        self.history.last().expect("at least the durable state")
    }

    fn ops(&mut self, intents: &[Intent]) -> Vec<WalOp> {
        let mut model = self.now().clone();
        let mut ops = Vec::new();
        for intent in intents {
            if let Some(op) = self.op(&model, intent) {
                model.apply(&op);
                ops.push(op);
            }
        }
        ops
    }

    fn op(&mut self, model: &Model, intent: &Intent) -> Option<WalOp> {
        self.term += 1;
        let state = |group: GroupId| model.0[usize::from(group)].state;
        let entry_back = |group: GroupId, back: u64| {
            let mut entries = model.0[usize::from(group)].entries.iter().rev();
            entries.nth(usize::try_from(back).expect("small")).map(|(index, entry)| position(entry.0, *index))
        };
        Some(match *intent {
            Intent::Append { group, len } => {
                let index = state(group).last.map_or(0, |last| last.index + 1);
                append(group, self.term, index, len)
            }
            Intent::Vote { group } => vote(group, self.term),
            Intent::Truncate { group, back } => {
                let after = entry_back(group, back).or(state(group).purged);
                WalOp::Truncate { group, after }
            }
            Intent::Purge { group, back } => WalOp::Purge { group, upto: entry_back(group, back)? },
            Intent::PurgeBeyond { group } => {
                purge(group, self.term, state(group).last.map_or(0, |last| last.index + 5))
            }
            Intent::Committed { group } => WalOp::Committed { group, position: state(group).last? },
        })
    }

    fn commit(&mut self, intents: &[Intent]) {
        let ops = self.ops(intents);
        let mut after = self.now().clone();
        ops.iter().for_each(|op| after.apply(op));
        let result = self.wal.commit(&ops);
        // Even a failed commit may be found after a crash: its outcome is unknown.
        self.history.push(after);
        match result {
            Ok(commit) => {
                if commit.synced {
                    self.history.drain(..self.history.len() - 1);
                }
                let has_vote = ops.iter().any(|op| matches!(op, WalOp::Vote { .. }));
                assert!(commit.synced || !(self.options.sync_every_commit || has_vote));
                match Model::read(&self.reader) {
                    Ok(seen) => assert_eq!(seen, self.now().without_hints()),
                    Err(WalError::Io { .. }) => self.crash(), // The power went right after the commit.
                    Err(error) => panic!("{error}"),
                }
            }
            Err(_) => self.crash(),
        }
    }

    /// Whether the log as found is that state of the history. The mark knows a vote before the log does, so that votes
    /// may be those of a later commit, which was not finished.
    fn may_be(&self, at: usize, found: &Model) -> bool {
        let without_votes = |model: &Model| {
            let mut model = model.without_hints();
            model.0.iter_mut().for_each(|group| group.state.vote = None);
            model
        };
        let is_cast = |(group, found): (usize, &GroupModel)| {
            self.history[at..].iter().any(|model| model.0[group].state.vote == found.state.vote)
        };
        without_votes(&self.history[at]) == without_votes(found) && found.0.iter().enumerate().all(is_cast)
    }

    fn crash(&mut self) {
        self.disk.crash();
        let (wal, reader, _) = open(&self.disk, self.options).expect("a crash is no damage");
        let found = Model::read(&reader).expect("readable");
        let at = (0..self.history.len()).rev().find(|at| self.may_be(*at, &found));
        let at = at.expect("the log is one of its own states since the last sync");
        let mut state = self.history.swap_remove(at);
        for (group, found) in state.0.iter_mut().zip(&found.0) {
            group.state.vote = found.state.vote;
        }
        self.history = vec![state];
        self.spares = wal.spare_files();
        (self.wal, self.reader) = (wal, reader);
    }

    fn restart(&mut self) {
        match open(&self.disk, self.options) {
            Ok((wal, reader, _)) => {
                self.spares = wal.spare_files();
                (self.wal, self.reader) = (wal, reader);
                // The start made everything durable that it found, which is the whole log.
                self.history.drain(..self.history.len() - 1);
            }
            Err(WalError::Io { .. } | WalError::SyncFailed { .. }) => self.crash(), // The power went meanwhile.
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit(intents) => self.commit(intents),
            Step::Sync => match self.wal.sync() {
                Ok(()) => drop(self.history.drain(..self.history.len() - 1)),
                Err(_) => self.crash(),
            },
            Step::Prepare => {
                if self.spares.prepare().is_err() {
                    self.crash();
                }
            }
            Step::Crash => self.crash(),
            Step::Restart => self.restart(),
            Step::CutPower(changes) => self.disk.cut_power_after(*changes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_loses_nothing_that_was_synced_and_leaves_no_gap(
        seed in any::<u64>(),
        sync_every_commit in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut run = Run::new(seed, sync_every_commit);
        for step in &steps {
            run.step(step);
        }
        run.crash();
    }
}

#[test]
fn power_lost_at_every_change_of_the_disk_is_survived() {
    // A run through several files with purges, interrupted at its first change, its second, and so on.
    for changes in 0..160 {
        for seed in 0..3 {
            let mut run = Run::new(seed, seed != 1);
            run.disk.cut_power_after(changes);
            for index in 0..24 {
                let mut intents = vec![Intent::Append { group: 0, len: 3000 }, Intent::Vote { group: 1 }];
                if index > 2 {
                    intents.push(Intent::Purge { group: 0, back: 1 });
                }
                run.step(&Step::Commit(intents));
                if index % 5 == 0 {
                    run.step(&Step::Prepare);
                }
            }
            run.crash();
        }
    }
}

#[test]
fn unsynced_commits_may_go_but_the_rest_is_a_prefix() {
    let (mut shorter, mut whole) = (0, 0);
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let options = WalOptions { sync_every_commit: false, ..options(64 * KIB) };
        let (mut wal, _, _) = open(&disk, options).expect("a new log");
        for index in 1..=3 {
            assert!(!wal.commit(&[append(0, 1, index, 100)]).expect("committed").synced);
        }
        wal.sync().expect("synced");
        for index in 4..=6 {
            wal.commit(&[append(0, 1, index, 3000)]).expect("committed");
        }
        disk.crash();
        let (_, reader, _) = open(&disk, options).expect("reopened");
        let last = reader.state(0).last.expect("what was synced").index;
        assert!((3..=6).contains(&last));
        assert_eq!(reader.read(0, 0..100, 1 << 20).expect("readable").len() as u64, last);
        if last == 6 { whole += 1 } else { shorter += 1 }
    }
    assert!(whole > 10 && shorter > 10, "{whole} whole, {shorter} shorter");
}

#[test]
fn unsynced_bytes_that_a_restart_finds_are_durable_after_it() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let options = WalOptions { sync_every_commit: false, ..options(64 * KIB) };
        let (mut wal, _, _) = open(&disk, options).expect("a new log");
        wal.commit(&[append(0, 1, 1, 5000)]).expect("committed");
        drop(wal);
        let (mut wal, reader, _) = open(&disk, options).expect("reopened without a crash");
        assert_eq!(reader.state(0).last, Some(position(1, 1)));
        wal.commit(&[append(0, 1, 2, 100), vote(0, 2)]).expect("committed");
        disk.crash();
        let (_, reader, _) = open(&disk, options).expect("a crash is no damage");
        assert_eq!(reader.read(0, 0..9, 1 << 20).expect("readable").len(), 2);
    }
}

#[test]
fn a_failed_sync_stops_the_log_and_the_next_start_is_right() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (mut wal, _, _) = open(&disk, options(64 * KIB)).expect("a new log");
        wal.commit(&[append(0, 1, 1, 100)]).expect("committed");
        disk.fail_next_sync();
        let error = wal.commit(&[append(0, 1, 2, 100)]).expect_err("the planted failure");
        assert!(matches!(error, WalError::SyncFailed { .. }), "{error}");
        for _ in 0..2 {
            let error = wal.commit(&[append(0, 1, 2, 100)]).expect_err("stopped");
            assert!(matches!(error, WalError::Stopped), "{error}");
            assert!(matches!(wal.sync(), Err(WalError::Stopped)));
        }
        disk.crash();
        let (_, reader, _) = open(&disk, options(64 * KIB)).expect("reopened");
        assert_eq!(reader.state(0).last, Some(position(1, 1)));
    }
}
