//! Tidelog's bytes on disk: the write-ahead log, the segments of each shard, checkpoints and their recovery.
//!
//! Synchronous on purpose: this crate knows no tokio, no network, no Raft library and no clock. Everything here
//! is a step function over a [`Disk`]; the threads that call it live in the broker. The bytes
//! are specified in `FORMAT.md` beside this crate's manifest.

pub mod blocks;
pub mod checkpoint;
pub mod disk;
pub mod flusher;
mod recent;
pub mod record;
mod segment;
pub mod shard;
pub mod transfer;
pub mod wal;

pub use blocks::Blocks;
pub use disk::{Disk, DiskFile, RealDisk, SimDisk};
pub use wal::{Wal, WalError, WalReader};
