//! UpdateStreamRecordDistributionStrategy: whether records go by their keys or are spread over all shards (AUTO). The
//! present strategy is fine and changes nothing.
//!
//! Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE, InvalidArgument for AUTO on a provisioned
//! stream.

use std::sync::Arc;

use super::check_active;
use crate::model::stream::{Stream, StreamMode};
use crate::ops::api::{RecordDistributionStrategy, UpdateStreamRecordDistributionStrategyInput};
use crate::ops::fault::InvalidArgument;
use crate::ops::{Call, Fault, target};
use crate::service::{Service, StreamChange};

/// Sets the strategy.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &UpdateStreamRecordDistributionStrategyInput,
) -> Result<(), Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    let is_auto = input.record_distribution_strategy == RecordDistributionStrategy::Auto;
    check(&stream, is_auto)?;
    if is_auto == stream.is_auto_distributed {
        return Ok(());
    }
    let change = StreamChange { is_auto_distributed: Some(is_auto), ..StreamChange::default() };
    let changed = service.change_stream(stream.uid, change).await;
    changed.map_err(|error| Fault::of_stream(error, &stream.key))
}

fn check(stream: &Stream, is_auto: bool) -> Result<(), Fault> {
    check_active(stream)?;
    if is_auto { check_mode(stream.mode) } else { Ok(()) }
}

/// Whether records of a stream in that mode can be spread.
///
/// # Errors
/// [`Fault::InvalidArgument`] for a provisioned one.
pub fn check_mode(mode: StreamMode) -> Result<(), Fault> {
    if mode == StreamMode::OnDemand {
        return Ok(());
    }
    Err(Fault::InvalidArgument(InvalidArgument::OnDemandOnly("RecordDistributionStrategy AUTO".into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::StreamStatus;
    use crate::ops::cases;

    #[test]
    fn only_on_demand_streams_are_spread() {
        let mut stream = cases::stream("a", 1);
        assert!(matches!(check(&stream, true), Err(Fault::InvalidArgument(_))));
        assert_eq!(check(&stream, false), Ok(()));
        stream.mode = StreamMode::OnDemand;
        assert_eq!(check(&stream, true), Ok(()));
        stream.status = StreamStatus::Updating;
        assert!(matches!(check(&stream, true), Err(Fault::ResourceInUse(_))));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let body = r#"{"RecordDistributionStrategy":"auto"}"#;
        let fault = cases::input::<UpdateStreamRecordDistributionStrategyInput>(body).unwrap_err();
        let expected = [
            ("null", "streamARN", "Member must not be null"),
            (
                "auto",
                "recordDistributionStrategy",
                "Member must satisfy enum value set: [AUTO, USER_PARTITION_KEY]",
            ),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
