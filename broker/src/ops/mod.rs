//! The operations of Kinesis: an operation is one file and one line of [`dispatch`].
//!
//! The wire finds the caller, the operation and the codec and hands over a [`Call`]; an operation reads it by its
//! table of members, decides with pure functions over the catalog, calls the service and writes the answer. What
//! goes wrong is a [`Fault`].

#[cfg(test)]
mod cases;
pub mod fault;
mod input;
mod java_date;
mod record;
mod shape;
mod shard;
mod stream;
mod target;
mod validate;

use std::sync::Arc;

use bytes::Bytes;
pub use fault::{Exception, Fault};
pub use tidelog_proto::Codec;
use tidelog_proto::{Document, json};

use crate::service::Service;
use input::Input;
use shape::Member;

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
}

impl Call {
    /// The body as a structure.
    fn document(&self) -> Result<Document, Fault> {
        let unreadable = Fault::Serialization { message: None };
        match self.codec {
            Codec::Json => match json::decode(&self.body) {
                Ok(document @ Document::Map(_)) => Ok(document),
                Ok(_) | Err(json::Unreadable) => Err(unreadable),
            },
        }
    }

    /// The members of the body, within the bounds of the table.
    fn input(&self, members: &'static [Member]) -> Result<Input, Fault> {
        let input = Input::read(self.document()?, members)?;
        validate::check(&input, members)?;
        Ok(input)
    }

    /// An answer in the codec of the request.
    fn reply(&self, document: &Document) -> Reply {
        match self.codec {
            Codec::Json => Reply { body: json::encode(document).into() },
        }
    }
}

/// The answer to a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Empty for operations without output.
    pub body: Bytes,
}

impl Reply {
    /// Of an operation without output.
    const EMPTY: Self = Self { body: Bytes::new() };
}

/// Runs a call: the table of contents of all 57 operations.
///
/// # Errors
/// Whatever the operation answers instead of its output.
pub async fn dispatch(service: &Arc<Service>, call: Call) -> Result<Reply, Fault> {
    let call = &call;
    match call.operation.as_str() {
        "CreateStream" => stream::create_stream::run(service, call).await,
        "DeleteStream" => stream::delete_stream::run(service, call).await,
        "DescribeStream" => stream::describe_stream::run(service, call),
        "DescribeStreamSummary" => stream::describe_stream_summary::run(service, call),
        "DescribeLimits" => stream::describe_limits::run(service, call),
        "ListStreams" => stream::list_streams::run(service, call),
        "IncreaseStreamRetentionPeriod" => stream::increase_stream_retention_period::run(service, call).await,
        "DecreaseStreamRetentionPeriod" => stream::decrease_stream_retention_period::run(service, call).await,
        "ListShards" => shard::list_shards::run(service, call),
        "PutRecord" => record::put_record::run(service, call).await,
        "PutRecords" => record::put_records::run(service, call).await,
        "GetShardIterator" => record::get_shard_iterator::run(service, call).await,
        "GetRecords" => record::get_records::run(service, call).await,
        // Known, and not there yet.
        "AcknowledgeDeadLetterQueueRecords"
        | "AcknowledgeQueueRecords"
        | "AddTagsToStream"
        | "CreateChannel"
        | "CreateQueue"
        | "DeleteChannel"
        | "DeleteQueue"
        | "DeleteResourcePolicy"
        | "DeregisterStreamConsumer"
        | "DescribeAccountSettings"
        | "DescribeChannel"
        | "DescribeQueue"
        | "DescribeStreamConsumer"
        | "DisableEnhancedMonitoring"
        | "EnableEnhancedMonitoring"
        | "GetResourcePolicy"
        | "ListChannels"
        | "ListQueues"
        | "ListStreamConsumers"
        | "ListTagsForResource"
        | "ListTagsForStream"
        | "MergeShards"
        | "PutResourcePolicy"
        | "ReceiveDeadLetterQueueRecords"
        | "ReceiveQueueRecords"
        | "RegisterStreamConsumer"
        | "RemoveTagsFromStream"
        | "RestoreDeadLetterQueueRecords"
        | "SplitShard"
        | "StartStreamEncryption"
        | "StopStreamEncryption"
        | "SubscribeToShard"
        | "TagResource"
        | "UntagResource"
        | "UpdateAccountSettings"
        | "UpdateChannel"
        | "UpdateDeadLetterQueueRecordsVisibility"
        | "UpdateMaxRecordSize"
        | "UpdateQueue"
        | "UpdateQueueRecordsVisibility"
        | "UpdateShardCount"
        | "UpdateStreamMode"
        | "UpdateStreamRecordDistributionStrategy"
        | "UpdateStreamWarmThroughput" => {
            call.document()?;
            Err(Fault::NotBuilt(format!("Tidelog knows {} but does not have it yet.", call.operation)))
        }
        _ => {
            call.document()?;
            Err(Fault::UnknownOperation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_structure() {
        for body in ["", "x", "[]", "1", "\"a\"", "null", "{}{}"] {
            let fault = cases::call(body).document().unwrap_err();
            assert_eq!(fault, Fault::Serialization { message: None }, "{body}");
        }
        assert!(cases::call(" {} ").document().is_ok());
    }
}
