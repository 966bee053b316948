//! Files that come from another node: the files that a manifest needs, where they wait, and how they get into
//! place.
//!
//! A manifest is a list of [`ShardCheckpoint`]s. Sealed segments and every written prefix of an open one are the
//! same bytes on all replicas, so a file of the right length is had, and a part of one is a beginning to go on
//! from. A pulled file waits in a directory beside that of the shards until it is complete, verified and durable;
//! only then is it renamed into place, so that a reader never meets a file that changes under it. Called by the
//! broker's transfers and repairs, by [`crate::flusher::Flusher`] and by recovery.

mod staging;

use crate::checkpoint::ShardCheckpoint;
use crate::segment::{OpenCheckpoint, ShardKey, whole_blocks};

pub use staging::Staging;
pub(crate) use staging::length_of;

/// A file that is asked for: which, and how many of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNeed {
    /// The shard it belongs to.
    pub key: ShardKey,
    /// First ordinal in the segment; the file's name.
    pub first_ordinal: u64,
    /// Bytes of the file that are needed: all of a sealed segment, whole blocks of an open one.
    pub bytes: u64,
    pub(crate) extent: Extent,
}

/// The kind of the needed bytes, which decides how they are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A sealed segment, which ends before this ordinal.
    Sealed { next_ordinal: u64 },
    /// The blocks of a segment that was open.
    Open(OpenCheckpoint),
    /// The beginning of a segment that this node still writes.
    Prefix,
}

/// A file that a manifest needs and this node lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub need: FileNeed,
    /// Bytes at the beginning of the file that are already staged; pulling goes on there.
    pub from: u64,
}

/// The files that a shard's checkpoint cannot do without: those with readable records.
pub(crate) fn needs(shard: &ShardCheckpoint) -> Vec<FileNeed> {
    let key = shard.key;
    let after_sealed = shard.open.as_ref().map_or(shard.next_ordinal, |open| open.first_ordinal);
    let starts = shard.segments.iter().map(|segment| segment.first_ordinal).chain([after_sealed]);
    let sealed = shard.segments.iter().zip(starts.skip(1)).map(|(segment, next_ordinal)| FileNeed {
        key,
        first_ordinal: segment.first_ordinal,
        bytes: segment.file_bytes,
        extent: Extent::Sealed { next_ordinal },
    });
    let open = shard.open.as_ref().map(|open| FileNeed {
        key,
        first_ordinal: open.first_ordinal,
        bytes: whole_blocks(open.length),
        extent: Extent::Open(open.clone()),
    });
    let is_readable = |need: &FileNeed| match need.extent {
        Extent::Sealed { next_ordinal } => next_ordinal > shard.trim_ordinal,
        _ => need.bytes > 0,
    };
    sealed.chain(open).filter(is_readable).collect()
}

impl FileNeed {
    /// Whether a copy that ends before [`FileNeed::bytes`] is of use: this node has the bytes that the peer has not
    /// written yet.
    pub fn may_be_shorter(&self) -> bool {
        self.extent == Extent::Prefix
    }

    /// Whether a file of `length` can be the one needed.
    pub(crate) fn is_met_by(&self, length: u64) -> bool {
        match self.extent {
            Extent::Sealed { .. } => length == self.bytes,
            _ => length >= self.bytes,
        }
    }
}
