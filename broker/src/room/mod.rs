//! The memory that clients' work may take: a fixed table of classes, each with bytes of its own, and no borrowing.
//!
//! [`DECLARED`] is the one declaration: which class, its share of `--memory`, its least and most. [`Shares`] splits a
//! figure by it, [`Pool`] hands out the bytes of one class, and [`Room`] has the pools that connections use.
//!
//! # Why nothing deadlocks
//! The classes have an order, and a holder waits only for a class behind every class it holds:
//!
//! ```text
//! connections ──► bodies ──► log ──► tail
//!      ├────────► answers
//!      └────────► events
//! ```
//! Log and tail drain by commits and flushes, which wait for no client. Within a class nobody waits while it holds
//! a part, but for two seconds, and the oldest waiter gets a reserve that is as large as anything of the class: a
//! full class always drains. Calls of peers are served from classes that never wait for another node (the log, and
//! answers by [`Pool::try_charge`]), so that two full nodes do not wait for each other.
//!
//! A holder of the last class in a row waits for nothing but its own client, and clients that take or send too
//! little are disconnected.

mod account;
mod answer;
mod descriptors;
mod memory;
mod pool;
pub mod resources;

pub use account::{Account, Accounts, Busy};
pub use answer::{AnswerRoom, Growing, PREPAID_ANSWER_BYTES};
pub use descriptors::Descriptors;
pub use memory::{BYTES_MIN, Memory, MemoryError, Source};
pub use pool::{Charge, EVENTS, Full, PEERS, Pool, SMALL_BYTES};

use std::sync::{Arc, OnceLock};

const MIB: usize = 1 << 20;

/// Bytes that code, runtime and TLS take before anybody has connected.
const FIXED_BYTES: usize = 56 * MIB;
/// Percent of `--memory` that the allocator and the kernel may take beyond the charged bytes.
const SLACK_PERCENT: usize = 15;
/// Percent of `--memory` for metadata and the memory of producers; bounds of the cluster enforce it.
const METADATA_PERCENT: usize = 15;

/// Bytes of the largest request body with its message around it: it finishes however full its class is.
pub const LARGEST_BODY_BYTES: usize = 20 * MIB;
/// Bytes of the largest answer in JSON: 10 MiB of data in base64, and the document around it.
pub const LARGEST_ANSWER_BYTES: usize = 14 * MIB;
/// Bytes that a read of segment files may hold until its answer is encoded: the largest frame.
pub const FILE_READ_BYTES: usize = 10 * MIB;

/// A class of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Records between their acceptance and their commit, and entries kept for peers that lag.
    Log,
    /// Applied records that are not yet in segments, and flushed ones kept for readers.
    Tail,
    /// Request bodies, from their arrival to their answer.
    Bodies,
    /// Answers, from when they are read until their last byte is with the kernel.
    Answers,
    /// Events on their way to subscribers, or kept for further ones.
    Events,
    /// Connections and streams of HTTP/2.
    Connections,
}

/// The share of one class.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The class.
    pub class: Class,
    /// The name of the class in documents, metrics and `/health`.
    pub name: &'static str,
    /// Percent of the part of `--memory` that is left for classes.
    pub percent: usize,
    /// Bytes that the class has at least: the size of its largest member.
    pub bytes_min: usize,
    /// Bytes that the class has at most, however large the machine is.
    pub bytes_max: usize,
}

/// Every class.
pub const DECLARED: [Declaration; 6] = [
    Declaration { class: Class::Log, name: "log", percent: 20, bytes_min: 16 * MIB, bytes_max: 320 * MIB },
    Declaration { class: Class::Tail, name: "tail", percent: 20, bytes_min: 12 * MIB, bytes_max: 128 * MIB },
    Declaration {
        class: Class::Bodies,
        name: "bodies",
        percent: 20,
        bytes_min: LARGEST_BODY_BYTES + 6 * MIB,
        bytes_max: 1_024 * MIB,
    },
    Declaration {
        class: Class::Answers,
        name: "answers",
        percent: 20,
        bytes_min: LARGEST_ANSWER_BYTES + FILE_READ_BYTES + 6 * MIB,
        bytes_max: 1_024 * MIB,
    },
    Declaration {
        class: Class::Events,
        name: "events",
        percent: 10,
        bytes_min: 16 * MIB,
        bytes_max: 512 * MIB,
    },
    Declaration {
        class: Class::Connections,
        name: "connections",
        percent: 10,
        bytes_min: 8 * MIB,
        bytes_max: 320 * MIB,
    },
];

/// How a figure of memory is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    total: usize,
    bytes: [usize; DECLARED.len()],
}

impl Shares {
    /// The shares of that many bytes in all.
    #[must_use]
    pub fn of(total: usize) -> Self {
        let percent = |percent: usize| total / 100 * percent;
        let rest = total.saturating_sub(FIXED_BYTES + percent(SLACK_PERCENT) + percent(METADATA_PERCENT));
        let share =
            |class: &Declaration| (rest / 100 * class.percent).clamp(class.bytes_min, class.bytes_max);
        Self { total, bytes: DECLARED.each_ref().map(share) }
    }

    /// The figure that was split, bytes.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The bytes of one class.
    #[must_use]
    pub fn bytes(&self, class: Class) -> usize {
        let at = DECLARED.iter().position(|declared| declared.class == class);
        self.bytes[at.expect("every class is declared")]
    }

    /// Sets the bytes of a class, so that a test can make a class small.
    #[must_use]
    pub fn with(mut self, class: Class, bytes: usize) -> Self {
        let at = DECLARED.iter().position(|declared| declared.class == class);
        self.bytes[at.expect("every class is declared")] = bytes;
        self
    }

    /// Reads of segment files at a time: each may hold [`FILE_READ_BYTES`] of the answers' class.
    #[must_use]
    pub fn file_reads_max(&self) -> usize {
        (self.bytes(Class::Answers) / 2 / FILE_READ_BYTES).clamp(1, FILE_READS_MAX)
    }
}

/// Reads of segment files at a time, however much memory there is.
pub const FILE_READS_MAX: usize = 16;

impl Default for Shares {
    /// The shares of 2 GiB.
    fn default() -> Self {
        Self::of(2_048 * MIB)
    }
}

/// Bytes that a connection takes, and a stream of HTTP/2 beyond the first: its state, its head, and a small request
/// and answer.
pub const CONNECTION_BYTES: usize = 32 << 10;

/// The declaration as a table of Markdown, with the shares of some figures in MiB. `docs/design/memory.md` has it.
#[must_use]
pub fn table() -> String {
    let figures = [256, 512, 2_048, 6_144];
    let mut text = "| class | of the rest | least | most |".to_owned();
    figures.iter().for_each(|mib| text += &format!(" `--memory {mib}MiB` |"));
    text += &format!("\n|{}\n", "---|".repeat(4 + figures.len()));
    for Declaration { class, name, percent, bytes_min, bytes_max } in &DECLARED {
        text += &format!("| {name} | {percent} % | {} | {} |", bytes_min / MIB, bytes_max / MIB);
        figures.iter().for_each(|mib| text += &format!(" {} |", Shares::of(mib * MIB).bytes(*class) / MIB));
        text += "\n";
    }
    text
}

/// The pools that connections and their requests use, and the accounts of these connections.
#[derive(Debug)]
pub struct Room {
    shares: Shares,
    /// Request bodies.
    pub bodies: Arc<Pool>,
    /// Answers.
    pub answers: Arc<Pool>,
    /// Connections, and streams of HTTP/2 beyond the first of each.
    pub connections: Arc<Pool>,
    /// The clients' connections by address.
    pub accounts: Arc<Accounts>,
    /// The pools of events, once clients are served.
    events: OnceLock<Vec<Arc<Pool>>>,
}

impl Room {
    /// The room of a node.
    #[must_use]
    pub fn new(shares: Shares) -> Arc<Self> {
        let reads = shares.file_reads_max() * FILE_READ_BYTES;
        let answers = shares.bytes(Class::Answers).saturating_sub(reads);
        Arc::new(Self {
            bodies: Pool::new("bodies", shares.bytes(Class::Bodies), LARGEST_BODY_BYTES),
            answers: Pool::new("answers", answers, LARGEST_ANSWER_BYTES),
            connections: Pool::new("connections", shares.bytes(Class::Connections), 0),
            accounts: Arc::default(),
            events: OnceLock::new(),
            shares,
        })
    }

    /// Counts the pools of events among all pools from now on.
    pub fn add_events(&self, pools: Vec<Arc<Pool>>) {
        // A gateway is opened once.
        let _ = self.events.set(pools);
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        let events = self.events.get().into_iter().flatten();
        [&self.bodies, &self.answers, &self.connections].into_iter().chain(events)
    }

    /// Sentences for an operator about classes that have refused for some seconds.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let full = self.pools().filter(|pool| pool.is_in_trouble());
        full.map(|pool| {
            format!("Requests are refused: the memory for {} is full. --memory raises it.", pool.name())
        })
        .collect()
    }

    /// How the memory is split.
    #[must_use]
    pub fn shares(&self) -> &Shares {
        &self.shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_fit_the_whole() {
        let percents: usize = DECLARED.iter().map(|declared| declared.percent).sum();
        assert_eq!(percents, 100);
        for total in [256, 384, 512, 1_024, 2_048, 6_144, 65_536] {
            let shares = Shares::of(total * MIB);
            let sum =
                FIXED_BYTES + DECLARED.iter().map(|declared| shares.bytes(declared.class)).sum::<usize>();
            // The minimum sizes of the classes come out of the slack where memory is small.
            assert!(sum <= total * MIB / 100 * (100 - METADATA_PERCENT / 2), "{total}: {}", sum / MIB);
        }
    }

    #[test]
    fn a_class_has_room_for_the_largest_of_it() {
        for total in [BYTES_MIN, 256 * MIB, 512 * MIB] {
            let shares = Shares::of(total);
            assert!(shares.bytes(Class::Bodies) >= LARGEST_BODY_BYTES + 4 * MIB);
            let reads = shares.file_reads_max() * FILE_READ_BYTES;
            assert!(shares.bytes(Class::Answers) >= LARGEST_ANSWER_BYTES + reads + 2 * MIB, "{total}");
            assert!(shares.bytes(Class::Events) >= tidelog_proto::event_stream::EVENT_MESSAGE_BYTES_MAX);
        }
        assert_eq!(Shares::of(256 * MIB).file_reads_max(), 1);
        assert_eq!(Shares::of(6_144 * MIB).file_reads_max(), FILE_READS_MAX);
    }
}
