//! Applications of the Kinesis Client Library (KCL), as their lease tables show them.
//!
//! A table of leases is an application. `leases` reads its items, `find` finds its stream, `describe` adds the lag that
//! only the broker knows; `watch` keeps, on the leader of the tables' group, when each counter moved; `reset` and
//! `transfer` change leases, each change one entry of the log that is applied only while the leases are as they were
//! read.

mod describe;
mod find;
mod leases;
mod plan;
mod reset;
mod seen;
mod transfer;
mod watch;

use std::time::Duration;

use tidelog_tables::Fault;

use super::{Service, ServiceError};
use crate::replication::ProposeError;

pub use describe::{ApplicationDescription, LeaseDescription, LockDescription, WorkerDescription};
pub use find::FoundStream;
pub use plan::LeaseChange;
pub use reset::ResetOutcome;
pub use transfer::{ImportOutcome, NewApplication};
pub use watch::{APPLICATION_QUIET, Watches};

/// How long a worker of KCL may leave its leases alone before another one takes them, unless the application sets
/// `failoverTimeMillis`. A worker renews three times in it.
const FAILOVER: Duration = Duration::from_secs(10);
/// Renewals in the failover time of an application.
const RENEWALS_PER_FAILOVER: u64 = 3;

/// Why nothing was done for an application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// There is no table of leases of that name.
    #[error("there is no KCL application {0}")]
    NoSuchApplication(String),
    /// A worker renews a lease.
    #[error(
        "the application runs: the counter of the lease {lease}{} moved {moved_ms} ms ago. Stop its workers, and try \
         again {quiet_s} s after the last one has stopped", owned_by(.worker.as_deref())
    )]
    Running {
        /// The key of the lease.
        lease: String,
        /// The worker that has it.
        worker: Option<String>,
        /// Milliseconds since its counter was seen to move.
        moved_ms: u64,
        /// Seconds for which no counter may move.
        quiet_s: u64,
    },
    /// The leader of the tables has not watched them for long enough.
    #[error(
        "it is not known yet whether the application runs: the node that leads its tables has watched them for \
         {watched_ms} ms, and has to see for {quiet_s} s that no worker renews a lease. Try again in {} s",
        (.quiet_s * 1_000).saturating_sub(*.watched_ms).div_ceil(1_000).max(1)
    )]
    NotKnownYet {
        /// Milliseconds for which the leader has watched the table.
        watched_ms: u64,
        /// Seconds for which no counter may move.
        quiet_s: u64,
    },
    /// The leader of the tables cannot be asked.
    #[error(
        "the node that leads the application's tables cannot be asked now, and only it knows whether the application runs"
    )]
    NoLeader,
    /// The leader watches no table of that size.
    #[error("the application has more leases than the broker watches, so it is not known whether it runs")]
    NotWatched,
    /// A lease has changed between the look at the leases and the change of them.
    #[error("nothing was changed: a lease has changed in the meantime, so a worker runs")]
    Overtaken,
    /// The stream of the leases is not known.
    #[error("{0}: name the stream")]
    NoStream(String),
    /// Leases that are not of the stream.
    #[error("the lease {lease} is not of the stream {stream}")]
    OtherStream {
        /// The key of the lease.
        lease: String,
        /// The stream.
        stream: String,
    },
    /// A position in the future.
    #[error("{0}")]
    OutOfRange(String),
    /// The import would replace a table.
    #[error("there is a table {0}: an import replaces it only if that is asked for")]
    Exists(String),
    /// Leases to import that are none.
    #[error("{0}")]
    Invalid(String),
    /// The lease tables have refused the change.
    #[error("{0}")]
    Refused(String),
    /// Lease tables are off.
    #[error("lease tables are off (--lease-tables off)")]
    Off,
    /// An error that operations on streams have as well.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

fn owned_by(worker: Option<&str>) -> String {
    worker.map_or_else(String::new, |worker| format!(" of the worker {worker}"))
}

impl From<ProposeError> for ApplicationError {
    fn from(error: ProposeError) -> Self {
        Self::Service(error.into())
    }
}

impl From<Fault> for ApplicationError {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault.to_string())
    }
}
