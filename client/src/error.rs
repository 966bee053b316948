//! Errors of the client, by the reaction that the caller can choose. Made from the details of a gRPC status
//! (see records.proto) and from the failures of single records; used by everything in this crate.

use std::error::Error as _;
use std::time::Duration;

use tidelog_proto::v1;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt;

/// The domain of the broker's reasons.
const DOMAIN: &str = "tidelog";

/// A call, or a part of it, that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    reason: Reason,
    message: String,
    retry_after: Option<Duration>,
}

/// The kind of an error, by the reaction that the caller can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Something is out of its bounds; the message says what. Correct it.
    Invalid,
    /// The stream, shard or group is certainly not there.
    NotFound,
    /// The state of the stream forbids it now.
    NotActive,
    /// Something else still uses it, or a stream of that name exists.
    InUse,
    /// A position that is not of this shard, or lies in the future.
    OutOfRange,
    /// Beyond a limit now; the same succeeds later.
    Throttled,
    /// Beyond a limit that waiting does not change.
    Quota,
    /// The broker no longer has, or cannot keep, the memory of this producer's batches by which it recognizes them.
    ProducerRefused,
    /// Another member may have the shard: records that were processed since the last checkpoint are processed
    /// again.
    LeaseLost,
    /// The member was absent for too long. [`Consumer`](crate::Consumer) joins again by itself.
    MemberUnknown,
    /// Nothing was done; the same may succeed later, or on another node.
    Unavailable,
    /// The call may have been carried out or not, now or later.
    UnknownOutcome,
    /// The broker does not offer it, or not to this caller.
    Refused,
    /// The producer or consumer was closed.
    Closed,
}

impl Error {
    /// An error for that reason, for programs that report their own failures as the client does.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after: None }
    }

    /// Returns the kind of the error, which says how the caller can react.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// How long the broker asks to wait, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same call may succeed later. After a write whose outcome is unknown, the records may be written
    /// already all the same.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.reason,
            Reason::Throttled
                | Reason::Unavailable
                | Reason::UnknownOutcome
                | Reason::NotActive
                | Reason::InUse
        )
    }

    /// Whether another node may do better.
    pub(crate) fn is_of_node(&self) -> bool {
        matches!(self.reason, Reason::Unavailable | Reason::UnknownOutcome)
    }

    /// A call that was not answered in its time.
    pub fn late(after: Duration) -> Self {
        Self::new(Reason::UnknownOutcome, format!("no answer within {} ms", after.as_millis()))
    }
}

impl From<v1::Failure> for Error {
    fn from(failure: v1::Failure) -> Self {
        let reason = named(&failure.reason).unwrap_or(Reason::UnknownOutcome);
        Self::new(reason, failure.message)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let stated = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let reason = stated.and_then(|info| named(&info.reason)).unwrap_or_else(|| unnamed(&status));
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let message = match status.message() {
            "" => format!("{:?}", status.code()),
            message => message.to_owned(),
        };
        Self { reason, message, retry_after }
    }
}

/// A reason of the table in records.proto.
fn named(reason: &str) -> Option<Reason> {
    Some(match reason {
        "INVALID_ARGUMENT" => Reason::Invalid,
        "STREAM_NOT_FOUND" | "SHARD_NOT_FOUND" | "GROUP_NOT_FOUND" => Reason::NotFound,
        "NOT_ACTIVE" => Reason::NotActive,
        "IN_USE" => Reason::InUse,
        "OUT_OF_RANGE" => Reason::OutOfRange,
        "THROTTLED" => Reason::Throttled,
        "QUOTA" => Reason::Quota,
        "PRODUCER_TABLE_FULL" | "PRODUCER_STALE" => Reason::ProducerRefused,
        "LEASE_LOST" => Reason::LeaseLost,
        "MEMBER_UNKNOWN" => Reason::MemberUnknown,
        "UNAVAILABLE" => Reason::Unavailable,
        "UNKNOWN_OUTCOME" => Reason::UnknownOutcome,
        _ => return None,
    })
}

/// A status that is not from the broker itself: of the transport, or of something in between. Only a call that
/// failed while the connection was made certainly did not arrive.
fn unnamed(status: &Status) -> Reason {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return Reason::Unavailable;
        }
        source = error.source();
    }
    match status.code() {
        Code::InvalidArgument => Reason::Invalid,
        Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => Reason::Refused,
        _ => Reason::UnknownOutcome,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn the_details_decide_and_errors_without_any_are_unknown() {
        let mut details = ErrorDetails::new();
        details.set_error_info("THROTTLED", DOMAIN, []);
        details.set_retry_info(Some(Duration::from_millis(70)));
        let throttled =
            Error::from(Status::with_error_details(Code::ResourceExhausted, "slow down", details));
        assert_eq!(throttled.reason(), Reason::Throttled);
        assert_eq!(throttled.retry_after(), Some(Duration::from_millis(70)));

        let mut of_another = ErrorDetails::new();
        of_another.set_error_info("UNAVAILABLE", "proxy.example", []);
        let cases = [
            (Status::with_error_details(Code::Unavailable, "", of_another), Reason::UnknownOutcome),
            (Status::unavailable("connection reset"), Reason::UnknownOutcome),
            (Status::unknown("transport error"), Reason::UnknownOutcome),
            (Status::deadline_exceeded(""), Reason::UnknownOutcome),
            (Status::cancelled(""), Reason::UnknownOutcome),
            (Status::unimplemented(""), Reason::Refused),
        ];
        for (status, expected) in cases {
            assert_eq!(Error::from(status.clone()).reason(), expected, "{status:?}");
        }
    }
}
