//! One entry per operation: which members go into the SDK's builder, and which come out of its answer. Operations
//! on a stream as a whole are in `streams.rs`.

use super::Failure;
use super::documents::{
    blob, child, consumer, entries, filter, list, member, named, position, record, shard, tag, timestamp,
};
use super::streams::{changes, descriptions};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::client::Waiters;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How long a waiter of the SDK waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Calls an operation by its name; the output's members, of which only those the scenario looks at.
pub(super) async fn call(
    client: &Client,
    operation: &str,
    input: &Value,
    id: u64,
    lines: &Sender<Value>,
) -> Result<Value, Failure> {
    match operation {
        "SubscribeToShard" => subscribe(client, input, id, lines).await,
        "StreamExists" | "StreamNotExists" => wait(client, operation, input).await,
        "PutRecord" | "PutRecords" | "GetShardIterator" | "GetRecords" | "ListShards" => {
            records(client, operation, input).await
        }
        _ if operation.contains("Consumer") => consumers(client, operation, input).await,
        _ if operation.contains("Tags") || operation.contains("Resource") => {
            resources(client, operation, input).await
        }
        _ if operation.starts_with("Describe") || operation.starts_with("List") => {
            descriptions(client, operation, input).await
        }
        _ => changes(client, operation, input).await,
    }
}

async fn subscribe(client: &Client, input: &Value, id: u64, lines: &Sender<Value>) -> Result<Value, Failure> {
    let mut answer = send!(client.subscribe_to_shard(), input,
        set_consumer_arn member "ConsumerARN", set_shard_id member "ShardId",
        set_starting_position position "StartingPosition");
    while let Some(event) = answer.event_stream.recv().await.map_err(broken)? {
        if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
            drop(lines.send(json!({"id": id, "event": pushed(&event)})).await);
        }
    }
    Ok(json!({}))
}

/// The end of a subscription by an error, whose name the SDK tells by its type alone.
fn broken<R: Debug>(error: SdkError<SubscribeToShardEventStreamError, R>) -> Failure {
    let code = match error.as_service_error() {
        Some(SubscribeToShardEventStreamError::ResourceNotFoundException(_)) => "ResourceNotFoundException",
        Some(SubscribeToShardEventStreamError::ResourceInUseException(_)) => "ResourceInUseException",
        _ => return Failure::from(error),
    };
    Failure { code: code.to_owned(), ..Failure::from(error) }
}

fn pushed(event: &SubscribeToShardEvent) -> Value {
    // The SDK turns an absent number into an empty one.
    let continuation = Some(event.continuation_sequence_number()).filter(|number| !number.is_empty());
    json!({
        "Records": list(event.records(), record),
        "ContinuationSequenceNumber": continuation,
        "MillisBehindLatest": event.millis_behind_latest(),
        "ChildShards": list(event.child_shards(), child),
    })
}

async fn wait(client: &Client, waiter: &str, input: &Value) -> Result<Value, Failure> {
    let name: Option<String> = member(input, "StreamName")?;
    let failed = |error: &dyn Debug| Failure { code: waiter.to_owned(), message: format!("{error:?}") };
    if waiter == "StreamExists" {
        let waiting = client.wait_until_stream_exists().set_stream_name(name);
        waiting.wait(WAIT_MAX).await.map_err(|error| failed(&error))?;
    } else {
        let waiting = client.wait_until_stream_not_exists().set_stream_name(name);
        waiting.wait(WAIT_MAX).await.map_err(|error| failed(&error))?;
    }
    Ok(json!({}))
}

async fn records(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    Ok(match operation {
        "PutRecord" => {
            let put = send_to_stream!(client.put_record(), input,
                set_partition_key member "PartitionKey", set_data blob "Data");
            json!({"ShardId": put.shard_id(), "SequenceNumber": put.sequence_number()})
        }
        "PutRecords" => {
            let put = send_to_stream!(client.put_records(), input, set_records entries "Records");
            let results = list(put.records(), |result| {
                json!({"ShardId": result.shard_id(), "SequenceNumber": result.sequence_number(),
                    "ErrorCode": result.error_code(), "ErrorMessage": result.error_message()})
            });
            json!({"FailedRecordCount": put.failed_record_count(), "Records": results})
        }
        "GetShardIterator" => {
            let answer = send_to_stream!(client.get_shard_iterator(), input,
                set_shard_id member "ShardId", set_shard_iterator_type named "ShardIteratorType",
                set_starting_sequence_number member "StartingSequenceNumber", set_timestamp timestamp "Timestamp");
            json!({"ShardIterator": answer.shard_iterator()})
        }
        "GetRecords" => {
            let read = send!(client.get_records(), input,
                set_shard_iterator member "ShardIterator", set_limit member "Limit");
            json!({"Records": list(read.records(), record), "NextShardIterator": read.next_shard_iterator(),
                "MillisBehindLatest": read.millis_behind_latest(), "ChildShards": list(read.child_shards(), child)})
        }
        _ => {
            let listed = send_to_stream!(client.list_shards(), input,
                set_next_token member "NextToken", set_max_results member "MaxResults",
                set_shard_filter filter "ShardFilter");
            json!({"Shards": list(listed.shards(), shard), "NextToken": listed.next_token()})
        }
    })
}

async fn consumers(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    Ok(match operation {
        "RegisterStreamConsumer" => {
            let registered = send!(client.register_stream_consumer(), input,
                set_stream_arn member "StreamARN", set_consumer_name member "ConsumerName");
            json!({"Consumer": registered.consumer().map(consumer)})
        }
        "DescribeStreamConsumer" => {
            let described = send!(client.describe_stream_consumer(), input,
                set_stream_arn member "StreamARN", set_consumer_name member "ConsumerName",
                set_consumer_arn member "ConsumerARN");
            let description = described.consumer_description().map(|it| {
                json!({"ConsumerName": it.consumer_name(), "ConsumerARN": it.consumer_arn(),
                    "ConsumerStatus": it.consumer_status().as_str(), "StreamARN": it.stream_arn()})
            });
            json!({"ConsumerDescription": description})
        }
        "ListStreamConsumers" => {
            let listed = send!(client.list_stream_consumers(), input,
                set_stream_arn member "StreamARN", set_max_results member "MaxResults");
            json!({"Consumers": list(listed.consumers(), consumer)})
        }
        "DeregisterStreamConsumer" => {
            send!(client.deregister_stream_consumer(), input,
                set_stream_arn member "StreamARN", set_consumer_name member "ConsumerName",
                set_consumer_arn member "ConsumerARN");
            json!({})
        }
        _ => return Err(Failure::of_input(operation)),
    })
}

async fn resources(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    match operation {
        "AddTagsToStream" => {
            send_to_stream!(client.add_tags_to_stream(), input, set_tags member "Tags");
        }
        "RemoveTagsFromStream" => {
            send_to_stream!(client.remove_tags_from_stream(), input, set_tag_keys member "TagKeys");
        }
        "TagResource" => {
            send!(client.tag_resource(), input, set_resource_arn member "ResourceARN", set_tags member "Tags");
        }
        "UntagResource" => {
            send!(client.untag_resource(), input,
                set_resource_arn member "ResourceARN", set_tag_keys member "TagKeys");
        }
        "ListTagsForStream" => {
            let listed = send_to_stream!(client.list_tags_for_stream(), input, set_limit member "Limit");
            return Ok(json!({"Tags": list(listed.tags(), tag), "HasMoreTags": listed.has_more_tags()}));
        }
        "ListTagsForResource" => {
            let listed = send!(client.list_tags_for_resource(), input, set_resource_arn member "ResourceARN");
            return Ok(json!({"Tags": list(listed.tags(), tag)}));
        }
        "GetResourcePolicy" => {
            let answer = send!(client.get_resource_policy(), input, set_resource_arn member "ResourceARN");
            return Ok(json!({"Policy": answer.policy()}));
        }
        "PutResourcePolicy" => {
            send!(client.put_resource_policy(), input,
                set_resource_arn member "ResourceARN", set_policy member "Policy");
        }
        "DeleteResourcePolicy" => {
            send!(client.delete_resource_policy(), input, set_resource_arn member "ResourceARN");
        }
        _ => return Err(Failure::of_input(operation)),
    }
    Ok(json!({}))
}
