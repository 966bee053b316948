//! The one table that turns faults into a google.rpc status, as `records.proto` lists them.

use std::collections::HashMap;
use std::time::Duration;

use tidelog_proto::v1::Failure;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::model::shard_id::ShardId;
use crate::ops::Fault;
use crate::ops::fault::{InUse, LimitExceeded, NotFound};
use crate::service::AppendFailure;

/// The domain of every ErrorInfo.
const DOMAIN: &str = "tidelog";
/// After how long a throttled call may succeed: budgets are filled by the second.
const THROTTLED_DELAY: Duration = Duration::from_millis(250);
/// After how long an unavailable call may succeed: an election takes a second or two.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) const THROTTLED: &str = "THROTTLED";
pub(super) const UNAVAILABLE: &str = "UNAVAILABLE";
pub(super) const UNKNOWN_OUTCOME: &str = "UNKNOWN_OUTCOME";
const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
const PRODUCER_STALE: &str = "PRODUCER_STALE";
const PRODUCER_TABLE_FULL: &str = "PRODUCER_TABLE_FULL";

/// The status of a call that has come to a fault.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(super) fn of(fault: Fault) -> Status {
    let (code, reason) = row(&fault);
    let words = match &fault {
        Fault::Internal => UNKNOWN_WORDS.to_owned(),
        fault => fault.exception().text().to_owned(),
    };
    with_reason(code, reason, words)
}

/// The table.
fn row(fault: &Fault) -> (Code, &'static str) {
    match fault {
        Fault::Validation(_)
        | Fault::InvalidArgument(_)
        | Fault::ExpiredIterator { .. }
        | Fault::ExpiredNextToken { .. }
        | Fault::Unreadable
        | Fault::Serialization(_)
        | Fault::DryRun => (Code::InvalidArgument, INVALID_ARGUMENT),
        Fault::InvalidPosition(_) => (Code::OutOfRange, "OUT_OF_RANGE"),
        Fault::ResourceNotFound(missing) => (Code::NotFound, not_found(missing)),
        Fault::ResourceInUse(in_use) => in_use_row(in_use),
        Fault::LimitExceeded(limit) => (Code::ResourceExhausted, limit_reason(limit)),
        Fault::ProvisionedThroughputExceeded(_) => (Code::ResourceExhausted, THROTTLED),
        Fault::Unavailable(_) => (Code::Unavailable, UNAVAILABLE),
        Fault::Internal | Fault::JsonOnly => (Code::Internal, UNKNOWN_OUTCOME),
        Fault::UnknownOperation | Fault::NotBuilt(_) | Fault::EncryptionUnavailable(_) => {
            (Code::Unimplemented, "UNIMPLEMENTED")
        }
    }
}

fn not_found(missing: &NotFound) -> &'static str {
    match missing {
        NotFound::Shard { .. } | NotFound::ShardText { .. } | NotFound::IteratedStream(_) => {
            "SHARD_NOT_FOUND"
        }
        NotFound::Stream(_)
        | NotFound::DeletedStream
        | NotFound::PagedStream
        | NotFound::Consumer(_)
        | NotFound::Resource { .. }
        | NotFound::Policy(_) => "STREAM_NOT_FOUND",
    }
}

fn in_use_row(in_use: &InUse) -> (Code, &'static str) {
    match in_use {
        InUse::NameTaken(_) | InUse::ConsumerExists { .. } => (Code::AlreadyExists, "IN_USE"),
        InUse::NotActive { .. } | InUse::ConsumerNotActive { .. } => (Code::FailedPrecondition, "NOT_ACTIVE"),
        InUse::SubscriptionExists { .. } | InUse::HasConsumers(_) | InUse::Overtaken(_) => {
            (Code::FailedPrecondition, "IN_USE")
        }
    }
}

fn limit_reason(limit: &LimitExceeded) -> &'static str {
    match limit {
        LimitExceeded::StreamRate(_) | LimitExceeded::AccountRate { .. } => THROTTLED,
        LimitExceeded::Quota { .. } | LimitExceeded::Metadata(_) | LimitExceeded::WarmThroughput(_) => {
            "QUOTA"
        }
    }
}

/// A status with its reason, and the time after which it may be tried again when it may.
pub(super) fn with_reason(code: Code, reason: &'static str, words: impl Into<String>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    let delay = match reason {
        THROTTLED => Some(THROTTLED_DELAY),
        UNAVAILABLE => Some(UNAVAILABLE_DELAY),
        _ => None,
    };
    if delay.is_some() {
        details.set_retry_info(delay);
    }
    Status::with_error_details(code, words, details)
}

/// A member is out of its bounds.
pub(super) fn invalid(words: impl Into<String>) -> Status {
    with_reason(Code::InvalidArgument, INVALID_ARGUMENT, words)
}

/// Nothing was done.
pub(super) fn unavailable(words: impl Into<String>) -> Status {
    with_reason(Code::Unavailable, UNAVAILABLE, words)
}

/// The status of a call whose effect may have taken place or not.
pub(super) fn unknown_outcome() -> Status {
    of(Fault::Internal)
}

const UNKNOWN_WORDS: &str = "The call may take effect or not, now or later; the broker's log may say more.";

/// Why one record was not written.
pub(super) fn failure(refusal: AppendFailure) -> Failure {
    let (reason, message) = match refusal {
        AppendFailure::Throttled { shard } => {
            (THROTTLED, format!("Rate exceeded for shard {}.", ShardId(shard)))
        }
        AppendFailure::Unknown => (UNKNOWN_OUTCOME, "The record may be written or not.".to_owned()),
        AppendFailure::Unavailable => {
            (UNAVAILABLE, "The record was not written; try again later.".to_owned())
        }
        AppendFailure::ProducerStale => {
            let words = "The record was not written: its batch is settled and no longer known.";
            (PRODUCER_STALE, words.to_owned())
        }
        AppendFailure::ProducerTableFull => {
            let words = "The record was not written: its shard has no room to remember the batch.";
            (PRODUCER_TABLE_FULL, words.to_owned())
        }
    };
    Failure { reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{StreamKey, StreamStatus};
    use crate::ops::fault::{InvalidPosition, InvalidTarget, Validation};

    #[test]
    fn every_fault_has_its_code_its_reason_and_its_words() {
        let key = StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: "a".into() };
        for (fault, code, reason, may_retry) in [
            (
                Fault::Validation(Validation::OnDemandShardCount),
                Code::InvalidArgument,
                "INVALID_ARGUMENT",
                false,
            ),
            (InvalidTarget::NoStream.into(), Code::InvalidArgument, "INVALID_ARGUMENT", false),
            (
                Fault::ExpiredNextToken { issued_ms: 1, now_ms: 2 },
                Code::InvalidArgument,
                "INVALID_ARGUMENT",
                false,
            ),
            (Fault::InvalidPosition(InvalidPosition::NoTime), Code::OutOfRange, "OUT_OF_RANGE", false),
            (Fault::stream_not_found(&key), Code::NotFound, "STREAM_NOT_FOUND", false),
            (Fault::shard_not_found(&key, ShardId(1)), Code::NotFound, "SHARD_NOT_FOUND", false),
            (Fault::name_taken(&key), Code::AlreadyExists, "IN_USE", false),
            (Fault::has_consumers(&key), Code::FailedPrecondition, "IN_USE", false),
            (Fault::not_active(&key, StreamStatus::Updating), Code::FailedPrecondition, "NOT_ACTIVE", false),
            (Fault::call_rate_exceeded(&key), Code::ResourceExhausted, "THROTTLED", true),
            (Fault::rate_exceeded(&key, ShardId(0)), Code::ResourceExhausted, "THROTTLED", true),
            (Fault::LimitExceeded(LimitExceeded::WarmThroughput(1)), Code::ResourceExhausted, "QUOTA", false),
            (Fault::leaderless(), Code::Unavailable, "UNAVAILABLE", true),
            (Fault::Internal, Code::Internal, "UNKNOWN_OUTCOME", false),
        ] {
            let status = of(fault.clone());
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((status.code(), &*info.reason, &*info.domain), (code, reason, "tidelog"), "{fault:?}");
            assert_eq!(details.retry_info().is_some(), may_retry, "{fault:?}");
            assert!(!status.message().is_empty(), "{fault:?}");
        }
    }
}
