//! Why a command came to nothing, and what to do about it.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};

use crate::tls::TlsError;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClusterClientError {
    /// The own certificate cannot be used.
    #[error("cannot speak TLS to the cluster: {0}")]
    Tls(#[from] TlsError),
    /// Nobody answers there.
    #[error(
        "cannot reach a node at {at}: {reason}. Name the cluster address of a node that runs with --at or \
         TIDELOG_CLUSTER_AT: it is the node's address in its --cluster"
    )]
    Unreachable {
        /// The address.
        at: String,
        /// The reason.
        reason: String,
    },
    /// The far end does not speak this protocol, or not as openly.
    #[error(
        "the server at {at} is not the cluster port of a node of Tidelog ({reason}). It is the port of --cluster, not \
         of --listen; and where the nodes have --cluster-certificate, this command needs it too"
    )]
    Foreign {
        /// The address.
        at: String,
        /// The answer that came instead.
        reason: String,
    },
    /// The cluster will not do it, and says why.
    #[error("refused: {0}")]
    Refused(String),
    /// The cluster could not do it now.
    #[error("not done: {0}. The command may be repeated, at another node too: it goes on where it stopped")]
    NotDone(String),
    /// The change was begun, and then the node did not answer any more.
    #[error(
        "{at} did not answer for {} seconds. The change may have been made or not: see `tidelog cluster \
         status`, and repeat the command; it goes on where it stopped",
        silence.as_secs()
    )]
    Silent {
        /// The address.
        at: String,
        /// How long.
        silence: Duration,
    },
}

impl ClusterClientError {
    /// Whether the same question may be answered a moment later, as by a node that is starting.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Tls(_) | Self::Refused(_) => false,
            Self::Unreachable { .. } | Self::Foreign { .. } | Self::NotDone(_) | Self::Silent { .. } => true,
        }
    }

    /// The error of a failed call to the node at `at`.
    pub(super) fn from_status(at: &str, status: &Status) -> Self {
        let reason = status.message().to_owned();
        // An error of the connection has a source, one that the node sent has none.
        if let Some(source) = status.source() {
            let mut reason = source.to_string();
            let mut inner = source.source();
            while let Some(source) = inner {
                reason = format!("{reason}: {source}");
                inner = source.source();
            }
            return Self::Foreign { at: at.into(), reason };
        }
        match status.code() {
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::AlreadyExists
            | Code::NotFound => Self::Refused(reason),
            // HTTP servers that do not speak gRPC cause these codes.
            Code::Unimplemented | Code::Unknown | Code::Internal | Code::Unauthenticated => {
                Self::Foreign { at: at.into(), reason }
            }
            _ => Self::NotDone(reason),
        }
    }
}
