//! The service Streams: each call is the Kinesis operation of the like name.
//!
//! A call makes the operation's request of its message, runs it as a request of the Kinesis protocol is run, with the
//! same limits, rates and rules, and makes its message of the answer.

use std::time::Duration;

use tidelog_proto::v1::*;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::{messages, status};
use crate::model::stream::{StreamKey, StreamStatus as ModelStatus, Tags};
use crate::ops::api::{
    self, CreateStreamInput, DecreaseStreamRetentionPeriodInput, DeleteStreamInput,
    DescribeStreamSummaryInput, IncreaseStreamRetentionPeriodInput, ListShardsInput, ListStreamsInput,
    MergeShardsInput, ScalingType, SplitShardInput, StreamDescriptionSummary, StreamModeDetails, TextMap,
    UpdateShardCountInput, UpdateStreamModeInput,
};
use crate::ops::fault::{InvalidArgument, InvalidRetention};
use crate::ops::{self, Call, Fault, native};

/// How long a new stream is waited for.
const ACTIVE_PATIENCE: Duration = Duration::from_secs(1);

/// The service Streams.
pub(super) struct Streams(pub(super) Caller);

type Answer<T> = Result<Response<T>, Status>;

impl Streams {
    fn call(&self, metadata: &MetadataMap) -> Result<Call, Status> {
        self.0.call(metadata)
    }

    /// Runs an operation.
    async fn run<I: api::Input>(&self, call: &Call, input: I) -> Result<I::Output, Status> {
        ops::ask(&self.0.service, call, input).await.map_err(status::of)
    }

    async fn describe(&self, call: &Call, stream: &str) -> Result<StreamDescriptionSummary, Status> {
        let Named { stream_name, stream_arn } = Named::of(stream);
        let input = DescribeStreamSummaryInput { stream_name, stream_arn, ..Default::default() };
        Ok(self.run(call, input).await?.stream_description_summary)
    }

    async fn change_retention(
        &self,
        call: &Call,
        stream: &str,
        retention_period_hours: i32,
        is_shorter: bool,
    ) -> Result<(), Fault> {
        let Named { stream_name, stream_arn } = Named::of(stream);
        let (service, stream_id) = (&self.0.service, None);
        if is_shorter {
            let input = DecreaseStreamRetentionPeriodInput {
                stream_name,
                stream_arn,
                stream_id,
                retention_period_hours,
            };
            return ops::ask(service, call, input).await;
        }
        let input =
            IncreaseStreamRetentionPeriodInput { stream_name, stream_arn, stream_id, retention_period_hours };
        ops::ask(service, call, input).await
    }

    /// Waits for a stream to be ACTIVE, or for a while, and describes it; `None` while this node does not know it.
    async fn describe_new(&self, key: &StreamKey) -> Option<StreamDescriptionSummary> {
        let mut catalogs = self.0.service.groups().watch_catalog();
        let is_active = |status| status == ModelStatus::Active;
        let active =
            catalogs.wait_for(|catalog| catalog.streams().get(key).is_some_and(|own| is_active(own.status)));
        let _either = timeout(ACTIVE_PATIENCE, active).await.is_ok();
        self.0.service.catalog().streams().get(key).map(|stream| native::describe(stream))
    }
}

/// A stream, by the members of a request.
struct Named {
    stream_name: Option<String>,
    stream_arn: Option<String>,
}

impl Named {
    /// The members for a text that is a name or an ARN.
    fn of(stream: &str) -> Self {
        let is_arn = stream.starts_with("arn:");
        Self {
            stream_name: (!is_arn).then(|| stream.to_owned()),
            stream_arn: is_arn.then(|| stream.to_owned()),
        }
    }
}

/// A number that stands for itself unless it is 0.
fn unless_zero(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn read_mode(mode: i32) -> Result<api::StreamMode, Status> {
    match StreamMode::try_from(mode) {
        Ok(StreamMode::Provisioned) => Ok(api::StreamMode::Provisioned),
        Ok(StreamMode::OnDemand) => Ok(api::StreamMode::OnDemand),
        Err(_) => Err(status::invalid("A mode is PROVISIONED or ON_DEMAND.")),
    }
}

fn stream(summary: StreamDescriptionSummary, tags: Tags) -> Stream {
    let status = match summary.stream_status {
        api::StreamStatus::Creating => StreamStatus::Creating,
        api::StreamStatus::Active => StreamStatus::Active,
        api::StreamStatus::Updating => StreamStatus::Updating,
        api::StreamStatus::Deleting => StreamStatus::Deleting,
    };
    let mode = match summary.stream_mode_details.map(|details| details.stream_mode) {
        Some(api::StreamMode::OnDemand) => StreamMode::OnDemand,
        Some(api::StreamMode::Provisioned) | None => StreamMode::Provisioned,
    };
    let created_ms = u64::try_from(summary.stream_creation_timestamp.0).unwrap_or_default();
    Stream {
        name: summary.stream_name,
        arn: summary.stream_arn,
        status: status.into(),
        mode: mode.into(),
        retention_hours: u32::try_from(summary.retention_period_hours).unwrap_or_default(),
        open_shards: summary.open_shard_count,
        record_kib_max: summary.max_record_size_in_kib.unwrap_or_default(),
        created: Some(messages::timestamp(created_ms)),
        tags,
    }
}

fn shard(listed: api::Shard) -> Shard {
    Shard {
        shard_id: listed.shard_id,
        parent: listed.parent_shard_id,
        adjacent_parent: listed.adjacent_parent_shard_id,
        hash_key_start: listed.hash_key_range.starting_hash_key,
        hash_key_end: listed.hash_key_range.ending_hash_key,
        sequence_number_start: listed.sequence_number_range.starting_sequence_number,
        sequence_number_end: listed.sequence_number_range.ending_sequence_number,
    }
}

#[tonic::async_trait]
impl streams_server::Streams for Streams {
    async fn create_stream(&self, request: Request<CreateStreamRequest>) -> Answer<CreateStreamResponse> {
        let call = self.call(request.metadata())?;
        let CreateStreamRequest { name, mode, shard_count, record_kib_max, tags } = request.into_inner();
        let stream_mode = read_mode(mode)?;
        let is_provisioned = stream_mode == api::StreamMode::Provisioned;
        if name.starts_with("arn:") {
            return Err(status::invalid(format!("{name} is not the name of a stream.")));
        }
        let input = CreateStreamInput {
            stream_name: name.clone(),
            stream_mode_details: Some(StreamModeDetails { stream_mode }),
            shard_count: if is_provisioned { Some(shard_count) } else { unless_zero(shard_count) },
            max_record_size_in_kib: unless_zero(record_kib_max),
            tags: (!tags.is_empty()).then(|| TextMap(tags.clone().into_iter().collect())),
            ..Default::default()
        };
        self.run(&call, input).await?;
        let key = native::stream_key(&call, &name).map_err(status::of)?;
        let described = match self.describe_new(&key).await {
            Some(described) => described,
            // Not known here yet.
            None => self.describe(&call, &name).await?,
        };
        Ok(Response::new(CreateStreamResponse { stream: Some(stream(described, tags)) }))
    }

    async fn delete_stream(&self, request: Request<DeleteStreamRequest>) -> Answer<DeleteStreamResponse> {
        let call = self.call(request.metadata())?;
        let DeleteStreamRequest { stream, with_consumers } = request.into_inner();
        let Named { stream_name, stream_arn } = Named::of(&stream);
        let input = DeleteStreamInput {
            stream_name,
            stream_arn,
            enforce_consumer_deletion: Some(with_consumers),
            ..Default::default()
        };
        self.run(&call, input).await?;
        Ok(Response::new(DeleteStreamResponse {}))
    }

    async fn describe_stream(
        &self,
        request: Request<DescribeStreamRequest>,
    ) -> Answer<DescribeStreamResponse> {
        let call = self.call(request.metadata())?;
        let name = request.into_inner().stream;
        let summary = self.describe(&call, &name).await?;
        let key = native::stream_key(&call, &name).map_err(status::of)?;
        let described = stream(summary, native::tags(&self.0.service, &key));
        Ok(Response::new(DescribeStreamResponse { stream: Some(described) }))
    }

    async fn list_streams(&self, request: Request<ListStreamsRequest>) -> Answer<ListStreamsResponse> {
        let call = self.call(request.metadata())?;
        let ListStreamsRequest { page_size, page_token } = request.into_inner();
        let input = ListStreamsInput {
            limit: unless_zero(page_size),
            next_token: unless_empty(page_token),
            ..Default::default()
        };
        let listed = self.run(&call, input).await?;
        Ok(Response::new(ListStreamsResponse {
            names: listed.stream_names,
            next_page_token: listed.next_token.unwrap_or_default(),
        }))
    }

    async fn list_shards(&self, request: Request<ListShardsRequest>) -> Answer<ListShardsResponse> {
        let call = self.call(request.metadata())?;
        let ListShardsRequest { stream, page_size, page_token } = request.into_inner();
        // A token stands for the stream.
        let named = match page_token.is_empty() {
            true => Named::of(&stream),
            false => Named { stream_name: None, stream_arn: None },
        };
        let input = ListShardsInput {
            stream_name: named.stream_name,
            stream_arn: named.stream_arn,
            max_results: unless_zero(page_size),
            next_token: unless_empty(page_token),
            ..Default::default()
        };
        let listed = self.run(&call, input).await?;
        Ok(Response::new(ListShardsResponse {
            shards: listed.shards.into_iter().flatten().map(shard).collect(),
            next_page_token: listed.next_token.unwrap_or_default(),
        }))
    }

    async fn set_retention(&self, request: Request<SetRetentionRequest>) -> Answer<SetRetentionResponse> {
        let call = self.call(request.metadata())?;
        let SetRetentionRequest { stream, retention_hours } = request.into_inner();
        let key = native::stream_key(&call, &stream).map_err(status::of)?;
        let present = self.0.service.catalog().streams().get(&key).map(|stream| stream.retention_hours);
        let is_shorter = present.is_some_and(|present| retention_hours < present);
        let hours = i32::try_from(retention_hours).unwrap_or(i32::MAX);
        match self.change_retention(&call, &stream, hours, is_shorter).await {
            // This node's metadata was out of date.
            Err(Fault::InvalidArgument(InvalidArgument::Retention(InvalidRetention::Direction {
                ..
            }))) => self.change_retention(&call, &stream, hours, !is_shorter).await,
            outcome => outcome,
        }
        .map_err(status::of)?;
        Ok(Response::new(SetRetentionResponse {}))
    }

    async fn set_mode(&self, request: Request<SetModeRequest>) -> Answer<SetModeResponse> {
        let call = self.call(request.metadata())?;
        let SetModeRequest { stream, mode } = request.into_inner();
        let key = native::stream_key(&call, &stream).map_err(status::of)?;
        let input = UpdateStreamModeInput {
            stream_arn: key.arn(),
            stream_mode_details: StreamModeDetails { stream_mode: read_mode(mode)? },
            stream_id: None,
            warm_throughput_mibps: None,
        };
        self.run(&call, input).await?;
        Ok(Response::new(SetModeResponse {}))
    }

    async fn update_shard_count(
        &self,
        request: Request<UpdateShardCountRequest>,
    ) -> Answer<UpdateShardCountResponse> {
        let call = self.call(request.metadata())?;
        let UpdateShardCountRequest { stream, target } = request.into_inner();
        let Named { stream_name, stream_arn } = Named::of(&stream);
        let input = UpdateShardCountInput {
            stream_name,
            stream_arn,
            target_shard_count: target,
            scaling_type: ScalingType::UniformScaling,
            stream_id: None,
        };
        let open_shards_before = self.run(&call, input).await?.current_shard_count.unwrap_or_default();
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
        let Named { stream_name, stream_arn } = Named::of(&stream);
        let input = SplitShardInput {
            stream_name,
            stream_arn,
            shard_to_split: shard_id,
            new_starting_hash_key: new_hash_key_start,
            ..Default::default()
        };
        self.run(&call, input).await?;
        Ok(Response::new(SplitShardResponse {}))
    }

    async fn merge_shards(&self, request: Request<MergeShardsRequest>) -> Answer<MergeShardsResponse> {
        let call = self.call(request.metadata())?;
        let MergeShardsRequest { stream, shard_id, adjacent_shard_id } = request.into_inner();
        let Named { stream_name, stream_arn } = Named::of(&stream);
        let input = MergeShardsInput {
            stream_name,
            stream_arn,
            shard_to_merge: shard_id,
            adjacent_shard_to_merge: adjacent_shard_id,
            ..Default::default()
        };
        self.run(&call, input).await?;
        Ok(Response::new(MergeShardsResponse {}))
    }
}
