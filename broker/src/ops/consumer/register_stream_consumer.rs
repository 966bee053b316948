//! RegisterStreamConsumer: a consumer with a throughput of its own. It is answered CREATING and ACTIVE soon after.
//!
//! A stream that is UPDATING takes consumers as well: a consumer application that starts during a reshard goes on.
//!
//! Limits: 20 consumers per stream, 50 with the account's commitment; 5 of an account in CREATING at a time; 50 tags.
//! Errors: ResourceNotFound, ResourceInUse when the name exists or the stream is CREATING or DELETING, LimitExceeded,
//! InvalidArgument for tags.

use std::sync::Arc;

use tidelog_proto::Document;

use super::description;
use crate::limits::{
    CONSUMERS_CREATING_MAX, CONSUMERS_PER_STREAM_MAX, CONSUMERS_PER_STREAM_WITH_COMMITMENT_MAX,
};
use crate::model::stream::{Catalog, Consumer, ConsumerStatus, Stream, StreamKey, Tags};
use crate::ops::input::Input;
use crate::ops::tag::rules;
use crate::ops::{Call, Fault, Reply, target};
use crate::service::{Service, ServiceError};

/// Begins the consumer.
pub async fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let catalog = service.catalog();
    let (stream, name) = (target::stream(&catalog, call, input)?, input.required_text("ConsumerName"));
    let tags = rules::read(input);
    check(&catalog, &stream, name, &tags, service.now_ms())?;
    let registered = service.register_consumer(stream.uid, name, tags).await;
    let consumer = registered.map_err(|error| match error {
        ServiceError::NameTaken => Fault::consumer_exists(&stream.key, name),
        other => Fault::of_stream(other, &stream.key),
    })?;
    Ok(call.reply(&answer(&stream.key, &consumer)))
}

fn check(catalog: &Catalog, stream: &Stream, name: &str, tags: &Tags, now_ms: u64) -> Result<(), Fault> {
    if !stream.is_usable() {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    if stream.consumer(name).is_some() {
        return Err(Fault::consumer_exists(&stream.key, name));
    }
    let StreamKey { account, name: stream_name, .. } = &stream.key;
    let resource = format!("consumer {name} of stream {stream_name} under account {account}");
    rules::check_added(&resource, &Tags::new(), tags)?;
    check_quotas(catalog, stream, now_ms)
}

fn check_quotas(catalog: &Catalog, stream: &Stream, now_ms: u64) -> Result<(), Fault> {
    let StreamKey { account, region, name } = &stream.key;
    let limit = match catalog.has_commitment(&stream.key, now_ms) {
        true => CONSUMERS_PER_STREAM_WITH_COMMITMENT_MAX,
        false => CONSUMERS_PER_STREAM_MAX,
    };
    if stream.consumers.len() >= limit {
        return Err(Fault::LimitExceeded(format!(
            "Stream {name} under account {account} has its {limit} consumers already."
        )));
    }
    let is_here = |other: &&Arc<Stream>| other.key.account == *account && other.key.region == *region;
    let consumers = catalog.streams().values().filter(is_here).flat_map(|stream| &stream.consumers);
    if consumers.filter(|own| own.status == ConsumerStatus::Creating).count() < CONSUMERS_CREATING_MAX {
        return Ok(());
    }
    Err(Fault::LimitExceeded(format!(
        "Account {account} has {CONSUMERS_CREATING_MAX} consumers in status CREATING already."
    )))
}

fn answer(stream: &StreamKey, consumer: &Consumer) -> Document {
    Document::structure([("Consumer", description::consumer(stream, consumer))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{Commitment, StreamStatus};
    use crate::ops::cases::{self, NOW_MS};

    fn stream_with(count: u64, status: ConsumerStatus) -> Stream {
        let mut stream = cases::stream("a", 1);
        let consumer = |uid| Consumer { status, ..cases::consumer(&format!("c{uid:02}"), uid) };
        stream.consumers = (0..count).map(consumer).collect();
        stream
    }

    fn checked(catalog: &Catalog, stream: &Stream, name: &str) -> Result<(), Fault> {
        check(catalog, stream, name, &Tags::new(), NOW_MS)
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
    fn a_stream_has_twenty_consumers_and_fifty_with_the_commitment() {
        for (count, is_committed, is_full) in
            [(19, false, false), (20, false, true), (20, true, false), (49, true, false), (50, true, true)]
        {
            let stream = stream_with(count, ConsumerStatus::Active);
            let mut catalog = cases::catalog(vec![stream.clone()]);
            let place = (stream.key.account.clone(), stream.key.region.clone());
            let commitment = Commitment { is_enabled: is_committed, started_ms: 1, ended_ms: None };
            catalog.commitments.insert(place, commitment);
            let found = checked(&catalog, &stream, "app");
            assert_eq!(matches!(found, Err(Fault::LimitExceeded(_))), is_full, "{count}: {found:?}");
        }
    }

    #[test]
    fn five_consumers_are_created_at_a_time() {
        for (count, is_full) in [(4, false), (5, true)] {
            let mut other = cases::stream("b", 1);
            other.uid += 1;
            let stream = stream_with(count, ConsumerStatus::Creating);
            let found = checked(&cases::catalog(vec![stream, other.clone()]), &other, "app");
            assert_eq!(matches!(found, Err(Fault::LimitExceeded(_))), is_full, "{count}: {found:?}");
        }
    }

    #[test]
    fn names_states_and_tags_are_checked() {
        let mut stream = stream_with(1, ConsumerStatus::Deleting);
        let catalog = cases::catalog(vec![stream.clone()]);
        let text = "Consumer c00 under stream a, account 000000000000 already exists.";
        assert_eq!(checked(&catalog, &stream, "c00"), Err(Fault::ResourceInUse(text.to_owned())));
        let tags = Tags::from([("a;".to_owned(), String::new())]);
        let tagged = check(&catalog, &stream, "app", &tags, NOW_MS);
        assert!(matches!(tagged, Err(Fault::InvalidArgument(_))), "{tagged:?}");
        for (status, is_refused) in [
            (StreamStatus::Creating, true),
            (StreamStatus::Active, false),
            (StreamStatus::Updating, false),
            (StreamStatus::Deleting, true),
        ] {
            stream.status = status;
            let found = checked(&catalog, &stream, "app");
            assert_eq!(matches!(found, Err(Fault::ResourceInUse(_))), is_refused, "{status:?}: {found:?}");
        }
    }

    #[test]
    fn stream_and_name_are_required() {
        let fault = cases::input("RegisterStreamConsumer", r#"{"Tags":{}}"#).unwrap_err();
        let expected = [
            ("null", "streamARN", "Member must not be null"),
            ("null", "consumerName", "Member must not be null"),
            ("{}", "tags", "Member must have length greater than or equal to 1"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
