//! The fake broker's gRPC services, on top of its world.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tidelog_proto::v1::groups_server::Groups;
use tidelog_proto::v1::records_server::Records;
use tidelog_proto::v1::streams_server::Streams;
use tidelog_proto::v1::{self, position, subscribe_response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::world::{World, refusal, shard_id};

/// Records in one message, few so that there are many messages.
const MESSAGE_RECORDS: usize = 3;

#[derive(Clone)]
pub struct Calls(pub Arc<Mutex<World>>);

type Answer<T> = Result<Response<T>, Status>;

impl Calls {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panicked while it held it")
    }

    /// The next message for a reader that has read `read` records of a shard, if there is one.
    fn message(&self, shard: usize, read: usize) -> Option<v1::ReadResponse> {
        let world = self.world();
        let shard = &world.shards[shard];
        let records: Vec<_> = shard.records.iter().skip(read).take(MESSAGE_RECORDS).cloned().collect();
        let continuation = records.last()?.sequence_number.clone();
        Some(v1::ReadResponse { records, millis_behind_latest: 0, continuation, end: None })
    }

    fn end(&self, shard: usize) -> Option<v1::ShardEnd> {
        let world = self.world();
        let children = world.shards.iter().enumerate().filter(|(_, child)| child.parents.contains(&shard));
        let to_wire = |(at, child): (usize, &super::world::FakeShard)| v1::ChildShard {
            shard_id: shard_id(at),
            parents: child.parents.iter().map(|at| shard_id(*at)).collect(),
        };
        let children = children.map(to_wire).collect();
        (!world.shards[shard].is_open).then_some(v1::ShardEnd { children })
    }

    fn begin(&self, id: &str, from: Option<v1::Position>) -> Result<(usize, usize), Status> {
        let world = self.world();
        let found = (0..world.shards.len()).find(|at| shard_id(*at) == id);
        let at = found.ok_or_else(|| refusal(Code::NotFound, "SHARD_NOT_FOUND", None))?;
        let records = &world.shards[at].records;
        let read = match from.and_then(|from| from.at) {
            Some(position::At::Latest(_)) => records.len(),
            Some(position::At::AfterSequenceNumber(after)) => {
                records.partition_point(|record| record.sequence_number <= after)
            }
            _ => 0,
        };
        Ok((at, read))
    }
}

#[tonic::async_trait]
impl Records for Calls {
    type PutStreamStream = ReceiverStream<Result<v1::PutStreamResponse, Status>>;
    type ReadStream = ReceiverStream<Result<v1::ReadResponse, Status>>;
    type SubscribeStream = ReceiverStream<Result<v1::SubscribeResponse, Status>>;

    async fn put(&self, request: Request<v1::PutRequest>) -> Answer<v1::PutResponse> {
        let said = |name: &'static str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let caller = said("tidelog-account").zip(said("tidelog-region"));
        let caller = caller.map(|(account, region)| (account.to_owned(), region.to_owned()));
        self.world().caller = caller;
        let answer = self.world().put(request.into_inner());
        match answer {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }

    async fn put_stream(&self, _: Request<Streaming<v1::PutStreamRequest>>) -> Answer<Self::PutStreamStream> {
        Err(Status::unimplemented("the client does not use it"))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Answer<Self::ReadStream> {
        let request = request.into_inner();
        let (shard, mut read) = self.begin(&request.shard_id, request.from)?;
        let (sender, messages) = mpsc::channel(1);
        let calls = self.clone();
        tokio::spawn(async move {
            while let Some(message) = calls.message(shard, read) {
                read += message.records.len();
                let _ = sender.send(Ok(message)).await;
            }
            if let Some(end) = calls.end(shard) {
                let _ = sender.send(Ok(v1::ReadResponse { end: Some(end), ..Default::default() })).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Answer<Self::SubscribeStream> {
        let mut shards = request.into_inner().shards;
        let shard = shards.pop().ok_or_else(|| Status::unimplemented("without shards"))?;
        let (at, mut read) = self.begin(&shard.shard_id, shard.from)?;
        let (sender, messages) = mpsc::channel(1);
        let calls = self.clone();
        tokio::spawn(async move {
            let count = calls.world().subscription_messages;
            let event = |event| {
                let shard_id = shard.shard_id.clone();
                Ok(v1::SubscribeResponse { shard_id, event: Some(event) })
            };
            for _ in 0..count {
                let message = calls.message(at, read);
                let message = match (message, calls.end(at)) {
                    (Some(message), _) => {
                        read += message.records.len();
                        event(subscribe_response::Event::Records(message))
                    }
                    (None, Some(end)) => {
                        let _ = sender.send(event(subscribe_response::Event::End(end))).await;
                        return;
                    }
                    (None, None) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        event(subscribe_response::Event::Records(v1::ReadResponse::default()))
                    }
                };
                if sender.send(message).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Err(Status::unavailable("cut in the middle"))).await;
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

#[tonic::async_trait]
impl Groups for Calls {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Answer<v1::JoinResponse> {
        Ok(Response::new(self.world().join(&request.into_inner())))
    }

    async fn sync(&self, request: Request<v1::SyncRequest>) -> Answer<v1::SyncResponse> {
        self.world().sync(&request.into_inner()).map(Response::new)
    }

    async fn checkpoint(&self, request: Request<v1::CheckpointRequest>) -> Answer<v1::CheckpointResponse> {
        self.world().checkpoint(request.into_inner()).map(Response::new)
    }

    async fn leave(&self, request: Request<v1::LeaveRequest>) -> Answer<v1::LeaveResponse> {
        self.world().leave(&request.into_inner().member_id);
        Ok(Response::new(v1::LeaveResponse {}))
    }

    async fn list_groups(&self, _: Request<v1::ListGroupsRequest>) -> Answer<v1::ListGroupsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn describe_group(
        &self,
        _: Request<v1::DescribeGroupRequest>,
    ) -> Answer<v1::DescribeGroupResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_applications(
        &self,
        _: Request<v1::ListApplicationsRequest>,
    ) -> Answer<v1::ListApplicationsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn describe_application(
        &self,
        _: Request<v1::DescribeApplicationRequest>,
    ) -> Answer<v1::DescribeApplicationResponse> {
        Err(Status::unimplemented(""))
    }

    async fn reset_application(
        &self,
        _: Request<v1::ResetApplicationRequest>,
    ) -> Answer<v1::ResetApplicationResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_application(
        &self,
        _: Request<v1::DeleteApplicationRequest>,
    ) -> Answer<v1::DeleteApplicationResponse> {
        Err(Status::unimplemented(""))
    }

    async fn export_application(
        &self,
        _: Request<v1::ExportApplicationRequest>,
    ) -> Answer<v1::ExportApplicationResponse> {
        Err(Status::unimplemented(""))
    }

    async fn import_application(
        &self,
        _: Request<v1::ImportApplicationRequest>,
    ) -> Answer<v1::ImportApplicationResponse> {
        Err(Status::unimplemented(""))
    }

    async fn reset_group(&self, _: Request<v1::ResetGroupRequest>) -> Answer<v1::ResetGroupResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_group(&self, _: Request<v1::DeleteGroupRequest>) -> Answer<v1::DeleteGroupResponse> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl Streams for Calls {
    async fn list_shards(&self, request: Request<v1::ListShardsRequest>) -> Answer<v1::ListShardsResponse> {
        // Two pages, so that there is more than one.
        let world = self.world();
        let middle = world.shards.len() / 2;
        let (first, next_page_token) = if request.into_inner().page_token.is_empty() {
            (0..middle, "next".to_owned())
        } else {
            (middle..world.shards.len(), String::new())
        };
        let to_wire = |at: usize| {
            let shard = &world.shards[at];
            let mut parents = shard.parents.iter().map(|at| shard_id(*at));
            v1::Shard {
                shard_id: shard_id(at),
                parent: parents.next(),
                adjacent_parent: parents.next(),
                hash_key_start: shard.range.start().to_string(),
                hash_key_end: shard.range.end().to_string(),
                sequence_number_start: "0".into(),
                sequence_number_end: (!shard.is_open).then(|| "1".into()),
            }
        };
        Ok(Response::new(v1::ListShardsResponse { shards: first.map(to_wire).collect(), next_page_token }))
    }

    async fn create_stream(&self, _: Request<v1::CreateStreamRequest>) -> Answer<v1::CreateStreamResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_stream(&self, _: Request<v1::DeleteStreamRequest>) -> Answer<v1::DeleteStreamResponse> {
        Err(Status::unimplemented(""))
    }

    async fn describe_stream(
        &self,
        _: Request<v1::DescribeStreamRequest>,
    ) -> Answer<v1::DescribeStreamResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_streams(&self, _: Request<v1::ListStreamsRequest>) -> Answer<v1::ListStreamsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn set_retention(&self, _: Request<v1::SetRetentionRequest>) -> Answer<v1::SetRetentionResponse> {
        Err(Status::unimplemented(""))
    }

    async fn set_mode(&self, _: Request<v1::SetModeRequest>) -> Answer<v1::SetModeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn update_shard_count(
        &self,
        _: Request<v1::UpdateShardCountRequest>,
    ) -> Answer<v1::UpdateShardCountResponse> {
        Err(Status::unimplemented(""))
    }

    async fn split_shard(&self, _: Request<v1::SplitShardRequest>) -> Answer<v1::SplitShardResponse> {
        Err(Status::unimplemented(""))
    }

    async fn merge_shards(&self, _: Request<v1::MergeShardsRequest>) -> Answer<v1::MergeShardsResponse> {
        Err(Status::unimplemented(""))
    }
}
