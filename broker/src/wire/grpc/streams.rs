//! The service Streams: each call is the Kinesis operation of the like name.
//!
//! A call writes the operation's body as JSON, runs it as a call of the Kinesis protocol is run, with the same limits,
//! rates and rules, and reads its answer.

use std::time::Duration;

use serde_json::{Value, json};
use tidelog_proto::v1::*;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::{messages, status};
use crate::model::stream::{StreamKey, StreamStatus as ModelStatus};
use crate::ops::fault::{InvalidArgument, InvalidRetention};
use crate::ops::{self, Call, Fault, Reply, native};

/// How long a new stream is waited for.
const ACTIVE_PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Streams(pub(super) Caller);

type Answer<T> = Result<Response<T>, Status>;

impl Streams {
    /// The caller's call and the members that name the stream of that name or ARN.
    fn call(&self, metadata: &MetadataMap) -> Result<Call, Status> {
        self.0.call(metadata)
    }

    /// Runs an operation.
    async fn run(&self, call: &Call, operation: &str, body: Value) -> Result<Value, Fault> {
        let call = Call { operation: operation.to_owned(), body: body.to_string().into(), ..call.clone() };
        match ops::dispatch(&self.0.service, call).await? {
            Reply::Complete(answer) | Reply::Charged(answer, _) if answer.is_empty() => Ok(Value::Null),
            Reply::Complete(answer) | Reply::Charged(answer, _) => {
                serde_json::from_slice(&answer).map_err(|_| Fault::Internal)
            }
            Reply::Events(_) => Err(Fault::Internal),
        }
    }

    /// Runs an operation whose answer says nothing.
    async fn change(&self, call: &Call, operation: &str, body: Value) -> Result<(), Status> {
        self.run(call, operation, body).await.map(drop).map_err(status::of)
    }

    /// Waits for a stream to be ACTIVE, or for a while, and describes it.
    async fn describe_new(&self, key: &StreamKey) -> Option<Value> {
        let mut catalogs = self.0.service.groups().watch_catalog();
        let is_active = |status| status == ModelStatus::Active;
        let active =
            catalogs.wait_for(|catalog| catalog.streams().get(key).is_some_and(|own| is_active(own.status)));
        let _either = timeout(ACTIVE_PATIENCE, active).await.is_ok();
        let catalog = self.0.service.catalog();
        serde_json::from_slice(&native::describe(catalog.streams().get(key)?)).ok()
    }
}

/// A body that names a stream by what is a name or an ARN, with further members; those that are null are left out.
fn body(stream: &str, members: Value) -> Value {
    let member = if stream.starts_with("arn:") { "StreamARN" } else { "StreamName" };
    let mut body = without_nulls(members);
    body[member] = stream.into();
    body
}

fn without_nulls(mut members: Value) -> Value {
    if let Value::Object(members) = &mut members {
        members.retain(|_, value| !value.is_null());
    }
    members
}

/// A number that stands for itself unless it is 0.
fn unless_zero(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn mode_name(mode: i32) -> Result<&'static str, Status> {
    let mode = StreamMode::try_from(mode);
    Ok(mode.map_err(|_| status::invalid("A mode is PROVISIONED or ON_DEMAND."))?.as_str_name())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn stream(answer: &Value, tags: ModelTags) -> Stream {
    let summary = &answer["StreamDescriptionSummary"];
    let status = StreamStatus::from_str_name(&text(&summary["StreamStatus"])).unwrap_or_default();
    let mode = StreamMode::from_str_name(&text(&summary["StreamModeDetails"]["StreamMode"]));
    let created = summary["StreamCreationTimestamp"].as_f64().map(messages::timestamp_of_seconds);
    Stream {
        name: text(&summary["StreamName"]),
        arn: text(&summary["StreamARN"]),
        status: status.into(),
        mode: mode.unwrap_or_default().into(),
        retention_hours: number(&summary["RetentionPeriodHours"]),
        open_shards: number(&summary["OpenShardCount"]),
        record_kib_max: number(&summary["MaxRecordSizeInKiB"]),
        created,
        tags,
    }
}

type ModelTags = crate::model::stream::Tags;

fn shard(listed: &Value) -> Shard {
    let (keys, numbers) = (&listed["HashKeyRange"], &listed["SequenceNumberRange"]);
    let optional = |value: &Value| value.as_str().map(ToOwned::to_owned);
    Shard {
        shard_id: text(&listed["ShardId"]),
        parent: optional(&listed["ParentShardId"]),
        adjacent_parent: optional(&listed["AdjacentParentShardId"]),
        hash_key_start: text(&keys["StartingHashKey"]),
        hash_key_end: text(&keys["EndingHashKey"]),
        sequence_number_start: text(&numbers["StartingSequenceNumber"]),
        sequence_number_end: optional(&numbers["EndingSequenceNumber"]),
    }
}

fn list<T>(values: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    values.as_array().into_iter().flatten().map(read).collect()
}

#[tonic::async_trait]
impl streams_server::Streams for Streams {
    async fn create_stream(&self, request: Request<CreateStreamRequest>) -> Answer<CreateStreamResponse> {
        let call = self.call(request.metadata())?;
        let CreateStreamRequest { name, mode, shard_count, record_kib_max, tags } = request.into_inner();
        let mode = mode_name(mode)?;
        let is_provisioned = mode == StreamMode::Provisioned.as_str_name();
        if name.starts_with("arn:") {
            return Err(status::invalid(format!("{name} is not the name of a stream.")));
        }
        let members = json!({
            "StreamModeDetails": {"StreamMode": mode},
            "ShardCount": if is_provisioned { Some(shard_count) } else { unless_zero(shard_count) },
            "MaxRecordSizeInKiB": unless_zero(record_kib_max),
            "Tags": (!tags.is_empty()).then_some(&tags),
        });
        self.change(&call, "CreateStream", body(&name, members)).await?;
        let key = native::stream_key(&call, &name).map_err(status::of)?;
        let described = match self.describe_new(&key).await {
            Some(described) => described,
            // Not known here yet.
            None => {
                self.run(&call, "DescribeStreamSummary", body(&name, json!({}))).await.map_err(status::of)?
            }
        };
        Ok(Response::new(CreateStreamResponse { stream: Some(stream(&described, tags)) }))
    }

    async fn delete_stream(&self, request: Request<DeleteStreamRequest>) -> Answer<DeleteStreamResponse> {
        let call = self.call(request.metadata())?;
        let DeleteStreamRequest { stream, with_consumers } = request.into_inner();
        let members = json!({"EnforceConsumerDeletion": with_consumers});
        self.change(&call, "DeleteStream", body(&stream, members)).await?;
        Ok(Response::new(DeleteStreamResponse {}))
    }

    async fn describe_stream(
        &self,
        request: Request<DescribeStreamRequest>,
    ) -> Answer<DescribeStreamResponse> {
        let call = self.call(request.metadata())?;
        let name = request.into_inner().stream;
        let answer =
            self.run(&call, "DescribeStreamSummary", body(&name, json!({}))).await.map_err(status::of)?;
        let key = native::stream_key(&call, &name).map_err(status::of)?;
        let described = stream(&answer, native::tags(&self.0.service, &key));
        Ok(Response::new(DescribeStreamResponse { stream: Some(described) }))
    }

    async fn list_streams(&self, request: Request<ListStreamsRequest>) -> Answer<ListStreamsResponse> {
        let call = self.call(request.metadata())?;
        let ListStreamsRequest { page_size, page_token } = request.into_inner();
        let members = without_nulls(json!({
            "Limit": unless_zero(page_size),
            "NextToken": (!page_token.is_empty()).then_some(page_token),
        }));
        let answer = self.run(&call, "ListStreams", members).await.map_err(status::of)?;
        Ok(Response::new(ListStreamsResponse {
            names: list(&answer["StreamNames"], text),
            next_page_token: text(&answer["NextToken"]),
        }))
    }

    async fn list_shards(&self, request: Request<ListShardsRequest>) -> Answer<ListShardsResponse> {
        let call = self.call(request.metadata())?;
        let ListShardsRequest { stream, page_size, page_token } = request.into_inner();
        let page_size = unless_zero(page_size);
        let members = if page_token.is_empty() {
            body(&stream, json!({"MaxResults": page_size}))
        } else {
            // The token stands for the stream.
            without_nulls(json!({"MaxResults": page_size, "NextToken": page_token}))
        };
        let answer = self.run(&call, "ListShards", members).await.map_err(status::of)?;
        Ok(Response::new(ListShardsResponse {
            shards: list(&answer["Shards"], shard),
            next_page_token: text(&answer["NextToken"]),
        }))
    }

    async fn set_retention(&self, request: Request<SetRetentionRequest>) -> Answer<SetRetentionResponse> {
        let call = self.call(request.metadata())?;
        let SetRetentionRequest { stream, retention_hours } = request.into_inner();
        let key = native::stream_key(&call, &stream).map_err(status::of)?;
        let present = self.0.service.catalog().streams().get(&key).map(|stream| stream.retention_hours);
        let (up, down) = ("IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod");
        let is_shorter = present.is_some_and(|present| retention_hours < present);
        let (likely, other) = if is_shorter { (down, up) } else { (up, down) };
        let body = body(&stream, json!({"RetentionPeriodHours": retention_hours}));
        match self.run(&call, likely, body.clone()).await {
            // This node's metadata was out of date.
            Err(Fault::InvalidArgument(InvalidArgument::Retention(InvalidRetention::Direction {
                ..
            }))) => {
                self.change(&call, other, body).await?;
            }
            outcome => drop(outcome.map_err(status::of)?),
        }
        Ok(Response::new(SetRetentionResponse {}))
    }

    async fn set_mode(&self, request: Request<SetModeRequest>) -> Answer<SetModeResponse> {
        let call = self.call(request.metadata())?;
        let SetModeRequest { stream, mode } = request.into_inner();
        let key = native::stream_key(&call, &stream).map_err(status::of)?;
        let members = json!({"StreamModeDetails": {"StreamMode": mode_name(mode)?}});
        self.change(&call, "UpdateStreamMode", body(&key.arn(), members)).await?;
        Ok(Response::new(SetModeResponse {}))
    }

    async fn update_shard_count(
        &self,
        request: Request<UpdateShardCountRequest>,
    ) -> Answer<UpdateShardCountResponse> {
        let call = self.call(request.metadata())?;
        let UpdateShardCountRequest { stream, target } = request.into_inner();
        let members = json!({"TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"});
        let answer = self.run(&call, "UpdateShardCount", body(&stream, members)).await.map_err(status::of)?;
        let open_shards_before = number(&answer["CurrentShardCount"]);
        Ok(Response::new(UpdateShardCountResponse { open_shards_before }))
    }

    async fn split_shard(&self, request: Request<SplitShardRequest>) -> Answer<SplitShardResponse> {
        let call = self.call(request.metadata())?;
        let SplitShardRequest { stream, shard_id, mut new_hash_key_start } = request.into_inner();
        if new_hash_key_start.is_empty() {
            let key = native::stream_key(&call, &stream).map_err(status::of)?;
            let middle = native::middle_of_shard(&self.0.service, &key, &shard_id).await;
            new_hash_key_start = middle.map_err(status::of)?.to_string();
        }
        let members = json!({"ShardToSplit": shard_id, "NewStartingHashKey": new_hash_key_start});
        self.change(&call, "SplitShard", body(&stream, members)).await?;
        Ok(Response::new(SplitShardResponse {}))
    }

    async fn merge_shards(&self, request: Request<MergeShardsRequest>) -> Answer<MergeShardsResponse> {
        let call = self.call(request.metadata())?;
        let MergeShardsRequest { stream, shard_id, adjacent_shard_id } = request.into_inner();
        let members = json!({"ShardToMerge": shard_id, "AdjacentShardToMerge": adjacent_shard_id});
        self.change(&call, "MergeShards", body(&stream, members)).await?;
        Ok(Response::new(MergeShardsResponse {}))
    }
}
