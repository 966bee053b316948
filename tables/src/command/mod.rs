//! Commands: writes as they go through the log of a group, with everything that applying them depends on.
//!
//! The leader stamps a command with its time and the bounds of its settings, so that every node applies it in the same
//! way, whatever its own clock and settings are. `tables/FORMAT.md` has the bytes.

pub(crate) mod encoding;

use crate::owner::Owner;
use crate::request::Write;

/// The version of the bytes of a command. Versions 1 and 2 have the same parts, and divide a group among accounts by
/// other rules ([`Shares`]).
pub const VERSION: u8 = 3;

/// Bounds of tables: settings of the cluster. The node that proposes a command writes them into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tables of one owner, over all groups.
    pub tables: u64,
    /// Items of one table.
    pub items: u64,
    /// Bytes of one item, as DynamoDB counts them.
    pub item_bytes: u64,
    /// Bytes of one group, all its tables together: what they take in memory, which is more than their snapshot.
    pub group_bytes: u64,
    /// How accounts share the bytes of a group.
    pub shares: Shares,
}

/// A rule by which accounts share the bytes of a group. The version of a command names it, so that a log that is
/// replayed is judged as it was at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// Accounts have no shares, and the bytes of the snapshot count.
    None,
    /// An account takes no more than it leaves for all others.
    Free,
    /// An account takes what it needs while an eighth of the group is left, and then no more than it leaves for all
    /// others.
    LastEighth,
}

impl Bounds {
    /// The greatest `group_bytes`: a snapshot has to fit one message between nodes.
    pub const GROUP_BYTES_MAX: u64 = 32 * 1024 * 1024;
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            tables: 256,
            items: 100_000,
            item_bytes: 400 * 1024,
            group_bytes: Self::GROUP_BYTES_MAX,
            shares: Shares::LastEighth,
        }
    }
}

/// The circumstances of a command, as its leader has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// Bounds that the command may not pass.
    pub bounds: Bounds,
    /// Tables that the owner has in other groups; CreateTable needs it.
    pub tables_elsewhere: u64,
}

/// One entry, or a part of one, in the log of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The circumstances.
    pub stamp: Stamp,
    /// The owner of all its tables.
    pub owner: Owner,
    /// The change.
    pub write: Write,
}
