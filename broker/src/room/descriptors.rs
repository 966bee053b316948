//! How the limit of open files is split: files of segments, everything else of the broker, and connections.

use std::fmt;

use rustix::process::{Resource, getrlimit};

/// Connections at once, however many files may be open.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections at once, however few files may be open.
const CONNECTIONS_MIN: usize = 64;
/// Segment files that readers keep open, however many files may be open.
const SEGMENTS_MAX: usize = 512;
/// Connections of other nodes and of administrators, however few and however many files may be open.
const PEERS: (usize, usize) = (64, 1_024);
/// Log, checkpoints, listeners, connections to other nodes, the least connections of other nodes, and connections past
/// the bound.
const OTHERS: usize = 176;

/// Files that may be open, and their uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit of the process.
    pub limit: usize,
    /// Connections of clients.
    pub connections: usize,
    /// Segment files that readers keep open; writers have half as many.
    pub segments: usize,
    /// Connections that other nodes and administrators open.
    pub peers: usize,
}

impl Descriptors {
    /// By the limit of this process.
    #[must_use]
    pub fn found() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    fn of(limit: usize) -> Self {
        let segments = (limit / 4).min(SEGMENTS_MAX);
        let peers = (limit / 16).clamp(PEERS.0, PEERS.1);
        let own = segments + segments / 2 + OTHERS + (peers - PEERS.0);
        let connections = limit.saturating_sub(own).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        Self { limit, connections, segments, peers }
    }
}

impl fmt::Display for Descriptors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} connections", self.connections)?;
        if self.connections < CONNECTIONS_MAX {
            write!(out, " (the limit of open files is {}: raise it for more)", self.limit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_leaves_hundreds_of_connections() {
        for (limit, connections, segments, peers) in [
            (256, 64, 64, 64),
            (1_024, 464, 256, 64),
            (4_096, 2_960, 512, 256),
            (1 << 20, 10_000, 512, 1_024),
            (usize::MAX, 10_000, 512, 1_024),
        ] {
            let split = Descriptors::of(limit);
            let found = (split.connections, split.segments, split.peers);
            assert_eq!(found, (connections, segments, peers), "{limit}");
        }
        assert_eq!(
            Descriptors::of(1_024).to_string(),
            "464 connections (the limit of open files is 1024: raise it for more)"
        );
    }
}
