//! The owner of a data directory and the steps it has been through: the file IDENTITY, written when its node
//! comes to a cluster, and again when its log is begun and its cluster founded. From then on the absence of
//! the log or the cluster is damage.
//!
//! The incarnation is drawn with the directory. Peers know it, so that a node that comes back without its data,
//! which has forgotten its votes and acknowledgements, is not taken for the one it was.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

use super::peers::Identity;

/// Beginning of an identity file of any version.
pub(crate) const FORMAT_PREFIX: &str = "tidelog data directory, format ";
/// First line of the identity file; the number is the version of the data directory's format.
const FORMAT: &str = "tidelog data directory, format 2";
/// The first line of the format before, which has no history.
const FORMAT_BEFORE: &str = "tidelog data directory, format 1";
const NAME: &str = "IDENTITY";

/// Why a directory's identity is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The text of the file.
        source: io::Error,
    },
    /// The file is not one of this version, or does not belong here.
    #[error("{path}: {reason}", path = path.display())]
    Unusable {
        /// The identity file.
        path: PathBuf,
        /// The fault of the file.
        reason: String,
    },
}

/// The history of a data directory: a line for each event in its identity file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The write-ahead log was begun: a log or a mark that is missing is lost.
    pub log_begun: bool,
    /// The node founded the cluster: no group is ever initialized again.
    pub founded: bool,
    /// The node has been started with `--cluster`, even as the only node of the list.
    pub in_cluster: bool,
}

impl History {
    const LOG_BEGUN: &str = "log begun";
    const FOUNDED: &str = "founded";
    const IN_CLUSTER: &str = "in a cluster";

    fn lines(self) -> impl Iterator<Item = &'static str> {
        let lines = [
            (self.log_begun, Self::LOG_BEGUN),
            (self.founded, Self::FOUNDED),
            (self.in_cluster, Self::IN_CLUSTER),
        ];
        lines.into_iter().filter_map(|(is_so, line)| is_so.then_some(line))
    }

    /// Both histories.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            log_begun: self.log_begun || other.log_begun,
            founded: self.founded || other.founded,
            in_cluster: self.in_cluster || other.in_cluster,
        }
    }
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
    Ok(load_with_history(disk, directory)?.map(|(identity, _)| identity))
}

/// The history of the directory; empty for one without an identity.
///
/// # Errors
/// The errors of [`load`].
pub fn history(disk: &dyn Disk, directory: &Path) -> Result<History, IdentityError> {
    Ok(load_with_history(disk, directory)?.map(|(_, history)| history).unwrap_or_default())
}

/// Adds to the history of a directory that has an identity, durably.
///
/// # Errors
/// The errors of [`load`] and [`save`]; an error too for a directory without an identity.
pub fn note(disk: &dyn Disk, directory: &Path, more: History) -> Result<(), IdentityError> {
    let Some((identity, before)) = load_with_history(disk, directory)? else {
        let reason = "missing: the directory has lost its identity while it was in use".into();
        return Err(IdentityError::Unusable { path: directory.join(NAME), reason });
    };
    let history = before.and(more);
    if history == before { Ok(()) } else { save_with_history(disk, directory, &identity, history) }
}

fn load_with_history(
    disk: &dyn Disk,
    directory: &Path,
) -> Result<Option<(Identity, History)>, IdentityError> {
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

/// Where the identity of a directory is kept.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// Whether the directory says that it belongs to the same node as before; false also when it says nothing. Creates
/// nothing.
///
/// # Errors
/// When the operating system refuses to read the file.
pub fn is_still(disk: &dyn Disk, directory: &Path, own: &Identity) -> io::Result<bool> {
    let text = match read(disk, &path(directory)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
            return Ok(false);
        }
        text => text?,
    };
    let is_own = |(there, _): (Identity, History)| {
        (there.cluster, there.node, there.incarnation)
            == (own.cluster.clone(), own.node, own.incarnation.clone())
    };
    Ok(parse(&text).is_ok_and(is_own))
}

/// Makes `identity` that of the directory, durably.
///
/// # Errors
/// [`IdentityError::Io`].
pub fn save(disk: &dyn Disk, directory: &Path, identity: &Identity) -> Result<(), IdentityError> {
    save_with_history(disk, directory, identity, History::default())
}

fn save_with_history(
    disk: &dyn Disk,
    directory: &Path,
    identity: &Identity,
    history: History,
) -> Result<(), IdentityError> {
    let Identity { cluster, node, incarnation, is_founder } = identity;
    let founder = if *is_founder { "founder\n" } else { "" };
    let history: String = history.lines().map(|line| format!("{line}\n")).collect();
    let body =
        format!("{FORMAT}\ncluster {cluster}\nnode {node}\nincarnation {incarnation}\n{founder}{history}");
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

fn parse(text: &str) -> Result<(Identity, History), String> {
    let (body, crc) = text.rsplit_once("crc ").ok_or("not an identity file of Tidelog")?;
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != crc.strip_suffix('\n').unwrap_or_default() {
        return Err("damaged: its checksum does not match; restore it from a copy of this directory".into());
    }
    let mut lines = body.lines();
    let format = lines.next().unwrap_or_default();
    if format != FORMAT && format != FORMAT_BEFORE {
        return Err(format!("written by another version ({format:?})"));
    }
    let mut value = |name: &str| {
        let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(ToOwned::to_owned).ok_or_else(|| format!("without a line that says {name}"))
    };
    let (cluster, node, incarnation) = (value("cluster")?, value("node")?, value("incarnation")?);
    let node = node.parse().map_err(|_| format!("of a node {node:?}"))?;
    let mut identity = Identity { cluster, node, incarnation, is_founder: false };
    let mut history = History::default();
    for line in lines {
        match line {
            "founder" => identity.is_founder = true,
            History::LOG_BEGUN => history.log_begun = true,
            History::FOUNDED => history.founded = true,
            History::IN_CLUSTER => history.in_cluster = true,
            _ => return Err(format!("written by another version ({line:?})")),
        }
    }
    Ok((identity, history))
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
            assert_eq!(load(&disk, directory.path()).expect("readable"), Some(identity.clone()));
            let is_still = |of| is_still(&disk, directory.path(), &of).expect("readable");
            assert!(is_still(identity.clone()));
            assert!(!is_still(Identity { incarnation: draw(), ..identity }));
        }
        let history = |path| history(&disk, path).expect("readable");
        assert_eq!(history(directory.path()), History::default());
        let begun = History { log_begun: true, ..History::default() };
        let founded = History { founded: true, in_cluster: true, ..History::default() };
        for more in [begun, founded, begun] {
            note(&disk, directory.path(), more).expect("writable");
        }
        assert_eq!(history(directory.path()), begun.and(founded), "what was noted before stays");

        let path = directory.path().join(NAME);
        let text = std::fs::read_to_string(&path).expect("readable");

        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            std::fs::write(&path, bytes).expect("writable");
            assert!(load(&disk, directory.path()).is_err(), "bit flip in byte {index}");
        }
        let before = "tidelog data directory, format 1\ncluster a\nnode 7\nincarnation b\nfounder\n";
        let before = format!("{before}crc {:08x}\n", crc32fast::hash(before.as_bytes()));
        std::fs::write(&path, before).expect("writable");
        let loaded = load_with_history(&disk, directory.path()).expect("readable").expect("an identity");
        assert!(loaded.0.is_founder && loaded.1 == History::default(), "format 1 has no history");
        std::fs::remove_file(&path).expect("removable");
        std::fs::create_dir(directory.path().join("wal")).expect("writable");
        assert!(load(&disk, directory.path()).is_err(), "data without an identity");
    }
}
