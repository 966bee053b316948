//! Whether the machine went down under a node that does not sync every commit.
//!
//! With an interval between syncs a power loss takes the entries that were acknowledged since the last one. Votes
//! apart, a node of a cluster that comes back from it would lack entries that it has acknowledged to its peers. So
//! such a node writes down under which boot of the machine it runs, and once more when it has stopped in order. A
//! crash of the process alone is no matter: the page cache outlives it. The node calls this at its start and at its
//! end.

use std::io;
use std::path::Path;

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

const NAME: &str = "BOOT";
/// The kernel's random id of this boot (Linux, random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// More than any record of a boot has.
const RECORD_BYTES_MAX: u64 = 256;

/// The refusal of a node that may have forgotten entries that it acknowledged.
pub const FORGETFUL: &str = "the machine went down while this node ran with interval durability, so it may have lost \
     entries that it acknowledged to its peers: it must not come back under its id. Start it with an empty data directory under an \
     id that was never used, and run `tidelog cluster replace OLD_ID NEW_ID=HOST:PORT`";

/// The refusal of a node of a cluster whose kernel does not tell one boot from the next.
pub const UNKNOWN: &str = "this system does not tell when it was started, so a node of a cluster could not notice that a loss \
     of power took entries that it had acknowledged: use --durability fsync";

/// This boot of the machine; empty where the kernel does not tell.
pub fn current() -> String {
    std::fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Whether the machine went down while the node of this directory ran with an interval between syncs.
///
/// # Errors
/// When the record of the last boot cannot be read.
pub fn went_down(disk: &dyn Disk, directory: &Path, boot: &str) -> io::Result<bool> {
    if !disk.list(directory)?.iter().any(|name| name == NAME) {
        return Ok(false);
    }
    let file = disk.open(&directory.join(NAME), Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(RECORD_BYTES_MAX)).expect("at most 256")];
    file.read_exact_at(&mut bytes, 0)?;
    // A record that is incomplete is one of a boot that has ended.
    Ok(bytes != record(boot).as_bytes())
}

/// Notes that the node runs under that boot with an interval between syncs.
///
/// # Errors
/// When it cannot be made durable.
pub fn note_running(disk: &dyn Disk, directory: &Path, boot: &str) -> io::Result<()> {
    let temporary = directory.join("BOOT.tmp");
    let file = disk.open(&temporary, Open::Create)?;
    file.write_all_at(record(boot).as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &directory.join(NAME))?;
    disk.sync_dir(directory)
}

/// Notes that the node has stopped with everything on the medium, or that it syncs every commit.
///
/// # Errors
/// When it cannot be made durable.
pub fn note_safe(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    if !disk.list(directory)?.iter().any(|name| name == NAME) {
        return Ok(());
    }
    disk.remove_file(&directory.join(NAME))?;
    disk.sync_dir(directory)
}

fn record(boot: &str) -> String {
    format!("tidelog runs with interval durability under boot {boot}\n")
}

#[cfg(test)]
mod tests {
    use tidelog_storage::disk::RealDisk;

    use super::*;

    #[test]
    fn only_another_boot_without_a_stop_in_between_counts() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk, directory.path());
        assert!(!went_down(&disk, path, "first").unwrap(), "a new directory");
        note_running(&disk, path, "first").unwrap();
        assert!(!went_down(&disk, path, "first").unwrap(), "the process has crashed");
        assert!(went_down(&disk, path, "second").unwrap());
        note_safe(&disk, path).unwrap();
        assert!(!went_down(&disk, path, "second").unwrap(), "stopped in order");
        note_safe(&disk, path).unwrap();
        assert!(!current().is_empty());
    }
}
