//! A node that has lost part of its log after it acknowledged it: written down once in its data directory, and refused
//! at every start from then on.
//!
//! The loss is proved by a leader that remembers the acknowledgement. The leader after it does not, and would fill the
//! node again as one that has promised nothing, so the proof has to outlive the process. Replication writes the note,
//! and the node reads it at its start.

use std::io;
use std::path::Path;

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

use super::identity;

const NAME: &str = "LOST";
/// More than any note has.
const NOTE_BYTES_MAX: u64 = 4_096;

/// The sentence for the operator of a node whose log has lost entries, with the proof.
pub fn sentence(node: u64, proof: &str) -> String {
    format!(
        "{proof}: this node has lost the end of its log. It must not come back under its old id, because it no longer \
         knows what it has voted for and acknowledged: start it with an empty directory under an id that was never used, \
         and run `tidelog cluster replace {node} NEW_ID=HOST:PORT`"
    )
}

/// Writes down, durably, that the log of this data directory has lost entries. The first note stays. Where the words
/// cannot be written, on a full disk for one, the file IDENTITY takes the note's name, which needs no space.
///
/// # Errors
/// When it cannot be made durable.
pub fn note(disk: &dyn Disk, directory: &Path, words: &str) -> io::Result<()> {
    if noted(disk, directory)?.is_some() {
        return Ok(());
    }
    if let Err(error) = write(disk, directory, words) {
        tracing::error!(%error, "the loss cannot be written into the file LOST; IDENTITY takes its name instead");
        disk.rename(&identity::path(directory), &directory.join(NAME))?;
        disk.sync_dir(directory)?;
    }
    Ok(())
}

fn write(disk: &dyn Disk, directory: &Path, words: &str) -> io::Result<()> {
    let temporary = directory.join("LOST.tmp");
    let file = disk.open(&temporary, Open::Create)?;
    file.write_all_at(words.as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &directory.join(NAME))?;
    disk.sync_dir(directory)
}

/// The loss that was written down; `None` for a directory without one.
///
/// # Errors
/// When the note cannot be read.
pub fn noted(disk: &dyn Disk, directory: &Path) -> io::Result<Option<String>> {
    if !disk.list(directory)?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(&directory.join(NAME), Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(NOTE_BYTES_MAX)).expect("at most 4,096")];
    file.read_exact_at(&mut bytes, 0)?;
    let words = String::from_utf8_lossy(&bytes).into_owned();
    let identity = words.starts_with(identity::FORMAT_PREFIX).then(|| words.lines());
    let node = identity.and_then(|mut lines| lines.find_map(|line| line.strip_prefix("node ")?.parse().ok()));
    Ok(Some(match node {
        Some(node) => sentence(
            node,
            "a leader has an acknowledgement of this node for an entry that its log does not hold",
        ),
        None => words,
    }))
}

#[cfg(test)]
mod tests {
    use tidelog_storage::disk::SimDisk;

    use super::*;
    use crate::cluster::peers::Identity;

    #[test]
    fn a_loss_that_cannot_be_written_is_known_at_the_next_start_all_the_same() {
        let disk = SimDisk::new(1);
        let directory = Path::new("/data");
        disk.create_dir_all(directory).expect("a directory");
        let own = Identity { cluster: "c".into(), node: 2, incarnation: "i".into(), is_founder: false };
        identity::save(&disk, directory, &own).expect("writable");
        disk.set_capacity(0);
        note(&disk, directory, &sentence(2, "proof")).expect("a rename needs no space");
        disk.crash();
        let words = noted(&disk, directory).expect("readable").expect("a note");
        assert!(words.contains("does not hold") && words.contains("cluster replace 2"), "{words}");
    }

    #[test]
    fn a_loss_stays_written_down() {
        let disk = SimDisk::new(1);
        let directory = Path::new("/data");
        disk.create_dir_all(directory).expect("a directory");
        assert_eq!(noted(&disk, directory).expect("readable"), None);
        note(&disk, directory, &sentence(2, "first")).expect("writable");
        note(&disk, directory, "second").expect("writable");
        disk.crash();
        let words = noted(&disk, directory).expect("readable").expect("a note");
        assert!(
            words.starts_with("first: this node has lost") && words.contains("cluster replace 2"),
            "{words}"
        );
    }
}
