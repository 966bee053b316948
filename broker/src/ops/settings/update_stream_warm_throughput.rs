//! UpdateStreamWarmThroughput: sets the throughput that an on-demand stream has ahead of need. The present value is
//! fine and changes nothing.
//!
//! Limits: 10,240 MiB per second; the account's shards. Errors: ResourceNotFound, ResourceInUse when the stream is not
//! ACTIVE, InvalidArgument on a provisioned stream or without the account's commitment, LimitExceeded.

use std::sync::Arc;

use super::{check_active, warm_throughput};
use crate::model::stream::Stream;
use crate::ops::api::{UpdateStreamWarmThroughputInput, UpdateStreamWarmThroughputOutput};
use crate::ops::{Call, Fault, target};
use crate::service::{Service, StreamChange};

/// Sets the throughput.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &UpdateStreamWarmThroughputInput,
) -> Result<UpdateStreamWarmThroughputOutput, Fault> {
    let catalog = service.catalog();
    let stream = target::stream(&catalog, call, input)?;
    check_active(&stream)?;
    let asked = input.warm_throughput_mibps;
    let is_committed = catalog.has_commitment(&stream.key, service.now_ms());
    warm_throughput::check(stream.mode, is_committed, asked)?;
    if asked != stream.warm_mib_per_second {
        let change = StreamChange { warm_mib_per_second: Some(asked), ..StreamChange::default() };
        let changed = service.change_stream(stream.uid, change).await;
        changed.map_err(|error| Fault::of_stream(error, &stream.key))?;
    }
    Ok(answer(&stream, asked))
}

fn answer(stream: &Stream, asked: u32) -> UpdateStreamWarmThroughputOutput {
    UpdateStreamWarmThroughputOutput {
        stream_arn: Some(stream.key.arn()),
        stream_name: Some(stream.key.name.to_string()),
        warm_throughput: Some(warm_throughput::describe(stream, asked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn target_and_present_capacity_are_answered() {
        let expected = serde_json::json!({
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "StreamName": "a",
            "WarmThroughput": {"TargetMiBps": 9, "CurrentMiBps": 4},
        });
        assert_eq!(cases::json(&answer(&cases::stream("a", 4), 9)), expected);
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault =
            cases::input::<UpdateStreamWarmThroughputInput>(r#"{"WarmThroughputMiBps":-1}"#).unwrap_err();
        let constraint = "Member must have value greater than or equal to 0";
        assert_eq!(cases::violations(&fault), cases::expected(&[("-1", "warmThroughputMiBps", constraint)]));
    }
}
