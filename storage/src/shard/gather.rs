//! Takes records out of frames until a read's limit is reached.

use bytes::Bytes;

use crate::record::{BodyError, Record, Records};
use crate::segment::frame::FrameHeader;

/// How much one read may return. One record is returned if there is one, however large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most records.
    pub records: usize,
    /// Most bytes of data and partition keys.
    pub bytes: usize,
}

/// A record and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// The record's number within its shard, from 1.
    pub ordinal: u64,
    /// Arrival time in milliseconds since 1970.
    pub time_ms: u64,
    /// Key and data.
    pub record: Record,
}

/// The records that a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBatch {
    /// Records with consecutive ordinals; empty when the shard has none there yet.
    pub records: Vec<ReadRecord>,
    /// The ordinal to go on with.
    pub next_ordinal: u64,
}

/// A read in progress.
pub(super) struct Gather {
    limit: ReadLimit,
    bytes: usize,
    full: bool,
    batch: ReadBatch,
}

impl Gather {
    pub fn new(from: u64, limit: ReadLimit) -> Gather {
        let batch = ReadBatch { records: Vec::new(), next_ordinal: from };
        Gather { limit, bytes: 0, full: false, batch }
    }

    pub fn next_ordinal(&self) -> u64 {
        self.batch.next_ordinal
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn is_empty(&self) -> bool {
        self.batch.records.is_empty()
    }

    /// Starts at the trim point instead; only before the first record.
    pub fn start_at(&mut self, ordinal: u64) {
        assert!(self.is_empty(), "a batch has no gaps");
        self.batch.next_ordinal = ordinal;
    }

    /// Takes the records that fit out of the frame that holds the next ordinal.
    pub fn take(&mut self, header: &FrameHeader, body: Bytes) -> Result<(), BodyError> {
        let end = body.len();
        let mut records = Records::new(body);
        records.pass(self.batch.next_ordinal - header.first_ordinal)?;
        while self.batch.next_ordinal < header.next_ordinal() && !self.full {
            let record = records.next().ok_or(BodyError::Truncated { offset: end })??;
            self.offer(header.time_ms, record);
        }
        Ok(())
    }

    fn offer(&mut self, time_ms: u64, record: Record) {
        let bytes = self.bytes + record.charged_bytes();
        if !self.is_empty() && bytes > self.limit.bytes {
            self.full = true;
            return;
        }
        let ordinal = self.batch.next_ordinal;
        self.batch.records.push(ReadRecord { ordinal, time_ms, record });
        self.batch.next_ordinal += 1;
        self.bytes = bytes;
        self.full = self.batch.records.len() >= self.limit.records || bytes >= self.limit.bytes;
    }

    pub fn finish(self) -> ReadBatch {
        self.batch
    }
}
