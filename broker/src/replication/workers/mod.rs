//! The workers under the groups: the write-ahead log's thread and the flush thread, the bound of the log, and the state
//! of the disk as they find it.

pub mod flush_worker;
pub mod log_bound;
pub mod node_disk;
pub mod wal_worker;
