//! Records that damage has made unreadable, in an operator's words. `/health` shows them, `tidelog doctor` reads them
//! there.

use std::fmt;
use std::sync::Arc;

use crate::model::sequence_number::SequenceNumber;
use crate::model::stream::StreamKey;
use crate::service::Service;

/// Ranges of records that one page names.
const RANGES_MAX: usize = 20;

/// A range of a shard's records on this node that cannot be read.
#[derive(Clone, Debug)]
pub struct DamagedRecords {
    /// The stream.
    pub stream: StreamKey,
    /// Index of the shard.
    pub shard: u32,
    /// The first record, counted from 1.
    pub first: u64,
    /// The last one; `None` while it is not known yet.
    pub last: Option<u64>,
    /// Creation second of the shard.
    created_s: u64,
    /// Whether a peer is asked for a copy.
    is_repaired: bool,
}

impl DamagedRecords {
    /// The lowest sequence number that the first record can have, and the highest place before the next intact one.
    pub fn sequence_numbers(&self) -> (Arc<str>, Option<Arc<str>>) {
        let place = |ordinal, after| {
            let (created_s, shard) = (self.created_s, self.shard);
            SequenceNumber { created_s, shard, ordinal, time_s: created_s, after }.to_string().into()
        };
        (place(self.first, false), self.last.map(|last| place(last, true)))
    }
}

impl fmt::Display for DamagedRecords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, shard, first, .. } = self;
        write!(out, "A file of shard {shard} of stream {} is damaged: ", stream.name)?;
        let (from, to) = self.sequence_numbers();
        match (self.last, to) {
            (Some(last), Some(to)) => {
                write!(out, "records {first} to {last} (sequence numbers {from} to {to}) cannot be read")?;
            }
            _ => write!(out, "records from {first} (sequence number {from}) on are being looked at")?,
        }
        if self.is_repaired {
            return out.write_str("; the other nodes are asked for a copy.");
        }
        match self.last {
            Some(last) => write!(
                out,
                ". Restore the file from a backup; or stop the broker and give them up: tidelog segment give-up {} \
                 --shard {shard} --first {first} --last {last}",
                stream.name
            ),
            None => out.write_str("."),
        }
    }
}

impl Service {
    /// The records that cannot be read on this node, up to a bound.
    pub fn damaged_records(&self) -> Vec<DamagedRecords> {
        let catalog = self.groups.catalog();
        let is_repaired = self.groups.has_peers();
        let mut found = Vec::new();
        for damaged in self.groups.repairs().damage_report() {
            let stream = catalog.by_uid(damaged.key.stream_uid);
            let Some((stream, shard)) =
                stream.and_then(|stream| Some((stream, stream.shard(damaged.key.shard)?)))
            else {
                continue;
            };
            let records = |first, last| DamagedRecords {
                stream: stream.key.clone(),
                shard: shard.index,
                first,
                last,
                created_s: shard.created_s,
                is_repaired,
            };
            match damaged.unreadable {
                None => found.push(records(damaged.first_ordinal, None)),
                Some(ranges) => {
                    found.extend(ranges.iter().map(|range| records(range.start, Some(range.end - 1))));
                }
            }
        }
        found.truncate(RANGES_MAX);
        found
    }
}
