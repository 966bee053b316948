//! The bytes that tables take: those of their snapshot, and those of the memory around it.
//!
//! Each account has a share of a group's bytes: it takes what it needs while an eighth of them is left for others, and
//! no more of that eighth than it leaves. An item counts with [`ITEM_MIN`] at least, which is more than a lease ever
//! takes: so leases can be renewed, taken and checkpointed while nothing new finds room.

use super::Tables;
use crate::command::{Bounds, Shares};
use crate::fault::Invalid;

/// Bytes that an item counts with at least, its keys and its entries of indexes included.
pub(super) const ITEM_MIN: u64 = 1_024;
/// Bytes around an item in memory: its places in the map, and the allocator's.
pub(super) const AROUND_ITEM: u64 = 96;
/// Bytes around an entry of an index, or of the order in which items expire.
pub(super) const AROUND_ENTRY: u64 = 48;
/// Bytes of a table and its names in maps.
pub(super) const AROUND_TABLE: u64 = 1_024;
/// The part of a group's bytes that is kept for accounts that have little is one of so many.
const LAST_PART: u64 = 8;
/// Bytes of an index without entries.
pub(super) const AROUND_INDEX: u64 = 512;

/// Bytes, or a change of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    /// Bytes in a snapshot.
    pub snapshot: i64,
    /// Bytes in memory.
    pub memory: i64,
}

impl std::iter::Sum for Growth {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            snapshot: sum.snapshot + one.snapshot,
            memory: sum.memory + one.memory,
        })
    }
}

/// The bytes of a table, and of its names in maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes in a snapshot.
    pub snapshot: u64,
    /// Bytes in memory.
    pub memory: u64,
}

/// The size of what is not there.
pub(super) const NOTHING: Size = Size { snapshot: 0, memory: 0 };

impl Tables {
    /// Bytes that an account takes in memory, in all its regions.
    pub fn account_bytes(&self, account: &str) -> u64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// Bytes that all tables take in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory
    }

    /// Replaces a size in the accounts.
    pub(super) fn resize(&mut self, account: &str, before: Size, after: Size) {
        self.bytes = self.bytes - before.snapshot + after.snapshot;
        self.memory = self.memory - before.memory + after.memory;
        match self.accounts.get_mut(account) {
            Some(own) if *own == before.memory && after == NOTHING => _ = self.accounts.remove(account),
            Some(own) => *own = *own - before.memory + after.memory,
            None => _ = self.accounts.insert(account.into(), after.memory),
        }
    }

    /// Refuses growth above the bound of the group, or above the share of the account. A state that is above already
    /// may shrink.
    pub(super) fn check_growth(&self, account: &str, growth: Growth, bounds: &Bounds) -> Result<(), Invalid> {
        let bytes = bounds.group_bytes;
        let full = Invalid::TablesFull { bytes };
        if bounds.shares == Shares::None {
            let is_full = growth.snapshot > 0 && self.bytes.saturating_add_signed(growth.snapshot) > bytes;
            return if is_full { Err(full) } else { Ok(()) };
        }
        if growth.memory <= 0 {
            return Ok(());
        }
        let after = self.memory.saturating_add_signed(growth.memory);
        let Some(left) = bytes.checked_sub(after) else { return Err(full) };
        if bounds.shares == Shares::LastEighth && left >= bytes / LAST_PART {
            return Ok(());
        }
        if self.account_bytes(account).saturating_add_signed(growth.memory) > left {
            return Err(Invalid::ShareTaken { account: account.to_owned(), bytes });
        }
        Ok(())
    }
}
