//! Lines that wait to be put: the records of a key one after the other, those of different keys side by side.
//!
//! A record of a key is handed out only when the one before it is acknowledged or given up. A call may take some of
//! its records and refuse others, so two of one key in a call, or in two at once, could change places.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::input::Spot;

/// A line on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) spot: Spot,
    pub(super) key: String,
    /// The hash key that decides on its shard instead of the key.
    pub(super) hash_key: Option<String>,
    pub(super) data: Bytes,
    /// The input that the record was made of, where that is not its data.
    pub(super) origin: Option<Bytes>,
    /// Lines of one lane keep their order. Keys may share a lane; that costs nothing but time.
    pub(super) lane: u64,
    /// Whether a call with it was not answered, so that it may be in the stream already.
    pub(super) may_be_in: bool,
}

impl Pending {
    /// The input, as the file of rejects has it.
    pub(super) fn line(&self) -> &Bytes {
        self.origin.as_ref().unwrap_or(&self.data)
    }

    /// Bytes as the service counts them.
    pub(super) fn size(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

/// Bounds of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// The lines that wait. A lane is busy while a record of it is under way.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: HashMap<u64, VecDeque<Pending>>,
    /// Lanes with lines of which none is under way, the one that waits longest first.
    ready: VecDeque<u64>,
    lines: usize,
    bytes: usize,
}

impl Queue {
    /// Behind all others of its lane.
    pub(super) fn push(&mut self, line: Pending) {
        self.lines += 1;
        self.bytes += line.size();
        let lane = line.lane;
        self.lanes.entry(lane).or_insert_with(|| {
            self.ready.push_back(lane);
            VecDeque::new()
        });
        // A lane is there from its first line to the acknowledgement of its last one.
        self.lanes.entry(lane).or_default().push_back(line);
    }

    /// The next records to put, one of a lane at most; their lanes are busy from now on.
    pub(super) fn batch(&mut self, bounds: BatchBounds) -> Vec<Pending> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < bounds.records
            && let Some(lane) = self.ready.front()
            && let Some(next) = self.lanes.get(lane).and_then(VecDeque::front)
        {
            // A record above the bound goes alone.
            if !batch.is_empty() && bytes + next.size() > bounds.bytes {
                break;
            }
            bytes += next.size();
            let line = self.lanes.get_mut(lane).and_then(VecDeque::pop_front);
            batch.extend(line);
            self.ready.pop_front();
        }
        self.lines -= batch.len();
        self.bytes -= bytes;
        batch
    }

    /// A record of the lane is settled: the next one may go.
    pub(super) fn settle(&mut self, lane: u64) {
        match self.lanes.get(&lane) {
            Some(lines) if lines.is_empty() => drop(self.lanes.remove(&lane)),
            Some(_) => self.ready.push_back(lane),
            None => {}
        }
    }

    /// A record is to be put again, before all others of its lane.
    pub(super) fn again(&mut self, line: Pending) {
        self.lines += 1;
        self.bytes += line.size();
        let lane = line.lane;
        self.lanes.entry(lane).or_default().push_front(line);
        self.ready.push_front(lane);
    }

    /// How many lanes could go now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Lines that wait.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything that waits, in the order of the input.
    pub(super) fn drain(&mut self) -> Vec<Pending> {
        let mut lines: Vec<_> = self.lanes.drain().flat_map(|(_, lines)| lines).collect();
        lines.sort_by_key(|line| line.spot);
        self.ready.clear();
        (self.lines, self.bytes) = (0, 0);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, lane: u64, bytes: usize) -> Pending {
        let spot = Spot { input: 0, line: number };
        let data = vec![b'x'; bytes - 1].into();
        Pending { spot, key: "k".into(), hash_key: None, data, origin: None, lane, may_be_in: false }
    }

    fn numbers(lines: &[Pending]) -> Vec<u64> {
        lines.iter().map(|line| line.spot.line).collect()
    }

    #[test]
    fn a_lane_has_one_record_under_way() {
        let bounds = BatchBounds { records: 3, bytes: 1000 };
        let mut queue = Queue::default();
        for (number, lane) in [(1, 7), (2, 7), (3, 8), (4, 9), (5, 10), (6, 7)] {
            queue.push(line(number, lane, 10));
        }
        assert_eq!((queue.lines(), queue.bytes(), queue.ready()), (6, 60, 4));
        let first = queue.batch(bounds);
        assert_eq!(numbers(&first), [1, 3, 4]);
        assert_eq!(numbers(&queue.batch(bounds)), [5]);
        assert_eq!(queue.batch(bounds), []);
        queue.again(first[0].clone());
        queue.settle(8);
        queue.settle(9);
        queue.push(line(7, 8, 10));
        assert_eq!(numbers(&queue.batch(bounds)), [1, 7], "the failed one comes before its followers");
        queue.settle(7);
        assert_eq!(numbers(&queue.batch(bounds)), [2]);
        queue.settle(7);
        queue.settle(10);
        queue.settle(8);
        assert_eq!(numbers(&queue.batch(bounds)), [6]);
        queue.settle(7);
        assert_eq!((queue.lines(), queue.bytes(), queue.ready(), queue.lanes.len()), (0, 0, 0, 0));
    }

    #[test]
    fn a_batch_keeps_to_its_bytes_and_a_large_record_goes_alone() {
        let bounds = BatchBounds { records: 500, bytes: 25 };
        let mut queue = Queue::default();
        for (number, bytes) in [(1, 10), (2, 10), (3, 10), (4, 100), (5, 5)] {
            queue.push(line(number, number, bytes));
        }
        assert_eq!(numbers(&queue.batch(bounds)), [1, 2]);
        assert_eq!(numbers(&queue.batch(bounds)), [3]);
        assert_eq!(numbers(&queue.batch(bounds)), [4]);
        assert_eq!(numbers(&queue.drain()), [5]);
        assert_eq!((queue.lines(), queue.bytes()), (0, 0));
    }
}
