//! Streams that a data group has dropped. Late commands for them are refused, so that a driver which has lost its
//! leadership in the middle of a saga leaves no shards of a deleted stream.
//!
//! Part of the group's replicated state. Uids are never used again, and a late command comes within a driver's
//! patience, so that the newest [`DROPPED_MAX`] are enough; past them a late command leaves empty shards, and nothing
//! worse.

use std::collections::BTreeSet;

use tidelog_proto::stored::{self, data_command::Command};

use crate::replication::types::outcome::Outcome;

/// DeletedStreams streams that a group remembers: about 20 KiB of its checkpoint.
const DROPPED_MAX: usize = 4_096;

/// The newest streams that a data group has dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedStreams(BTreeSet<u64>);

impl DeletedStreams {
    /// Restores the uids of a checkpoint.
    pub fn restore(uids: &[u64]) -> Self {
        Self(uids.iter().copied().collect())
    }

    /// The uids that a checkpoint stores, ascending.
    pub fn store(&self) -> Vec<u64> {
        self.0.iter().copied().collect()
    }

    /// Looks at a command before it is applied: takes note of the end of a stream, and answers commands that open
    /// shards of a stream that is gone, without opening them.
    pub fn judge(&mut self, command: &stored::DataCommand) -> Option<Outcome> {
        let opened = match command.command.as_ref()? {
            Command::OpenShards(open) => open.uid,
            Command::SealAndOpen(step) => step.uid,
            Command::DropStream(stream) => {
                self.note(stream.uid);
                return None;
            }
            Command::Trim(_)
            | Command::DropShards(_)
            | Command::CopyProducers(_)
            | Command::SkipOrdinals(_)
            | Command::LeaseTables(_) => return None,
        };
        self.0.contains(&opened).then(|| Outcome::Sealed(Vec::new()))
    }

    /// Remembers a uid, and forgets the oldest of too many.
    fn note(&mut self, uid: u64) {
        self.0.insert(uid);
        if self.0.len() > DROPPED_MAX {
            self.0.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_also_by_a_checkpoint() {
        let mut deleted = DeletedStreams::default();
        let last = 2 * DROPPED_MAX as u64;
        for uid in (1..=last).rev().step_by(2).chain((1..=last).step_by(2)) {
            deleted.note(uid);
        }
        let newest: Vec<u64> = (last / 2 + 1..=last).collect();
        assert_eq!(newest.len(), DROPPED_MAX);
        assert_eq!(DeletedStreams::restore(&deleted.store()).store(), newest);
    }
}
