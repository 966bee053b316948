//! The operations of Kinesis: an operation is one file and one arm of `run`.
//!
//! A wire finds the caller and the operation and makes a request of one of the types of [`api`]; an operation is given
//! a request that keeps every bound of the service model, decides with pure functions over the catalog, calls the
//! service and returns an answer of its type, or a [`Fault`]. The table of operations ([`api::Operation::properties`])
//! says where an operation runs and how often.

pub mod api;
#[cfg(test)]
pub(crate) mod cases;
mod check;
mod consumer;
pub mod fault;
mod java_date;
pub mod native;
mod placement;
mod policy;
mod rate;
mod record;
pub mod relayed;
mod resource;
mod settings;
mod shard;
mod stream;
mod tag;
mod target;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
pub use check::check;
pub use fault::{Fault, InvalidArgument, InvalidRetention, Unavailable};
use futures_util::Stream;
use placement::About;
pub use tidelog_proto::Codec;
use tidelog_proto::{Document, Unreadable};

use crate::room::{AnswerRoom, Charge};
use crate::service::Service;
use api::{Answer, Input, Operation, Output, Request};

/// One request, once its caller is known.
#[derive(Clone, Debug)]
pub struct Call {
    /// 12 digits.
    pub account: Arc<str>,
    /// Such as `us-east-1`.
    pub region: Arc<str>,
    /// How the body is written, and the answer will be.
    pub codec: Codec,
    /// At most [`crate::limits::BODY_BYTES_MAX`]; empty for a request that came in none.
    pub body: Bytes,
    /// The room for its answer.
    pub answers: AnswerRoom,
}

impl Call {
    /// The body as a structure.
    fn document(&self) -> Result<Document, Fault> {
        match self.codec.decode(&self.body) {
            Ok(document @ Document::Map(_)) => Ok(document),
            Ok(_) | Err(Unreadable) => Err(Fault::Unreadable),
        }
    }

    /// The body as a request of that operation, within the bounds of the service model.
    fn read(&self, operation: Operation) -> Result<Request, Fault> {
        api::read(operation, self.document()?, self.codec)
    }
}

/// The answer to a call that succeeded.
pub enum Reply {
    /// An answer, to be written in the codec of the request.
    Answer(Box<Answer>),
    /// A body in the codec of the request; empty for an answer without members.
    Complete(Bytes),
    /// A body and its charge on the memory for answers.
    Charged(Bytes, Charge),
    /// An event stream, as it comes. Dropping it ends the subscription.
    Events(Events),
}

/// An event stream.
pub struct Events {
    /// Parts of its messages, or the error that ends it.
    pub messages: Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>,
    /// Ends once no message is left but those that the client has been late to take.
    pub over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<T: Into<Answer>> From<T> for Reply {
    fn from(answer: T) -> Self {
        Self::Answer(Box::new(answer.into()))
    }
}

/// The operation that AWS serves in JSON only; the SDKs that speak CBOR otherwise switch to JSON for it.
const JSON_ONLY: Operation = Operation::SubscribeToShard;

/// Runs a call, here or on the node that leads its subject. `None` stands for an operation that the service model
/// does not have.
///
/// # Errors
/// The fault that the operation answers instead of its output.
pub async fn dispatch(
    service: &Arc<Service>,
    call: &Call,
    operation: Option<Operation>,
) -> Result<Reply, Fault> {
    let operation = check_operation(call, operation)?;
    // These read the body themselves, in the form that nearly every client writes, and send records to their leaders.
    match operation {
        Operation::PutRecord => placement::certain(service, || record::put_record::run(service, call)).await,
        Operation::PutRecords => {
            placement::certain(service, || record::put_records::run(service, call)).await
        }
        operation => placement::run(service, call, &call.read(operation)?).await,
    }
}

/// Runs a request that came in no body, here or on the node that leads its subject.
///
/// # Errors
/// The fault that the operation answers instead of its output.
pub async fn ask<I: Input>(service: &Arc<Service>, call: &Call, input: I) -> Result<I::Output, Fault> {
    let request = api::check(&input.into())?;
    let answer = match placement::run(service, call, &request).await? {
        Reply::Answer(answer) => I::Output::from_answer(*answer),
        Reply::Complete(body) | Reply::Charged(body, _) => I::Output::from_body(&body, call.codec),
        Reply::Events(_) => Err(api::Mismatch),
    };
    answer.map_err(|api::Mismatch| {
        let operation = request.operation().name();
        crate::log_at_most_once_a_second!(
            error,
            operation,
            "an answer lacks members of its operation; failing the call with an internal error"
        );
        Fault::Internal
    })
}

/// Runs a call that another node has taken; `None` when nothing was done because another node leads its subject.
///
/// # Errors
/// The fault that the operation answers instead of its output.
pub async fn execute(service: &Arc<Service>, call: &Call, name: &str) -> Result<Option<Reply>, Fault> {
    if name == record::follow::OPERATION {
        return record::follow::execute(service, call).await;
    }
    let request = call.read(check_operation(call, Operation::named(name))?)?;
    placement::run_if_here(service, call, &request).await
}

/// The operation of a call. A body that is no document comes before an operation that is none, as at AWS.
fn check_operation(call: &Call, operation: Option<Operation>) -> Result<Operation, Fault> {
    let Some(operation) = operation else {
        call.document()?;
        return Err(Fault::UnknownOperation);
    };
    if operation == JSON_ONLY && call.codec != Codec::Json {
        return Err(Fault::JsonOnly);
    }
    Ok(operation)
}

/// Runs a request here.
async fn run(service: &Arc<Service>, call: &Call, request: &Request, about: &About) -> Result<Reply, Fault> {
    use Request::*;

    match request {
        CreateStream(input) => stream::create_stream::run(service, call, input).await.map(Reply::from),
        DeleteStream(input) => stream::delete_stream::run(service, call, input).await.map(Reply::from),
        DescribeStream(input) => stream::describe_stream::run(service, call, input).map(Reply::from),
        DescribeStreamSummary(input) => {
            stream::describe_stream_summary::run(service, call, input).map(Reply::from)
        }
        DescribeLimits(_) => Ok(stream::describe_limits::run(service, call).into()),
        ListStreams(input) => stream::list_streams::run(service, call, input).map(Reply::from),
        IncreaseStreamRetentionPeriod(input) => {
            stream::increase_stream_retention_period::run(service, call, input).await.map(Reply::from)
        }
        DecreaseStreamRetentionPeriod(input) => {
            stream::decrease_stream_retention_period::run(service, call, input).await.map(Reply::from)
        }
        ListShards(input) => shard::list_shards::run(service, call, input).map(Reply::from),
        SplitShard(input) => shard::split_shard::run(service, call, input).await.map(Reply::from),
        MergeShards(input) => shard::merge_shards::run(service, call, input).await.map(Reply::from),
        UpdateShardCount(input) => {
            shard::update_shard_count::run(service, call, input).await.map(Reply::from)
        }
        GetShardIterator(input) => {
            record::get_shard_iterator::run(service, call, input).await.map(Reply::from)
        }
        GetRecords(input) => record::get_records::run(service, call, input, about.iterator()).await,
        PutRecord(input) => record::put_record::put_input(service, call, input).await,
        PutRecords(input) => record::put_records::put_input(service, call, input).await,
        SubscribeToShard(input) => record::subscribe_to_shard::run(service, call, input).await,
        RegisterStreamConsumer(input) => {
            consumer::register_stream_consumer::run(service, call, input).await.map(Reply::from)
        }
        DeregisterStreamConsumer(input) => {
            consumer::deregister_stream_consumer::run(service, call, input).await.map(Reply::from)
        }
        DescribeStreamConsumer(input) => {
            consumer::describe_stream_consumer::run(service, call, input).map(Reply::from)
        }
        ListStreamConsumers(input) => {
            consumer::list_stream_consumers::run(service, call, input).map(Reply::from)
        }
        AddTagsToStream(input) => tag::add_tags_to_stream::run(service, call, input).await.map(Reply::from),
        RemoveTagsFromStream(input) => {
            tag::remove_tags_from_stream::run(service, call, input).await.map(Reply::from)
        }
        ListTagsForStream(input) => tag::list_tags_for_stream::run(service, call, input).map(Reply::from),
        TagResource(input) => tag::tag_resource::run(service, input).await.map(Reply::from),
        UntagResource(input) => tag::untag_resource::run(service, input).await.map(Reply::from),
        ListTagsForResource(input) => tag::list_tags_for_resource::run(service, input).map(Reply::from),
        PutResourcePolicy(input) => policy::put_resource_policy::run(service, input).await.map(Reply::from),
        GetResourcePolicy(input) => policy::get_resource_policy::run(service, input).map(Reply::from),
        DeleteResourcePolicy(input) => {
            policy::delete_resource_policy::run(service, input).await.map(Reply::from)
        }
        DescribeAccountSettings(_) => Ok(settings::describe_account_settings::run(service, call).into()),
        UpdateAccountSettings(input) => {
            settings::update_account_settings::run(service, call, input).await.map(Reply::from)
        }
        UpdateStreamMode(input) => {
            settings::update_stream_mode::run(service, call, input).await.map(Reply::from)
        }
        UpdateMaxRecordSize(input) => {
            settings::update_max_record_size::run(service, call, input).await.map(Reply::from)
        }
        UpdateStreamWarmThroughput(input) => {
            settings::update_stream_warm_throughput::run(service, call, input).await.map(Reply::from)
        }
        UpdateStreamRecordDistributionStrategy(input) => {
            settings::update_stream_record_distribution_strategy::run(service, call, input)
                .await
                .map(Reply::from)
        }
        EnableEnhancedMonitoring(input) => {
            settings::enable_enhanced_monitoring::run(service, call, input).await.map(Reply::from)
        }
        DisableEnhancedMonitoring(input) => {
            settings::disable_enhanced_monitoring::run(service, call, input).await.map(Reply::from)
        }
        StartStreamEncryption(input) => {
            settings::start_stream_encryption::run(service, call, input).map(Reply::from)
        }
        StopStreamEncryption(input) => {
            settings::stop_stream_encryption::run(service, call, input).map(Reply::from)
        }
        AcknowledgeDeadLetterQueueRecords(_)
        | AcknowledgeQueueRecords(_)
        | CreateChannel(_)
        | CreateQueue(_)
        | DeleteChannel(_)
        | DeleteQueue(_)
        | DescribeChannel(_)
        | DescribeQueue(_)
        | ListChannels(_)
        | ListQueues(_)
        | ReceiveDeadLetterQueueRecords(_)
        | ReceiveQueueRecords(_)
        | RestoreDeadLetterQueueRecords(_)
        | UpdateChannel(_)
        | UpdateDeadLetterQueueRecordsVisibility(_)
        | UpdateQueue(_)
        | UpdateQueueRecordsVisibility(_) => Err(Fault::NotBuilt(request.operation().missing_feature())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_structure() {
        for body in ["", "x", "[]", "1", "\"a\"", "null", "{}{}"] {
            let fault = cases::call(body).document().unwrap_err();
            assert_eq!(fault, Fault::Unreadable, "{body}");
        }
        assert!(cases::call(" {} ").document().is_ok());
    }
}
