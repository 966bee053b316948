//! One group's log in memory: its state and where each entry stands.
//!
//! Owned by the shared half of the log behind one lock per group; the writer and recovery change it, readers look
//! entries up. Invariant outside recovery: the slots are the entries `first..=last` without a gap.

use std::collections::VecDeque;

use super::{GroupState, LogPosition, Vote};

/// The part of a file's state block about one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupRecord {
    pub vote: Option<Vote>,
    pub purged: Option<LogPosition>,
    /// The index of the first entry that is there; none when there is no entry.
    pub first: Option<u64>,
    pub last: Option<LogPosition>,
    pub committed: Option<LogPosition>,
}

/// A change of a group without the bytes of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Append(LogPosition),
    Vote(Vote),
    Truncate(Option<LogPosition>),
    Purge(LogPosition),
    Committed(LogPosition),
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub term: u64,
    /// The sequence number of the file.
    pub file: u64,
    /// Where its frame begins in the file, in bytes.
    pub offset: u32,
    pub payload_bytes: u32,
}

/// The state and the entries of a group.
#[derive(Debug, Default)]
pub(super) struct GroupLog {
    record: GroupRecord,
    slots: VecDeque<Slot>,
    /// The index of the first slot, when there is one.
    slots_first: u64,
}

impl GroupLog {
    /// The log behind a state block, before the file's commits are replayed.
    pub(super) fn from_record(record: GroupRecord) -> Self {
        Self { record, slots: VecDeque::new(), slots_first: 0 }
    }

    pub(super) fn record(&self) -> GroupRecord {
        self.record
    }

    pub(super) fn state(&self) -> GroupState {
        let GroupRecord { vote, purged, last, committed, .. } = self.record;
        let committed =
            committed.and_then(|hint| last.map(|last| if hint.index > last.index { last } else { hint }));
        GroupState { vote, purged, last, committed }
    }

    /// The entry's slot, if the entry is there.
    pub(super) fn slot(&self, index: u64) -> Option<Slot> {
        let at = index.checked_sub(self.slots_first)?;
        self.slots.get(usize::try_from(at).ok()?).copied()
    }

    /// The index of the first slot.
    pub(super) fn slots_first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.slots_first)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// True when every entry that the state speaks of has its slot.
    pub(super) fn is_complete(&self) -> bool {
        let slots_last = (self.slots_first + self.slots.len() as u64).checked_sub(1);
        match self.record.first {
            None => self.slots.is_empty(),
            Some(first) => {
                self.slots_first() == Some(first) && slots_last == self.record.last.map(|last| last.index)
            }
        }
    }

    /// Makes a change that is in order. `slot` stands for an appended entry; `dropped` gets the file of each entry
    /// that goes.
    pub(super) fn apply(&mut self, change: Change, slot: Option<Slot>, dropped: &mut impl FnMut(u64)) {
        match change {
            Change::Append(position) => self.append(position, slot.expect("an appended entry has a slot")),
            Change::Vote(vote) => self.record.vote = Some(vote),
            Change::Truncate(after) => self.truncate(after, dropped),
            Change::Purge(upto) => self.purge(upto, dropped),
            Change::Committed(position) => self.record.committed = Some(position),
        }
    }

    fn append(&mut self, position: LogPosition, slot: Slot) {
        if self.slots.is_empty() {
            self.slots_first = position.index;
        }
        self.slots.push_back(slot);
        self.record.first.get_or_insert(position.index);
        self.record.last = Some(position);
    }

    fn truncate(&mut self, after: Option<LogPosition>, dropped: &mut impl FnMut(u64)) {
        let end = after.map_or(0, |after| after.index + 1);
        let kept = usize::try_from(end.saturating_sub(self.slots_first)).expect("entries in memory");
        while self.slots.len() > kept {
            let slot = self.slots.pop_back().expect("more slots than are kept");
            dropped(slot.file);
        }
        self.record.first = self.record.first.filter(|first| *first < end);
        self.record.last = after;
    }

    fn purge(&mut self, upto: LogPosition, dropped: &mut impl FnMut(u64)) {
        if self.record.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        while self.slots_first <= upto.index
            && let Some(slot) = self.slots.pop_front()
        {
            dropped(slot.file);
            self.slots_first += 1;
        }
        self.record.purged = Some(upto);
        match self.record.last {
            Some(last) if last.index > upto.index => {
                self.record.first = self.record.first.map(|first| first.max(upto.index + 1));
            }
            _ => {
                self.record.first = None;
                self.record.last = Some(upto);
            }
        }
    }
}
