//! The rates of the control plane, checked in one place: after a request's members are judged, before its operation
//! runs. SubscribeToShard counts its calls itself, once the consumer may subscribe.
//!
//! AWS's words name the stream, also where calls are counted by account. Nobody recorded the words for calls that name
//! none.

use std::sync::Arc;

use super::api::{Operation, Request, SubscribeToShardInput, Targets};
use super::fault::LimitExceeded;
use super::{Call, Fault, target};
use crate::limits::rates::{Rate, Scope};
use crate::model::arn::ConsumerArn;
use crate::model::shard_id::ShardId;
use crate::model::stream::StreamKey;
use crate::service::Service;
use crate::service::rates::Subject;

/// Counts the call, unless its operation does.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it is one too many.
pub fn check(service: &Service, call: &Call, request: &Request) -> Result<(), Fault> {
    let operation = request.operation();
    match operation.properties().rate {
        Some(rate) if rate.scope != Scope::ConsumerAndShard => {
            count(service, operation, rate, call, request.targets())
        }
        _ => Ok(()),
    }
}

/// Counts a call of SubscribeToShard.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it is one too many.
pub fn check_subscribe(service: &Service, call: &Call, input: &SubscribeToShardInput) -> Result<(), Fault> {
    let operation = Operation::SubscribeToShard;
    let rate = operation.properties().rate.expect("an operation with a rate");
    count(service, operation, rate, call, input)
}

fn count(
    service: &Service,
    operation: Operation,
    rate: Rate,
    call: &Call,
    targets: &dyn Targets,
) -> Result<(), Fault> {
    if !service.control_limits().rates {
        return Ok(());
    }
    let stream = stream(call, targets);
    let subject = subject(rate, call, targets, stream.as_ref());
    service.admit_call(operation.name(), rate, &subject).map_err(|_| match stream {
        Some(stream) => Fault::call_rate_exceeded(&stream),
        None => Fault::LimitExceeded(LimitExceeded::AccountRate { account: call.account.to_string() }),
    })
}

/// The stream that the request names in any way, whether or not there is one.
fn stream(call: &Call, targets: &dyn Targets) -> Option<StreamKey> {
    if let Ok(key) = target::key(call, targets) {
        return Some(key);
    }
    let arn = targets.consumer_arn().or_else(|| targets.resource_arn())?;
    let of_consumer = ConsumerArn::parse(arn).map(|arn| arn.stream);
    of_consumer.or_else(|| target::named(call, None, Some(arn)).ok())
}

fn subject(rate: Rate, call: &Call, targets: &dyn Targets, stream: Option<&StreamKey>) -> Subject {
    let Call { account, region, .. } = call;
    let of_caller = |resource| Subject { account: account.clone(), region: region.clone(), resource };
    match (rate.scope, stream) {
        // A next page names no stream; its caller's pages are counted together.
        (Scope::Account, _) | (Scope::Stream, None) => of_caller(Arc::from("")),
        (Scope::Stream, Some(StreamKey { account, region, name })) => {
            Subject { account: account.clone(), region: region.clone(), resource: name.clone() }
        }
        (Scope::ConsumerAndShard, _) => {
            let shard = targets.shard_id().unwrap_or_default();
            // A shard goes by several names.
            let shard = ShardId::parse(shard).map_or_else(|| shard.to_owned(), |id| id.to_string());
            of_caller(format!("{} {shard}", targets.consumer_arn().unwrap_or_default()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    fn subject_of(operation: Operation, body: &str) -> Subject {
        let (call, request) = (cases::call(body), cases::request(operation, body));
        let (rate, targets) = (operation.properties().rate.unwrap(), request.targets());
        subject(rate, &call, targets, stream(&call, targets).as_ref())
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
            (Operation::ListStreams, "{}", "000000000000", ""),
            (Operation::DescribeStream, r#"{"StreamName":"a"}"#, "000000000000", ""),
            (Operation::DescribeStream, &by_arn, "000000000000", ""),
            (Operation::ListShards, r#"{"StreamName":"a"}"#, "000000000000", "a"),
            (Operation::ListShards, &by_arn, "123456789012", "a"),
            (Operation::ListShards, r#"{"NextToken":"t"}"#, "000000000000", ""),
            (Operation::DescribeStreamConsumer, &by_consumer, "123456789012", "a"),
            (
                Operation::SubscribeToShard,
                &subscribed("shard-3"),
                "000000000000",
                &format!("{consumer} shardId-000000000003"),
            ),
        ] {
            let found = subject_of(operation, body);
            assert_eq!((&*found.account, &*found.resource), (account, resource), "{operation:?} {body}");
        }
    }

    #[test]
    fn a_tagged_consumer_leads_to_its_stream() {
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/a";
        for resource in [arn.to_owned(), format!("{arn}/consumer/app:1700000000")] {
            let body = format!(r#"{{"ResourceARN":"{resource}"}}"#);
            let request = cases::request(Operation::ListTagsForResource, &body);
            assert_eq!(stream(&cases::call(&body), request.targets()).unwrap().arn(), arn);
        }
    }
}
