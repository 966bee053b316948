//! The one table that turns what goes wrong into a google.rpc status, as `records.proto` lists them.

use std::collections::HashMap;
use std::time::Duration;

use tidelog_proto::v1::Failure;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::model::shard_id::ShardId;
use crate::ops::Fault;
use crate::service::AppendRefusal;

/// Of every ErrorInfo.
const DOMAIN: &str = "tidelog";
/// When what is beyond a limit may succeed: budgets are filled by the second.
const THROTTLED_DELAY: Duration = Duration::from_millis(250);
/// When what could not be done may succeed: an election takes a second or two.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) const THROTTLED: &str = "THROTTLED";
pub(super) const UNAVAILABLE: &str = "UNAVAILABLE";
pub(super) const UNKNOWN_OUTCOME: &str = "UNKNOWN_OUTCOME";
const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";

/// The status of a call that has come to a fault.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(super) fn of(fault: Fault) -> Status {
    let (code, reason) = row(&fault);
    let words = match &fault {
        Fault::Internal => UNKNOWN_WORDS.to_owned(),
        fault => fault.exception().message.map(|(_, text)| text.to_owned()).unwrap_or_default(),
    };
    with_reason(code, reason, words)
}

/// The table.
fn row(fault: &Fault) -> (Code, &'static str) {
    match fault {
        Fault::Validation(_)
        | Fault::InvalidArgument(_)
        | Fault::ExpiredIterator(_)
        | Fault::ExpiredNextToken(_)
        | Fault::Serialization { .. }
        | Fault::DryRun => (Code::InvalidArgument, INVALID_ARGUMENT),
        Fault::OutOfRange(_) => (Code::OutOfRange, "OUT_OF_RANGE"),
        Fault::ResourceNotFound(_) if fault.is_about_a_shard() => (Code::NotFound, "SHARD_NOT_FOUND"),
        Fault::ResourceNotFound(_) => (Code::NotFound, "STREAM_NOT_FOUND"),
        Fault::ResourceInUse(_) if fault.is_about_a_name() => (Code::AlreadyExists, "IN_USE"),
        Fault::ResourceInUse(_) if fault.is_about_a_state() => (Code::FailedPrecondition, "NOT_ACTIVE"),
        Fault::ResourceInUse(_) => (Code::FailedPrecondition, "IN_USE"),
        Fault::LimitExceeded(_) if fault.is_about_a_rate() => (Code::ResourceExhausted, THROTTLED),
        Fault::LimitExceeded(_) => (Code::ResourceExhausted, "QUOTA"),
        Fault::ProvisionedThroughputExceeded(_) => (Code::ResourceExhausted, THROTTLED),
        Fault::Unavailable(_) => (Code::Unavailable, UNAVAILABLE),
        Fault::Internal | Fault::JsonOnly => (Code::Internal, UNKNOWN_OUTCOME),
        Fault::UnknownOperation | Fault::NotBuilt(_) | Fault::EncryptionUnavailable(_) => {
            (Code::Unimplemented, "UNIMPLEMENTED")
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

/// What was asked for may be done or not.
pub(super) fn unknown_outcome() -> Status {
    of(Fault::Internal)
}

const UNKNOWN_WORDS: &str =
    "What was asked for may be done or not, now or later; the broker's log may say more.";

/// Why one record was not written.
pub(super) fn failure(refusal: AppendRefusal) -> Failure {
    let (reason, message) = match refusal {
        AppendRefusal::Throttled { shard } => {
            (THROTTLED, format!("Rate exceeded for shard {}.", ShardId(shard)))
        }
        AppendRefusal::Unknown => (UNKNOWN_OUTCOME, "The record may be written or not.".to_owned()),
        AppendRefusal::Unavailable => {
            (UNAVAILABLE, "The record was not written; try again later.".to_owned())
        }
        AppendRefusal::ProducerStale => (
            "PRODUCER_STALE",
            "The record was not written: its batch lies below settled_below and is not remembered."
                .to_owned(),
        ),
        AppendRefusal::ProducerTableFull => (
            "PRODUCER_TABLE_FULL",
            "The record was not written: its shard has no room to remember the batch.".to_owned(),
        ),
    };
    Failure { reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{StreamKey, StreamStatus};

    #[test]
    fn every_fault_has_its_code_its_reason_and_its_words() {
        let key = StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: "a".into() };
        let text = || "why".to_owned();
        for (fault, code, reason, may_retry) in [
            (Fault::Validation(text()), Code::InvalidArgument, "INVALID_ARGUMENT", false),
            (Fault::InvalidArgument(text()), Code::InvalidArgument, "INVALID_ARGUMENT", false),
            (Fault::ExpiredNextToken(text()), Code::InvalidArgument, "INVALID_ARGUMENT", false),
            (Fault::OutOfRange(text()), Code::OutOfRange, "OUT_OF_RANGE", false),
            (Fault::stream_not_found(&key), Code::NotFound, "STREAM_NOT_FOUND", false),
            (Fault::shard_not_found(&key, ShardId(1)), Code::NotFound, "SHARD_NOT_FOUND", false),
            (Fault::name_taken(&key), Code::AlreadyExists, "IN_USE", false),
            (Fault::consumers_in_the_way(&key), Code::FailedPrecondition, "IN_USE", false),
            (Fault::not_active(&key, StreamStatus::Updating), Code::FailedPrecondition, "NOT_ACTIVE", false),
            (Fault::call_rate_exceeded(&key), Code::ResourceExhausted, "THROTTLED", true),
            (Fault::rate_exceeded(&key, ShardId(0)), Code::ResourceExhausted, "THROTTLED", true),
            (Fault::LimitExceeded(text()), Code::ResourceExhausted, "QUOTA", false),
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
