//! The operations of Kinesis: an operation is one file and one line of [`dispatch`].
//!
//! The wire finds the caller, the operation and the codec and hands over a [`Call`]; an operation reads it by its
//! table of members, decides with pure functions over the catalog, calls the service and writes the answer. What
//! goes wrong is a [`Fault`].

#[cfg(test)]
pub(crate) mod cases;
mod check;
mod consumer;
pub mod fault;
mod input;
mod java_date;
pub mod native;
mod placement;
mod policy;
mod rate;
mod record;
pub mod relayed;
mod resource;
mod service_model;
mod settings;
mod shape;
mod shard;
mod stream;
mod tag;
mod target;
mod validate;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
pub use check::check;
pub use fault::{Fault, InvalidArgument, InvalidRetention, Unavailable};
use futures_util::Stream;
pub use tidelog_proto::Codec;
use tidelog_proto::{Document, Unreadable};

use crate::room::{AnswerRoom, Charge};
use crate::service::Service;
use input::Input;
pub use service_model::{OPERATIONS, Operation};

/// One request, once its caller is known.
#[derive(Clone, Debug)]
pub struct Call {
    /// What follows `Kinesis_20131202.` in the target.
    pub operation: String,
    /// 12 digits.
    pub account: Arc<str>,
    /// Such as `us-east-1`.
    pub region: Arc<str>,
    /// How the body is written, and the answer will be.
    pub codec: Codec,
    /// At most [`crate::limits::BODY_BYTES_MAX`].
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

    /// The members of the body, within the bounds of the operation of that name.
    fn input(&self, operation: &str) -> Result<Input, Fault> {
        let operation = service_model::operation(operation).expect("an operation of the service model");
        let input = Input::read(self.document()?, operation.members, self.codec)?;
        validate::check(&input, operation.members)?;
        Ok(input)
    }

    /// An answer in the codec of the request.
    fn reply(&self, document: &Document) -> Reply {
        Reply::Complete(self.codec.encode(document).into())
    }
}

/// The answer to a call that succeeded.
pub enum Reply {
    /// A body; empty for operations without output.
    Complete(Bytes),
    /// A body and what it takes of the memory for answers.
    Charged(Bytes, Charge),
    /// An event stream, as it comes. Dropping it ends the subscription.
    Events(Events),
}

/// An event stream.
pub struct Events {
    /// Parts of its messages, or what goes wrong with it and ends it.
    pub messages: Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>,
    /// Ends once nothing more is to come but what its client has been late to take.
    pub over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Reply {
    /// Of an operation without output.
    const EMPTY: Self = Self::Complete(Bytes::new());
}

/// The operation that AWS serves in JSON only; the SDKs that speak CBOR otherwise switch to JSON for it.
const JSON_ONLY: &str = "SubscribeToShard";

/// Whether clients of an operation take a throttle for what it is: ProvisionedThroughputExceededException is among its
/// errors in the service model.
#[must_use]
pub fn may_be_throttled(operation: &str) -> bool {
    matches!(operation, "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator")
}

/// Operations that are validated and then refused: this version has neither queues nor channels.
pub const UNAVAILABLE: [&str; 17] = [
    "AcknowledgeDeadLetterQueueRecords",
    "AcknowledgeQueueRecords",
    "CreateChannel",
    "CreateQueue",
    "DeleteChannel",
    "DeleteQueue",
    "DescribeChannel",
    "DescribeQueue",
    "ListChannels",
    "ListQueues",
    "ReceiveDeadLetterQueueRecords",
    "ReceiveQueueRecords",
    "RestoreDeadLetterQueueRecords",
    "UpdateChannel",
    "UpdateDeadLetterQueueRecordsVisibility",
    "UpdateQueue",
    "UpdateQueueRecordsVisibility",
];

/// Runs a call, here or on the node that leads what it is about.
///
/// # Errors
/// Whatever the operation answers instead of its output.
pub async fn dispatch(service: &Arc<Service>, call: Call) -> Result<Reply, Fault> {
    let call = &call;
    // These read the body themselves, in the form that nearly every client writes, and send records to their leaders.
    match call.operation.as_str() {
        "PutRecord" => return placement::certain(service, || record::put_record::run(service, call)).await,
        "PutRecords" => return placement::certain(service, || record::put_records::run(service, call)).await,
        _ => {}
    }
    let (name, input) = read(call)?;
    placement::run(service, call, name, &input).await
}

/// Runs a call that another node has taken; `None` when nothing was done because what it is about is led elsewhere.
///
/// # Errors
/// Whatever the operation answers instead of its output.
pub async fn execute(service: &Arc<Service>, call: Call) -> Result<Option<Reply>, Fault> {
    if call.operation == record::follow::OPERATION {
        return record::follow::execute(service, &call).await;
    }
    let (name, input) = read(&call)?;
    placement::run_if_here(service, &call, name, &input).await
}

/// The operation and the members of its body.
fn read(call: &Call) -> Result<(&'static str, Input), Fault> {
    let Some(operation) = service_model::operation(&call.operation) else {
        call.document()?;
        return Err(Fault::UnknownOperation);
    };
    if operation.name == JSON_ONLY && call.codec != Codec::Json {
        return Err(Fault::JsonOnly);
    }
    Ok((operation.name, call.input(operation.name)?))
}

/// The table of contents of all 57 operations but for those that put records.
async fn run(service: &Arc<Service>, call: &Call, name: &'static str, input: &Input) -> Result<Reply, Fault> {
    match name {
        "CreateStream" => stream::create_stream::run(service, call, input).await,
        "DeleteStream" => stream::delete_stream::run(service, call, input).await,
        "DescribeStream" => stream::describe_stream::run(service, call, input),
        "DescribeStreamSummary" => stream::describe_stream_summary::run(service, call, input),
        "DescribeLimits" => stream::describe_limits::run(service, call),
        "ListStreams" => stream::list_streams::run(service, call, input),
        "IncreaseStreamRetentionPeriod" => {
            stream::increase_stream_retention_period::run(service, call, input).await
        }
        "DecreaseStreamRetentionPeriod" => {
            stream::decrease_stream_retention_period::run(service, call, input).await
        }
        "ListShards" => shard::list_shards::run(service, call, input),
        "SplitShard" => shard::split_shard::run(service, call, input).await,
        "MergeShards" => shard::merge_shards::run(service, call, input).await,
        "UpdateShardCount" => shard::update_shard_count::run(service, call, input).await,
        "GetShardIterator" => record::get_shard_iterator::run(service, call, input).await,
        "GetRecords" => record::get_records::run(service, call, input).await,
        "SubscribeToShard" => record::subscribe_to_shard::run(service, call, input).await,
        "RegisterStreamConsumer" => consumer::register_stream_consumer::run(service, call, input).await,
        "DeregisterStreamConsumer" => consumer::deregister_stream_consumer::run(service, call, input).await,
        "DescribeStreamConsumer" => consumer::describe_stream_consumer::run(service, call, input),
        "ListStreamConsumers" => consumer::list_stream_consumers::run(service, call, input),
        "AddTagsToStream" => tag::add_tags_to_stream::run(service, call, input).await,
        "RemoveTagsFromStream" => tag::remove_tags_from_stream::run(service, call, input).await,
        "ListTagsForStream" => tag::list_tags_for_stream::run(service, call, input),
        "TagResource" => tag::tag_resource::run(service, input).await,
        "UntagResource" => tag::untag_resource::run(service, input).await,
        "ListTagsForResource" => tag::list_tags_for_resource::run(service, call, input),
        "PutResourcePolicy" => policy::put_resource_policy::run(service, input).await,
        "GetResourcePolicy" => policy::get_resource_policy::run(service, call, input),
        "DeleteResourcePolicy" => policy::delete_resource_policy::run(service, input).await,
        "DescribeAccountSettings" => settings::describe_account_settings::run(service, call),
        "UpdateAccountSettings" => settings::update_account_settings::run(service, call, input).await,
        "UpdateStreamMode" => settings::update_stream_mode::run(service, call, input).await,
        "UpdateMaxRecordSize" => settings::update_max_record_size::run(service, call, input).await,
        "UpdateStreamWarmThroughput" => {
            settings::update_stream_warm_throughput::run(service, call, input).await
        }
        "UpdateStreamRecordDistributionStrategy" => {
            settings::update_stream_record_distribution_strategy::run(service, call, input).await
        }
        "EnableEnhancedMonitoring" => settings::enable_enhanced_monitoring::run(service, call, input).await,
        "DisableEnhancedMonitoring" => settings::disable_enhanced_monitoring::run(service, call, input).await,
        "StartStreamEncryption" => settings::start_stream_encryption::run(service, call, input),
        "StopStreamEncryption" => settings::stop_stream_encryption::run(service, call, input),
        name if UNAVAILABLE.contains(&name) => Err(Fault::NotBuilt(name.to_owned())),
        name => unreachable!("{name} has no line"),
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
