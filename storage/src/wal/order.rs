//! The rules of order between changes of a group, checked before anything is written or believed.
//!
//! A draft follows the changes of one call over the group's log, without changing it. Used by the writer and by
//! recovery.

use super::LogPosition;
use super::group::{Change, GroupLog};

/// A group's log with further changes that are not made yet.
pub(super) struct Draft<'log> {
    log: &'log GroupLog,
    purged: Option<LogPosition>,
    last: Option<LogPosition>,
    /// Entries of the log below this index are still part of the draft.
    log_end: u64,
    appended: Vec<LogPosition>,
}

impl<'log> Draft<'log> {
    pub(super) fn new(log: &'log GroupLog) -> Self {
        let record = log.record();
        Self { log, purged: record.purged, last: record.last, log_end: u64::MAX, appended: Vec::new() }
    }

    /// Follows one change, or names the rule that it breaks.
    pub(super) fn follow(&mut self, change: Change) -> Result<(), &'static str> {
        match change {
            Change::Append(position) => self.append(position),
            Change::Truncate(after) => self.truncate(after),
            Change::Purge(upto) => self.purge(upto),
            Change::Vote(_) | Change::Committed(_) => Ok(()),
        }
    }

    fn append(&mut self, position: LogPosition) -> Result<(), &'static str> {
        if let Some(last) = self.last {
            if position.index != last.index + 1 {
                return Err("an appended entry must follow the last one; truncate first to replace entries");
            }
            if position.term < last.term {
                return Err("the term of an appended entry is below the last one's");
            }
        }
        self.appended.push(position);
        self.last = Some(position);
        Ok(())
    }

    fn truncate(&mut self, after: Option<LogPosition>) -> Result<(), &'static str> {
        match (after, self.purged, self.last) {
            (None, Some(_), _) => return Err("a purged entry cannot be truncated"),
            (None, None, _) => {}
            (Some(_), _, None) => {
                return Err("the log cannot be truncated behind an entry that it does not have");
            }
            (Some(after), purged, Some(last)) => {
                if purged.is_some_and(|purged| after.index < purged.index) {
                    return Err("a purged entry cannot be truncated");
                }
                if after.index > last.index || !self.may_hold(after) {
                    return Err("the log cannot be truncated behind an entry that it does not have");
                }
            }
        }
        let end = after.map_or(0, |after| after.index + 1);
        self.appended.retain(|position| position.index < end);
        self.log_end = self.log_end.min(end);
        self.last = after;
        Ok(())
    }

    fn purge(&mut self, upto: LogPosition) -> Result<(), &'static str> {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        if !self.may_hold(upto) {
            return Err("the log is purged up to an entry of another term");
        }
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
            self.appended.clear();
            self.log_end = 0;
        }
        Ok(())
    }

    /// False when another entry is known at that index. During recovery entries of recycled files are not known.
    fn may_hold(&self, position: LogPosition) -> bool {
        if let Some(purged) = self.purged
            && purged.index == position.index
        {
            return purged == position;
        }
        if let Some(first) = self.appended.first()
            && position.index >= first.index
        {
            let at = usize::try_from(position.index - first.index).expect("entries in memory");
            return self.appended.get(at).is_none_or(|appended| *appended == position);
        }
        if position.index >= self.log_end {
            return true;
        }
        self.log.slot(position.index).is_none_or(|slot| slot.term == position.term)
    }
}
