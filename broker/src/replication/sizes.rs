//! Sizes of the files under the groups, and the bounds that go with them. A broker runs with the defaults.

use std::time::Duration;

use tidelog_storage::shard::StoreOptions;

use crate::room::{Class, FILE_READS_MAX, Shares};

/// Bytes of records between their acceptance and their answer, however much memory there is.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Bytes of applied records that are not yet in segments, however much memory there is.
const UNFLUSHED_BYTES_MAX: u64 = 64 << 20;
/// The part of the unflushed bytes at which a flush begins, of those at which proposals wait: numerator and
/// denominator.
const FLUSH_FROM: (u64, u64) = (3, 8);
/// The part of a class that records on their way to other nodes, or from them, may take, as a fraction.
const PEER_FRACTION: usize = 8;
/// Bytes of the largest message of records: 10 MiB of data and keys, and the encoding around them.
const PEER_BYTES_MIN: usize = 11 << 20;
/// Bytes that are enough for the records on their way between nodes, however much memory there is.
const PEER_BYTES_MAX: usize = 64 << 20;
const WAL_FILE_BYTES: u64 = 128 << 20;
const WAL_FIRST_FILE_BYTES: u64 = 4 << 20;
/// Bytes of the first file of a log that goes with its process: such a broker is started for a test, and takes little.
const VOLATILE_FIRST_FILE_BYTES: u64 = 256 << 10;
/// Bytes that stay free by default on a large volume: two log files and 64 MiB.
const RESERVED_BYTES: u64 = 2 * WAL_FILE_BYTES + (64 << 20);
/// The part of a smaller volume that stays free by default.
const RESERVED_PART: u64 = 10;
/// Least bytes of a log file of full size: the largest commit fits it.
const WAL_FILE_BYTES_MIN: u64 = 32 << 20;
/// Least bytes that stay free: a log file, and something for a checkpoint.
pub const DISK_RESERVE_BYTES_MIN: u64 = WAL_FILE_BYTES_MIN + (8 << 20);
const WAL_LIVE_BYTES_MAX: u64 = 1 << 30;
const WAL_LIVE_BYTES_MAX_IN_CLUSTER: u64 = 4 << 30;
/// Least bound of the log, on the smallest volume: after two checkpoints two files at most hold an entry, and with
/// these the log must be well below its bound.
const WAL_LIVE_BYTES_MIN: u64 = 3 * WAL_FILE_BYTES_MIN;
/// The part of a volume that the log may take up.
const WAL_PART: u64 = 4;

/// How often, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct RepairPace {
    /// Between two looks at the list of damaged segments.
    pub look_every: Duration,
    /// Before the first round of the scrub, and between two.
    pub scrub_pause: Duration,
    /// Bytes that the scrub reads in a second: a hundredth of a disk's rate, and a hundredth of a core.
    pub scrub_bytes_per_second: u64,
}

impl Default for RepairPace {
    fn default() -> Self {
        Self {
            look_every: Duration::from_millis(500),
            scrub_pause: Duration::from_secs(3_600),
            scrub_bytes_per_second: 8 << 20,
        }
    }
}

/// How much of the volume stays free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskReserve {
    /// A part of the volume, at most [`RESERVED_BYTES`].
    #[default]
    Auto,
    /// Percent of the volume.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

/// How large files grow, and when puts are refused because of it.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// Bytes of one that is made at the start.
    pub wal_first_file_bytes: u64,
    /// Live bytes of the write-ahead log past which puts are refused until a checkpoint has freed some.
    pub wal_live_bytes_max: u64,
    /// Live bytes of the log of a node with peers, whose absence the log bridges: half of it is kept for nodes that
    /// lag.
    pub wal_live_bytes_max_in_cluster: u64,
    /// Bytes that stay free on the disk for votes, trims, membership and checkpoints.
    pub reserved_bytes: u64,
    /// Bytes of records between their acceptance and their answer.
    pub in_flight_bytes_max: usize,
    /// Bytes of applied records that can be brought into segments, at which proposals wait. A flush begins at
    /// [`Sizes::flush_from_bytes`] and stops at the store's `flush_until_bytes`.
    pub unflushed_bytes_max: u64,
    /// Bytes of records on their way to other nodes, until these have answered.
    pub forwarded_bytes_max: usize,
    /// Bytes of records that came from all other nodes and are not answered. Each of them may send as much as its
    /// own setting allows; records beyond the bound wait in the connection.
    pub received_bytes_max: usize,
    /// Bytes of records that other nodes' clients read here, on their way to those nodes.
    pub events_for_peers_bytes_max: usize,
    /// Reads of segment files that may be under way at a time; further ones wait.
    pub file_reads_max: usize,
    /// Sizes of segments, and of their part in memory.
    pub store: StoreOptions,
    /// The pace of scrub and repair.
    pub repair_pace: RepairPace,
}

impl Sizes {
    /// These sizes, with the bounds of memory cut to the classes log and tail.
    #[must_use]
    pub fn within(mut self, memory: &Shares) -> Self {
        let (log, tail) = (memory.bytes(Class::Log), memory.bytes(Class::Tail) as u64);
        // Forwarded records and the entries kept for other nodes have the rest of the class.
        self.in_flight_bytes_max = self.in_flight_bytes_max.min(log / 2);
        self.unflushed_bytes_max = self.unflushed_bytes_max.min(tail / 2);
        let of_class = |bytes: usize| (bytes / PEER_FRACTION).clamp(PEER_BYTES_MIN, PEER_BYTES_MAX);
        self.forwarded_bytes_max = of_class(log);
        self.received_bytes_max = of_class(log);
        self.events_for_peers_bytes_max = of_class(memory.bytes(Class::Events));
        self.file_reads_max = memory.file_reads_max();
        self.store.flush_until_bytes = self.store.flush_until_bytes.min(tail / 8);
        self.store.tail_bytes_max = self.store.tail_bytes_max.min(tail / 2);
        self
    }

    /// Bytes of applied records that are not yet in segments, from which on they are flushed.
    pub fn flush_from_bytes(&self) -> u64 {
        self.unflushed_bytes_max / FLUSH_FROM.1 * FLUSH_FROM.0
    }

    /// These sizes with at most so many segment files open for reading, and half as many for writing.
    #[must_use]
    pub fn with_open_files(mut self, files: usize) -> Self {
        self.store.open_files_max = files.max(1);
        self.store.write_files_max = (files / 2).max(1);
        self
    }

    /// Sizes for a volume of so many bytes, 0 for one whose size is unknown.
    pub fn for_volume(volume_bytes: u64, reserve: DiskReserve) -> Self {
        let volume_bytes = if volume_bytes == 0 { u64::MAX } else { volume_bytes };
        let reserved_bytes = match reserve {
            DiskReserve::Auto => (volume_bytes / RESERVED_PART).min(RESERVED_BYTES),
            DiskReserve::Percent(percent) => volume_bytes / 100 * u64::from(percent),
            DiskReserve::Bytes(bytes) => bytes,
        };
        let reserved_bytes = reserved_bytes.max(DISK_RESERVE_BYTES_MIN);
        let log_bytes = (volume_bytes / WAL_PART).max(WAL_LIVE_BYTES_MIN);
        // Two log files fit the reserve and leave space for a checkpoint; on the smallest volumes one does.
        let fitting = (1 << (reserved_bytes / 5 * 2).ilog2()).max(WAL_FILE_BYTES_MIN);
        Self {
            wal_file_bytes: WAL_FILE_BYTES.min(fitting),
            wal_live_bytes_max: WAL_LIVE_BYTES_MAX.min(log_bytes),
            wal_live_bytes_max_in_cluster: WAL_LIVE_BYTES_MAX_IN_CLUSTER.min(log_bytes),
            reserved_bytes,
            ..Self::default()
        }
    }

    /// These sizes for a directory that goes with its process.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { wal_first_file_bytes: VOLATILE_FIRST_FILE_BYTES, ..self }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            wal_file_bytes: WAL_FILE_BYTES,
            wal_first_file_bytes: WAL_FIRST_FILE_BYTES,
            wal_live_bytes_max: WAL_LIVE_BYTES_MAX,
            wal_live_bytes_max_in_cluster: WAL_LIVE_BYTES_MAX_IN_CLUSTER,
            reserved_bytes: RESERVED_BYTES,
            in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
            unflushed_bytes_max: UNFLUSHED_BYTES_MAX,
            forwarded_bytes_max: PEER_BYTES_MAX,
            received_bytes_max: PEER_BYTES_MAX,
            events_for_peers_bytes_max: PEER_BYTES_MAX,
            file_reads_max: FILE_READS_MAX,
            store: StoreOptions::default(),
            repair_pace: RepairPace::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn records_from_and_to_other_nodes_have_a_part_of_the_memory() {
        for (memory, log, events) in [(256, 11, 11), (2_048, 34, 17), (65_536, 40, 64)] {
            let sizes = Sizes::default().within(&Shares::of(memory * MIB as usize));
            let mib = |bytes: usize| bytes >> 20;
            assert_eq!(
                (mib(sizes.forwarded_bytes_max), mib(sizes.received_bytes_max)),
                (log, log),
                "{memory}"
            );
            assert_eq!(mib(sizes.events_for_peers_bytes_max), events, "{memory}");
        }
    }

    #[test]
    fn a_flush_stops_below_where_it_begins_and_begins_before_proposals_wait() {
        for memory in [256, 512, 2_048, 65_536] {
            let sizes = Sizes::default().within(&Shares::of(memory * MIB as usize));
            let marks = [sizes.store.flush_until_bytes, sizes.flush_from_bytes(), sizes.unflushed_bytes_max];
            assert!(marks.is_sorted_by(|low, high| low < high), "{memory} MiB: {marks:?}");
        }
    }

    #[test]
    fn a_small_volume_keeps_less_free_and_has_a_smaller_log() {
        for (volume, reserve, reserved, file, alone, in_cluster) in [
            (0, DiskReserve::Auto, 320, 128, 1_024, 4_096),
            (1 << 20, DiskReserve::Auto, 320, 128, 1_024, 4_096),
            (3_200, DiskReserve::Auto, 320, 128, 800, 800),
            (400, DiskReserve::Auto, 40, 32, 100, 100),
            (100, DiskReserve::Auto, 40, 32, 96, 96),
            (2_000, DiskReserve::Percent(5), 100, 32, 500, 500),
            (400, DiskReserve::Bytes(100 * MIB), 100, 32, 100, 100),
            (1 << 20, DiskReserve::Bytes(1 << 40), 1 << 20, 128, 1_024, 4_096),
        ] {
            let sizes = Sizes::for_volume(volume * MIB, reserve);
            let found = [
                sizes.reserved_bytes,
                sizes.wal_file_bytes,
                sizes.wal_live_bytes_max,
                sizes.wal_live_bytes_max_in_cluster,
            ];
            assert_eq!(
                found.map(|bytes| bytes / MIB),
                [reserved, file, alone, in_cluster],
                "{volume} {reserve:?}"
            );
            assert!(sizes.wal_file_bytes < sizes.reserved_bytes);
            assert!(3 * sizes.wal_file_bytes <= sizes.wal_live_bytes_max);
            assert!(sizes.wal_first_file_bytes <= sizes.wal_file_bytes);
        }
    }
}
