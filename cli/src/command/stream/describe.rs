//! `tidelog stream describe`: DescribeStreamSummary. Commands that change a stream show it by [`show`] too.

use serde_json::json;

use super::{CommandError, Output, summary};
use crate::command::figures;
use crate::command::output::{Screen, pairs, print, print_json};
use crate::command::time::written;
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::StreamSummary;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Describe {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,
}

impl Describe {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        show(&summary(client, &self.stream).await?, output)
    }
}

/// Prints how a stream is.
pub(super) fn show(stream: &StreamSummary, output: Output) -> Result<(), CommandError> {
    let mode = stream.stream_mode_details.map(|details| details.stream_mode);
    if output == Output::Json {
        return print_json(&json!({
            "name": stream.stream_name,
            "arn": stream.stream_arn,
            "status": stream.stream_status,
            "mode": mode,
            "open_shards": stream.open_shard_count,
            "retention_hours": stream.retention_period_hours,
            "consumers": stream.consumer_count,
            "encryption": stream.encryption_type,
            "record_max_kib": stream.max_record_size_in_kib,
            "created": stream.stream_creation_timestamp.map(written),
        }));
    }
    let mut rows = vec![
        ("stream", stream.stream_name.clone()),
        ("arn", stream.stream_arn.clone()),
        ("status", stream.stream_status.clone()),
        ("open shards", figures::count(stream.open_shard_count.into())),
        ("retention", figures::hours(stream.retention_period_hours)),
    ];
    let more = [
        ("mode", mode.map(|mode| mode.to_string())),
        ("largest record", stream.max_record_size_in_kib.map(|kib| figures::bytes(u64::from(kib) * 1024))),
        ("consumers", stream.consumer_count.map(|count| count.to_string())),
        ("encryption", stream.encryption_type.clone().filter(|kind| kind != "NONE")),
        ("created", stream.stream_creation_timestamp.map(written)),
    ];
    rows.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    print(&pairs(&rows, Screen::of_process().width))
}
