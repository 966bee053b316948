//! How consumers are described, wherever they are.

use crate::model::arn::ConsumerArn;
use crate::model::stream::{Consumer, ConsumerStatus, StreamKey};
use crate::ops::api::{self, Timestamp};

/// A consumer of that stream, as answers describe it.
pub fn consumer(stream: &StreamKey, consumer: &Consumer) -> api::Consumer {
    api::Consumer {
        consumer_name: consumer.name.to_string(),
        consumer_arn: ConsumerArn::of(stream, consumer).to_string(),
        consumer_status: status(consumer.status),
        consumer_creation_timestamp: Timestamp::from_ms(consumer.created_ms),
    }
}

fn status(status: ConsumerStatus) -> api::ConsumerStatus {
    match status {
        ConsumerStatus::Creating => api::ConsumerStatus::Creating,
        ConsumerStatus::Active => api::ConsumerStatus::Active,
        ConsumerStatus::Deleting => api::ConsumerStatus::Deleting,
    }
}
