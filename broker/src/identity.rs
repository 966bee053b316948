//! Who a data directory belongs to: the file IDENTITY, written once, when its node comes to a cluster.
//!
//! The incarnation is drawn with the directory. Peers know it, so that a node that comes back without its data, which
//! has forgotten its votes and what it acknowledged, is not taken for the one it was.

use std::io;
use std::path::{Path, PathBuf};

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

use crate::peers::Identity;

/// First line of the identity file; the number is the version of the data directory's format.
const FORMAT: &str = "tidelog data directory, format 1";
const NAME: &str = "IDENTITY";

/// Why a directory's identity is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is not one of this version, or does not belong here.
    #[error("{path}: {reason}", path = path.display())]
    Unusable {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A new identity's incarnation, or a new cluster's id.
pub fn draw() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The directory's identity; `None` for one without data.
///
/// # Errors
/// [`IdentityError`]; the checksum tells a damaged file from a foreign one.
pub fn load(disk: &dyn Disk, directory: &Path) -> Result<Option<Identity>, IdentityError> {
    let failed = |source| IdentityError::Io { path: directory.to_owned(), source };
    disk.create_dir_all(directory).map_err(failed)?;
    let path = directory.join(NAME);
    let names = disk.list(directory).map_err(failed)?;
    if names.iter().any(|name| name == NAME) {
        let text = read(disk, &path).map_err(failed)?;
        return parse(&text).map(Some).map_err(|reason| IdentityError::Unusable { path, reason });
    }
    if names.iter().any(|name| name == "wal" || name == "checkpoint" || name == "shards") {
        let reason =
            "missing, though the directory holds data: restore the file from a copy of this directory";
        return Err(IdentityError::Unusable { path, reason: reason.into() });
    }
    Ok(None)
}

/// Makes `identity` that of the directory, durably.
///
/// # Errors
/// [`IdentityError::Io`].
pub fn save(disk: &dyn Disk, directory: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let Identity { cluster, node, incarnation, is_founder } = identity;
    let founder = if *is_founder { "founder\n" } else { "" };
    let body = format!("{FORMAT}\ncluster {cluster}\nnode {node}\nincarnation {incarnation}\n{founder}");
    let text = format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()));
    write(disk, directory, &directory.join(NAME), text.as_bytes())
        .map_err(|source| IdentityError::Io { path: directory.to_owned(), source })
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(4_096)).expect("at most 4,096")];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn write(disk: &dyn Disk, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join("IDENTITY.tmp");
    let file = disk.open(&temporary, Open::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(directory)
}

fn parse(text: &str) -> Result<Identity, String> {
    let (body, crc) = text.rsplit_once("crc ").ok_or("not an identity file of Tidelog")?;
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != crc.strip_suffix('\n').unwrap_or_default() {
        return Err("damaged: its checksum does not match; restore it from a copy of this directory".into());
    }
    let mut lines = body.lines();
    let format = lines.next().unwrap_or_default();
    if format != FORMAT {
        return Err(format!("written by another version ({format:?})"));
    }
    let mut value = |name: &str| {
        let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(ToOwned::to_owned).ok_or_else(|| format!("without a line that says {name}"))
    };
    let (cluster, node, incarnation) = (value("cluster")?, value("node")?, value("incarnation")?);
    let node = node.parse().map_err(|_| format!("of a node {node:?}"))?;
    let is_founder = lines.next() == Some("founder");
    Ok(Identity { cluster, node, incarnation, is_founder })
}

#[cfg(test)]
mod tests {
    use tidelog_storage::disk::RealDisk;

    use super::*;

    #[test]
    fn an_identity_is_kept_and_a_damaged_or_lost_one_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = RealDisk;
        assert_eq!(load(&disk, directory.path()).expect("a new directory"), None);
        for is_founder in [false, true] {
            let identity = Identity { cluster: draw(), node: 7, incarnation: draw(), is_founder };
            save(&disk, directory.path(), &identity).expect("writable");
            assert_eq!(load(&disk, directory.path()).expect("readable"), Some(identity));
        }
        let path = directory.path().join(NAME);
        let text = std::fs::read_to_string(&path).expect("readable");

        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            std::fs::write(&path, bytes).expect("writable");
            assert!(load(&disk, directory.path()).is_err(), "bit flip in byte {index}");
        }
        std::fs::remove_file(&path).expect("removable");
        std::fs::create_dir(directory.path().join("wal")).expect("writable");
        assert!(load(&disk, directory.path()).is_err(), "data without an identity");
    }
}
