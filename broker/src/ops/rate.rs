//! The rates of the control plane, checked in one place: after a request's members are judged, before its operation runs.
//! SubscribeToShard has its calls counted itself, once it knows that the seat is free.
//!
//! AWS's words name the stream, also where calls are counted by account. Nobody recorded the words for calls that name
//! none.

use std::sync::Arc;

use super::fault::LimitExceeded;
use super::input::Input;
use super::{Call, Fault, target};
use crate::limits::rates::{self, Rate, Scope};
use crate::model::arn::ConsumerArn;
use crate::model::shard_id::ShardId;
use crate::model::stream::StreamKey;
use crate::service::Service;
use crate::service::rates::Subject;

/// Counts the call, unless its operation does.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it is one too many.
pub fn check(service: &Service, operation: &str, call: &Call, input: &Input) -> Result<(), Fault> {
    match rates::of(operation) {
        Some(rate) if rate.scope != Scope::ConsumerAndShard => count(service, rate, call, input),
        _ => Ok(()),
    }
}

/// Counts a call of SubscribeToShard.
///
/// # Errors
/// As [`check`].
pub fn check_subscribe(service: &Service, call: &Call, input: &Input) -> Result<(), Fault> {
    let rate = rates::of("SubscribeToShard").expect("an operation with a rate");
    count(service, rate, call, input)
}

fn count(service: &Service, rate: &Rate, call: &Call, input: &Input) -> Result<(), Fault> {
    if !service.control_limits().rates {
        return Ok(());
    }
    let stream = stream(call, input);
    let subject = subject(rate, call, input, stream.as_ref());
    service.admit_call(rate, &subject).map_err(|_| match stream {
        Some(stream) => Fault::call_rate_exceeded(&stream),
        None => Fault::LimitExceeded(LimitExceeded::AccountRate { account: call.account.to_string() }),
    })
}

/// The stream that the request names in any way, whether or not there is one.
fn stream(call: &Call, input: &Input) -> Option<StreamKey> {
    if let Ok(key) = target::key(call, input) {
        return Some(key);
    }
    let arn = input.text("ConsumerARN").or_else(|| input.text("ResourceARN"))?;
    let of_consumer = ConsumerArn::parse(arn).map(|arn| arn.stream);
    of_consumer.or_else(|| target::named(call, None, Some(arn)).ok())
}

fn subject(rate: &Rate, call: &Call, input: &Input, stream: Option<&StreamKey>) -> Subject {
    let Call { account, region, .. } = call;
    let of_caller = |resource| Subject { account: account.clone(), region: region.clone(), resource };
    match (rate.scope, stream) {
        // A next page names no stream; its caller's pages are counted together.
        (Scope::Account, _) | (Scope::Stream, None) => of_caller(Arc::from("")),
        (Scope::Stream, Some(StreamKey { account, region, name })) => {
            Subject { account: account.clone(), region: region.clone(), resource: name.clone() }
        }
        (Scope::ConsumerAndShard, _) => {
            let (consumer, shard) = (input.text("ConsumerARN"), input.text("ShardId").unwrap_or_default());
            // A shard goes by several names.
            let shard = ShardId::parse(shard).map_or_else(|| shard.to_owned(), |id| id.to_string());
            of_caller(format!("{} {shard}", consumer.unwrap_or_default()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::rates::RATES;
    use crate::ops::{OPERATIONS, cases};

    #[test]
    fn rates_are_those_of_operations() {
        for rate in &RATES {
            assert!(OPERATIONS.iter().any(|operation| operation.name == rate.operation), "{rate:?}");
        }
    }

    #[test]
    fn an_operation_without_a_rate_has_a_budget_or_another_exception() {
        let without = OPERATIONS.iter().filter(|operation| rates::of(operation.name).is_none());
        // The shard's budget bounds these four; the queues' operations have a throttling exception of their own.
        let shards = ["GetRecords", "GetShardIterator", "PutRecord", "PutRecords"];
        for operation in without {
            let is_of_queue = operation.errors.contains(&"ThrottlingException");
            assert!(shards.contains(&operation.name) || is_of_queue, "{}", operation.name);
        }
    }

    fn subject_of(operation: &str, body: &str) -> Subject {
        let (call, input) = (cases::call(body), cases::input(operation, body).unwrap());
        subject(rates::of(operation).unwrap(), &call, &input, stream(&call, &input).as_ref())
    }

    #[test]
    fn calls_are_counted_by_account_stream_or_consumer_and_shard() {
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/a";
        let consumer = format!("{arn}/consumer/app:1700000000");
        let by_arn = format!(r#"{{"StreamARN":"{arn}"}}"#);
        let by_consumer = format!(r#"{{"ConsumerARN":"{consumer}"}}"#);
        let subscribed = |shard: &str| {
            format!(
                r#"{{"ConsumerARN":"{consumer}","ShardId":"{shard}","StartingPosition":{{"Type":"LATEST"}}}}"#
            )
        };
        for (operation, body, account, resource) in [
            ("ListStreams", "{}", "000000000000", ""),
            ("DescribeStream", r#"{"StreamName":"a"}"#, "000000000000", ""),
            ("DescribeStream", &by_arn, "000000000000", ""),
            ("ListShards", r#"{"StreamName":"a"}"#, "000000000000", "a"),
            ("ListShards", &by_arn, "123456789012", "a"),
            ("ListShards", r#"{"NextToken":"t"}"#, "000000000000", ""),
            ("DescribeStreamConsumer", &by_consumer, "123456789012", "a"),
            (
                "SubscribeToShard",
                &subscribed("shard-3"),
                "000000000000",
                &format!("{consumer} shardId-000000000003"),
            ),
        ] {
            let found = subject_of(operation, body);
            assert_eq!((&*found.account, &*found.resource), (account, resource), "{operation} {body}");
        }
    }

    #[test]
    fn a_tagged_consumer_leads_to_its_stream() {
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/a";
        for resource in [arn.to_owned(), format!("{arn}/consumer/app:1700000000")] {
            let body = format!(r#"{{"ResourceARN":"{resource}"}}"#);
            let (call, input) = (cases::call(&body), cases::input("ListTagsForResource", &body).unwrap());
            assert_eq!(stream(&call, &input).unwrap().arn(), arn);
        }
    }
}
