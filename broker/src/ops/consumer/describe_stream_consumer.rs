//! DescribeStreamConsumer: a consumer and the stream it is registered with.
//!
//! Errors: ResourceNotFound, InvalidArgument when the request names no consumer or two.

use std::sync::Arc;

use super::{description, named::named};
use crate::model::stream::{Consumer, Stream};
use crate::ops::api::{ConsumerDescription, DescribeStreamConsumerInput, DescribeStreamConsumerOutput};
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Describes the consumer.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &DescribeStreamConsumerInput,
) -> Result<DescribeStreamConsumerOutput, Fault> {
    let (stream, consumer) = named(&service.catalog(), call, input, input.consumer_name.as_deref())?;
    Ok(answer(&stream, &consumer))
}

/// The answer. Only this operation names the consumer's stream.
fn answer(stream: &Stream, consumer: &Consumer) -> DescribeStreamConsumerOutput {
    let described = description::consumer(&stream.key, consumer);
    let consumer_description = ConsumerDescription {
        consumer_name: described.consumer_name,
        consumer_arn: described.consumer_arn,
        consumer_status: described.consumer_status,
        consumer_creation_timestamp: described.consumer_creation_timestamp,
        stream_arn: stream.key.arn(),
    };
    DescribeStreamConsumerOutput { consumer_description }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn everything_aws_sends_is_there() {
        let (stream, consumer) = (cases::stream("a", 1), cases::consumer("app", 7));
        let expected = serde_json::json!({"ConsumerDescription": {
            "ConsumerName": "app",
            "ConsumerARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/app:1699998200",
            "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": 1_699_998_200.0,
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
        }});
        assert_eq!(cases::json(&answer(&stream, &consumer)), expected);
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault = cases::input::<DescribeStreamConsumerInput>(r#"{"ConsumerName":""}"#).unwrap_err();
        let expected = [
            ("", "consumerName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
            ("", "consumerName", "Member must have length greater than or equal to 1"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
