//! Reads entries on any thread while the writer goes on.
//!
//! Every frame is verified before it is handed out. When a frame is not the one of the index, the index is asked
//! again: if the entry is gone or has moved meanwhile, the read starts over; if it has not, the file is damaged.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::files::Shared;
use super::format::{FRAME_HEADER_BYTES, FrameHeader};
use super::group::{Change, Slot};
use super::{GroupId, GroupState, LogPosition, WalEntry};
use crate::disk::DiskFile;
use crate::wal::WalError;

/// Bytes between two entries that are read over rather than skipped by another read.
const GAP_BYTES_MAX: u64 = 16 * 1024;

/// A handle for reading the log. Clones share everything.
#[derive(Clone)]
pub struct WalReader {
    shared: Arc<Shared>,
}

impl WalReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the state of a group, as the log has it.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`](super::GROUPS).
    #[must_use]
    pub fn state(&self, group: GroupId) -> GroupState {
        self.shared.group(group).state()
    }

    /// The number of starts of this log's directory, this one among them. It grows with every start and stands in the
    /// log's mark: a number that was seen before comes from an older copy of the directory, or from a clone of it.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.shared.life()
    }

    /// The term of the group's entry at `index`; `None` when that is not in the log.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`](super::GROUPS).
    #[must_use]
    pub fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        self.shared.group(group).slot(index).map(|slot| slot.term)
    }

    /// Bytes written to the log's files that hold an entry that is not purged by its group. Takes no lock.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.shared.live_bytes()
    }

    /// Bytes that the log's files take on the disk: the preallocated ones, and those that wait to be removed, count.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.shared.allocated_bytes()
    }

    /// A file of the log that was unlinked by somebody else; `None` when all are there.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn unlinked_file(&self) -> io::Result<Option<PathBuf>> {
        let files: Vec<_> = {
            let files = self.shared.files();
            files.iter().map(|(seq, file)| (*seq, file.path.clone(), Arc::clone(&file.reader))).collect()
        };
        for (seq, path, file) in files {
            // The writer takes a file off the list before it goes.
            if file.links()? == 0 && self.shared.files().contains_key(&seq) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The entries of the range that exist, in order and without a gap: at least one when one exists, then as many
    /// as fit `bytes_max` of payload.
    ///
    /// # Errors
    /// [`WalError::Damaged`] when an entry's bytes differ from those that were appended, [`WalError::Io`] when they
    /// cannot be read.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`](super::GROUPS).
    pub fn read(
        &self,
        group: GroupId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<WalEntry>, WalError> {
        loop {
            let slots = self.look_up(group, range.clone(), bytes_max as u64);
            match self.read_slots(group, &slots) {
                Ok(entries) => return Ok(entries),
                // Entries that went or moved while they were read: look again.
                Err(_) if self.changed(group, &slots) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn look_up(&self, group: GroupId, range: Range<u64>, bytes_max: u64) -> Vec<(u64, Slot)> {
        let log = self.shared.group(group);
        let Some(first) = log.slots_first() else { return Vec::new() };
        let mut slots = Vec::new();
        let mut bytes = 0;
        for index in range.start.max(first)..range.end {
            let Some(slot) = log.slot(index) else { break };
            bytes += u64::from(slot.payload_bytes);
            if bytes > bytes_max && !slots.is_empty() {
                break;
            }
            slots.push((index, slot));
        }
        slots
    }

    fn changed(&self, group: GroupId, slots: &[(u64, Slot)]) -> bool {
        let log = self.shared.group(group);
        slots.iter().any(|(index, slot)| log.slot(*index) != Some(*slot))
    }

    fn read_slots(&self, group: GroupId, slots: &[(u64, Slot)]) -> Result<Vec<WalEntry>, WalError> {
        let mut entries = Vec::with_capacity(slots.len());
        for run in slots.chunk_by(|(_, before), (_, slot)| is_near(before, slot)) {
            self.read_run(group, run, &mut entries)?;
        }
        Ok(entries)
    }

    /// Reads neighbours in one file at once.
    fn read_run(
        &self,
        group: GroupId,
        run: &[(u64, Slot)],
        entries: &mut Vec<WalEntry>,
    ) -> Result<(), WalError> {
        let start = u64::from(run[0].1.offset);
        let end = frame_end(&run[run.len() - 1].1);
        let source = self.source(run[0].1.file)?;
        let mut bytes = vec![0; usize::try_from(end - start).expect("a part of a file in memory")];
        source.file.read_exact_at(&mut bytes, start).map_err(WalError::at(&source.path))?;
        let bytes = Bytes::from(bytes);
        for (index, slot) in run {
            let position = LogPosition { term: slot.term, index: *index };
            let expected =
                FrameHeader { group, change: Change::Append(position), payload_bytes: slot.payload_bytes };
            let at = usize::try_from(u64::from(slot.offset) - start).expect("inside the bytes read");
            match FrameHeader::decode(&bytes[at..], source.salt) {
                Ok((header, payload)) if header == expected => {
                    entries.push(WalEntry { position, payload: bytes.slice_ref(payload) });
                }
                _ => {
                    let why = "an entry differs from the bytes that were written";
                    return Err(WalError::damaged(&source.path, slot.offset.into(), why));
                }
            }
        }
        Ok(())
    }

    fn source(&self, seq: u64) -> Result<Source, WalError> {
        let files = self.shared.files();
        // A file leaves the table only after its entries left the index, so the caller will find them changed.
        let file = files.get(&seq).ok_or(WalError::Stopped)?;
        Ok(Source { file: Arc::clone(&file.reader), salt: file.salt, path: file.path.clone() })
    }
}

/// A file's handle, taken out of the shared table.
struct Source {
    file: Arc<dyn DiskFile>,
    salt: u64,
    path: PathBuf,
}

fn frame_end(slot: &Slot) -> u64 {
    u64::from(slot.offset) + FRAME_HEADER_BYTES as u64 + u64::from(slot.payload_bytes)
}

fn is_near(before: &Slot, slot: &Slot) -> bool {
    let end = frame_end(before);
    before.file == slot.file && (end..=end + GAP_BYTES_MAX).contains(&u64::from(slot.offset))
}
