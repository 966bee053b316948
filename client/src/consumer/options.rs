//! The options of a consumer, with bounds and defaults.

use std::time::Duration;

use super::Consumer;
use super::group::Group;
use super::record::Position;
use super::shard_reading::Source;
use crate::connection::Connection;
use crate::error::{Error, Reason};

/// The moment at which records count as processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoints {
    /// A batch is processed when the next one is asked for, or the consumer is closed.
    #[default]
    Automatic,
    /// The application, by [`Batch::checkpoint`](super::Batch::checkpoint).
    Manual,
}

/// How a consumer is to be. Made by [`Consumer::builder`].
#[derive(Debug)]
pub struct ConsumerBuilder {
    group: Group,
    lease: Option<Duration>,
    checkpoints: Checkpoints,
    deaggregating: bool,
}

impl ConsumerBuilder {
    pub(super) fn new(connection: &Connection, stream: String, group: String) -> Self {
        let group = Group {
            connection: connection.clone(),
            stream,
            name: group,
            member_name: String::new(),
            from: Position::TrimHorizon,
            lease_ms: 0,
        };
        Self { group, lease: None, checkpoints: Checkpoints::Automatic, deaggregating: true }
    }

    /// Where a group that is new begins; by default at the oldest record. Without effect on one that exists.
    #[must_use]
    pub fn from(mut self, from: Position) -> Self {
        self.group.from = from;
        self
    }

    /// For people who look at the group, such as the host's name: up to 256 characters, by default none.
    #[must_use]
    pub fn member_name(mut self, name: impl Into<String>) -> Self {
        self.group.member_name = name.into();
        self
    }

    /// How long a member may be silent before its shards go to others: 1 s to 5 minutes, by default 10 s. The time
    /// of the first member counts for the group.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets when records count as processed; [`Checkpoints::Automatic`] by default.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Takes aggregated records of KPL apart. On by default.
    #[must_use]
    pub fn deaggregate(mut self, deaggregating: bool) -> Self {
        self.deaggregating = deaggregating;
        self
    }

    /// The consumer, which joins its group in the background of the Tokio runtime that this is called in.
    ///
    /// # Errors
    /// [`Reason::Invalid`] when a value is out of its bounds.
    pub fn build(mut self) -> Result<Consumer, Error> {
        let invalid = |message: &str| Err(Error::new(Reason::Invalid, message));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=128).contains(&self.group.name.len()) || !self.group.name.bytes().all(is_name) {
            return invalid("a group's name has 1 to 128 of [a-zA-Z0-9_.-]");
        }
        if self.group.member_name.chars().count() > 256 {
            return invalid("a member's name has up to 256 characters");
        }
        if let Some(lease) = self.lease {
            if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&lease) {
                return invalid("a lease lasts 1 s to 5 minutes");
            }
            self.group.lease_ms = u32::try_from(lease.as_millis()).expect("is at most 300,000");
        }
        let source = Source {
            connection: self.group.connection.clone(),
            stream: self.group.stream.clone(),
            consumer: self.group.name.clone(),
            following: true,
            deaggregating: self.deaggregating,
            // A member waits for the broker as long as it has to.
            give_up_after: Duration::MAX,
            shards: Default::default(),
        };
        Ok(Consumer::start(self.group, source, self.checkpoints))
    }
}
