//! DescribeStreamConsumer: a consumer and the stream it is registered with.
//!
//! Errors: ResourceNotFound, InvalidArgument when the request names no consumer or two.

use std::sync::Arc;

use tidelog_proto::Document;

use super::{description, named::named};
use crate::model::stream::{Consumer, Stream};
use crate::ops::input::Input;
use crate::ops::{Call, Fault, Reply};
use crate::service::Service;

/// Describes the consumer.
pub fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let (stream, consumer) = named(&service.catalog(), call, input)?;
    Ok(call.reply(&answer(&stream, &consumer)))
}

fn answer(stream: &Stream, consumer: &Consumer) -> Document {
    let described = description::consumer(&stream.key, consumer).with("StreamARN", Some(stream.key.arn()));
    Document::structure([("ConsumerDescription", described)])
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
    fn bounds_are_told_in_aws_words() {
        let fault = cases::input("DescribeStreamConsumer", r#"{"ConsumerName":""}"#).unwrap_err();
        let expected = [
            ("", "consumerName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
            ("", "consumerName", "Member must have length greater than or equal to 1"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
