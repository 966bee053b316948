//! Commands: writes as they go through the log of a group, with everything that applying them depends on.
//!
//! The leader stamps a command with its time and the bounds of its settings, so that every node applies it in the same
//! way, whatever its own clock and settings are. `tables/FORMAT.md` has the bytes.

pub(crate) mod encoding;

use crate::owner::Owner;
use crate::request::Write;

/// The version of the bytes of a command. Version 1 has the same parts; its bounds do not divide a group among
/// accounts.
pub const VERSION: u8 = 2;

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
    /// Whether accounts share the bytes of a group. A command of version 1 was judged by the bytes of the snapshot
    /// alone, and has to be judged so again when a log is replayed.
    pub has_shares: bool,
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
            has_shares: true,
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
