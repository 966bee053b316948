//! How consumers are described, wherever they are.

use tidelog_proto::Document;

use crate::model::arn::ConsumerArn;
use crate::model::stream::{Consumer, ConsumerStatus, StreamKey};
use crate::ops::stream::description::timestamp;

/// What every answer tells of a consumer of that stream. Only DescribeStreamConsumer adds the stream's ARN.
pub fn consumer(stream: &StreamKey, consumer: &Consumer) -> Document {
    Document::structure([
        ("ConsumerName", (*consumer.name).into()),
        ("ConsumerARN", ConsumerArn::of(stream, consumer).to_string().into()),
        ("ConsumerStatus", status_name(consumer.status).into()),
        ("ConsumerCreationTimestamp", timestamp(consumer.created_ms)),
    ])
}

/// AWS's name of a status.
fn status_name(status: ConsumerStatus) -> &'static str {
    match status {
        ConsumerStatus::Creating => "CREATING",
        ConsumerStatus::Active => "ACTIVE",
        ConsumerStatus::Deleting => "DELETING",
    }
}
