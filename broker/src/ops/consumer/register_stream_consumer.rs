//! RegisterStreamConsumer: a consumer with a throughput of its own. It is answered CREATING and ACTIVE soon after.
//!
//! A stream that is UPDATING takes consumers as well: a consumer application that starts during a reshard goes on.
//!
//! Limits: 20 consumers per stream, 50 on demand with the account's commitment; 5 of them in CREATING; 50 tags.
//! Errors: ResourceNotFound, ResourceInUse when the name exists or the stream is CREATING or DELETING, LimitExceeded,
//! InvalidArgument for tags.

use std::sync::Arc;

use super::description;
use crate::model::stream::{Consumer, Stream, StreamKey, Tags};
use crate::ops::api::{RegisterStreamConsumerInput, RegisterStreamConsumerOutput};
use crate::ops::fault::ResourceName;
use crate::ops::tag::rules;
use crate::ops::{Call, Fault, target};
use crate::service::{Service, ServiceError};

/// Begins the consumer.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &RegisterStreamConsumerInput,
) -> Result<RegisterStreamConsumerOutput, Fault> {
    let catalog = service.catalog();
    let (stream, name) = (target::stream(&catalog, call, input)?, &input.consumer_name);
    let tags = rules::read(input.tags.as_ref());
    check(&stream, name, &tags)?;
    let registered = service.register_consumer(stream.uid, name, tags).await;
    let consumer = registered.map_err(|error| match error {
        ServiceError::NameTaken => Fault::consumer_exists(&stream.key, name),
        other => Fault::of_stream(other, &stream.key),
    })?;
    Ok(answer(&stream.key, &consumer))
}

fn check(stream: &Stream, name: &str, tags: &Tags) -> Result<(), Fault> {
    if !stream.is_usable() {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    if stream.consumer(name).is_some() {
        return Err(Fault::consumer_exists(&stream.key, name));
    }
    let consumer = ResourceName::Consumer { key: stream.key.clone(), name: name.to_owned() };
    rules::check_added(&consumer, &Tags::new(), tags)
}

fn answer(stream: &StreamKey, consumer: &Consumer) -> RegisterStreamConsumerOutput {
    RegisterStreamConsumerOutput { consumer: description::consumer(stream, consumer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{ConsumerStatus, StreamStatus};
    use crate::ops::cases;

    fn stream_with(count: u64, status: ConsumerStatus) -> Stream {
        let mut stream = cases::stream("a", 1);
        let consumer = |uid| Consumer { status, ..cases::consumer(&format!("c{uid:02}"), uid) };
        stream.consumers = (0..count).map(consumer).collect();
        stream
    }

    #[test]
    fn a_consumer_begins_in_creation() {
        let consumer = Consumer { status: ConsumerStatus::Creating, ..cases::consumer("app", 7) };
        let expected = serde_json::json!({"Consumer": {
            "ConsumerName": "app",
            "ConsumerARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/app:1699998200",
            "ConsumerStatus": "CREATING",
            "ConsumerCreationTimestamp": 1_699_998_200.0,
        }});
        assert_eq!(cases::json(&answer(&cases::stream("a", 1).key, &consumer)), expected);
    }

    #[test]
    fn names_states_and_tags_are_checked() {
        let mut stream = stream_with(1, ConsumerStatus::Deleting);
        let checked = |stream: &Stream, name| check(stream, name, &Tags::new());
        let text = "Consumer c00 under stream a, account 000000000000 already exists.";
        assert_eq!(cases::said(checked(&stream, "c00")), ("ResourceInUseException", text.to_owned()));
        let tags = Tags::from([("a;".to_owned(), String::new())]);
        let tagged = check(&stream, "app", &tags);
        assert!(matches!(tagged, Err(Fault::InvalidArgument(_))), "{tagged:?}");
        for (status, is_refused) in [
            (StreamStatus::Creating, true),
            (StreamStatus::Active, false),
            (StreamStatus::Updating, false),
            (StreamStatus::Deleting, true),
        ] {
            stream.status = status;
            let found = checked(&stream, "app");
            assert_eq!(matches!(found, Err(Fault::ResourceInUse(_))), is_refused, "{status:?}: {found:?}");
        }
    }

    #[test]
    fn stream_and_name_are_required() {
        let fault = cases::input::<RegisterStreamConsumerInput>(r#"{"Tags":{}}"#).unwrap_err();
        let expected = [
            ("null", "streamARN", "Member must not be null"),
            ("null", "consumerName", "Member must not be null"),
            ("{}", "tags", "Member must have length greater than or equal to 1"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
