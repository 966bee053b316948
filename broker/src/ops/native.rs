//! Operations of the gRPC API beyond [`super::dispatch`]: records as bytes, shards that are followed, and the
//! facts about streams that its calls need.

use std::sync::Arc;

use super::api::StreamDescriptionSummary;
use super::{Call, Fault, placement, shard, stream, target};
use crate::model::stream::{Stream, StreamKey, Tags};
use crate::service::Service;

pub use super::record::acknowledgement::AcknowledgementWriter;
pub use super::record::follow::{At, FollowMode, Item, ShardStart, Source, find_start, find_starts};
pub use super::record::get_records::Numbers;
pub use super::record::put::{PutEntry, check_count_max, put};

/// The stream of that name in the caller's account and region, or of that ARN.
///
/// # Errors
/// [`Fault::InvalidArgument`] when the text is neither.
pub fn stream_key(call: &Call, text: &str) -> Result<StreamKey, Fault> {
    target::by_text(call, text)
}

/// A stream as DescribeStreamSummary describes it.
pub fn describe(stream: &Stream) -> StreamDescriptionSummary {
    stream::describe_stream_summary::answer(stream, false).stream_description_summary
}

/// The tags of a stream as this node knows them; none when it does not know the stream.
pub fn tags(service: &Service, key: &StreamKey) -> Tags {
    service.catalog().streams().get(key).map(|stream| stream.tags.clone()).unwrap_or_default()
}

/// Where the upper child of a shard begins when it is split in the middle.
///
/// # Errors
/// As those of SplitShard.
pub async fn middle_of_shard(service: &Arc<Service>, key: &StreamKey, shard: &str) -> Result<u128, Fault> {
    placement::certain(service, || async { shard::split_shard::middle(&service.catalog(), key, shard) }).await
}
