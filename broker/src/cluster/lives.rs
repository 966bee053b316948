//! The file LIVES of a data directory: the lives of its node (`model/life.rs`), as far as they have to outlive it.
//!
//! Invariant: a life is on the disk before it is proposed to the cluster. The node reads the file at its start;
//! replication writes it when it proposes a life and when the cluster has taken it, so that a start which is refused
//! has changed nothing.

use std::io;
use std::path::Path;

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

use crate::model::life::Lives;

const NAME: &str = "LIVES";
/// First line of the file.
const FORMAT: &str = "tidelog lives, format 1";
/// More than the file ever has.
const FILE_BYTES_MAX: u64 = 4_096;

/// The lives of a directory, with one more begun: that of this process.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub fn next(disk: &dyn Disk, directory: &Path) -> io::Result<Lives> {
    let mut lives = load(disk, directory)?;
    lives.begin(uuid::Uuid::new_v4().as_u64_pair().0);
    Ok(lives)
}

fn load(disk: &dyn Disk, directory: &Path) -> io::Result<Lives> {
    if !disk.list(directory)?.iter().any(|name| name == NAME) {
        return Ok(Lives::default());
    }
    let path = directory.join(NAME);
    let file = disk.open(&path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(FILE_BYTES_MAX)).expect("at most 4,096")];
    file.read_exact_at(&mut bytes, 0)?;
    parse(&bytes).ok_or_else(|| {
        let path = path.display();
        io::Error::other(format!(
            "{path} is damaged or of another version: restore it from a copy of this very directory, or replace the node \
             with `tidelog cluster replace`"
        ))
    })
}

fn parse(bytes: &[u8]) -> Option<Lives> {
    let (body, crc) = std::str::from_utf8(bytes).ok()?.rsplit_once("crc ")?;
    if format!("{:08x}\n", crc32fast::hash(body.as_bytes())) != crc {
        return None;
    }
    let (format, lives) = body.strip_suffix('\n')?.split_once('\n')?;
    if format == FORMAT { lives.parse().ok() } else { None }
}

/// Writes the lives of a directory, durably.
///
/// # Errors
/// When that fails.
pub fn save(disk: &dyn Disk, directory: &Path, lives: &Lives) -> io::Result<()> {
    let body = format!("{FORMAT}\n{lives}\n");
    let text = format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()));
    let temporary = directory.join("LIVES.tmp");
    let file = disk.open(&temporary, Open::Create)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &directory.join(NAME))?;
    disk.sync_dir(directory)
}

#[cfg(test)]
mod tests {
    use tidelog_storage::disk::SimDisk;

    use super::*;

    #[test]
    fn lives_are_kept_and_a_damaged_file_is_refused() {
        let disk = SimDisk::new(3);
        let directory = Path::new("/data");
        disk.create_dir_all(directory).expect("a directory");
        for starts in 1..=3 {
            let lives = next(&disk, directory).expect("readable");
            assert_eq!(lives.begun.len(), starts);
            save(&disk, directory, &lives).expect("writable");
            disk.crash();
            assert_eq!(load(&disk, directory).expect("readable"), lives);
        }
        let lives = load(&disk, directory).expect("readable");
        let text = format!("{FORMAT}\n{lives}\n");
        let whole = format!("{text}crc {:08x}\n", crc32fast::hash(text.as_bytes()));
        assert_eq!(parse(whole.as_bytes()), Some(lives));
        for byte in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[byte] ^= 1;
            assert_eq!(parse(&bytes), None, "byte {byte}");
        }
    }
}
