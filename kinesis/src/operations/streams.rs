//! Operations on whole streams.

use serde::{Deserialize, Serialize};

use super::{Done, operation};
use crate::Timestamp;

/// How a stream gets its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Mode {
    /// The user sets their number.
    #[serde(rename = "PROVISIONED")]
    Provisioned,
    /// By the service, as the load asks for.
    #[serde(rename = "ON_DEMAND")]
    OnDemand,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on demand",
        })
    }
}

/// The mode as the service wraps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModeDetails {
    /// The mode.
    pub stream_mode: Mode,
}

impl From<Mode> for ModeDetails {
    fn from(stream_mode: Mode) -> Self {
        Self { stream_mode }
    }
}

/// Makes a stream. Twice is a `ResourceInUseException`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateStream {
    /// Name of the stream.
    pub stream_name: String,
    /// How many shards, of a provisioned one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_count: Option<u32>,
    /// How it gets its shards.
    pub stream_mode_details: ModeDetails,
}
operation!(CreateStream, "CreateStream", repeatable: false, Done);

/// Takes a stream away with all its records.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteStream {
    /// Name of the stream.
    pub stream_name: String,
    /// Whether to delete the stream also when consumers are registered with it.
    pub enforce_consumer_deletion: bool,
}
operation!(DeleteStream, "DeleteStream", repeatable: false, Done);

/// Asks how a stream is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamSummary {
    /// Name of the stream.
    pub stream_name: String,
}
operation!(DescribeStreamSummary, "DescribeStreamSummary", repeatable: true, DescribeStreamSummaryAnswer);

/// How a stream is, as the service wraps it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamSummaryAnswer {
    /// How it is.
    pub stream_description_summary: StreamSummary,
}

/// How a stream is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSummary {
    /// Name of the stream.
    pub stream_name: String,
    /// ARN of the stream.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    /// `CREATING`, `ACTIVE`, `UPDATING` or `DELETING`.
    pub stream_status: String,
    /// How it gets its shards; emulators may not say.
    pub stream_mode_details: Option<ModeDetails>,
    /// How long records are kept, in hours.
    pub retention_period_hours: u32,
    /// When it was made.
    pub stream_creation_timestamp: Option<Timestamp>,
    /// `NONE` or `KMS`.
    pub encryption_type: Option<String>,
    /// How many shards take records.
    pub open_shard_count: u32,
    /// How many consumers are registered.
    pub consumer_count: Option<u32>,
    /// The largest record it takes, in KiB.
    #[serde(rename = "MaxRecordSizeInKiB")]
    pub max_record_size_in_kib: Option<u32>,
}

/// Asks for names of streams, a page of them.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListStreams {
    /// After this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_start_stream_name: Option<String>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
operation!(ListStreams, "ListStreams", repeatable: true, ListStreamsAnswer);

/// A page of streams.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListStreamsAnswer {
    /// Their names, in order.
    pub stream_names: Vec<String>,
    /// Whether there are more behind the last one.
    pub has_more_streams: bool,
    /// More about each of them; emulators may not say.
    #[serde(default)]
    pub stream_summaries: Vec<ListedStream>,
}

/// A stream of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedStream {
    /// Name of the stream.
    pub stream_name: String,
    /// ARN of the stream.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    /// One of the states of [`StreamSummary`].
    pub stream_status: String,
    /// How it gets its shards.
    pub stream_mode_details: Option<ModeDetails>,
    /// When it was made.
    pub stream_creation_timestamp: Option<Timestamp>,
}

/// Keeps records longer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IncreaseRetention {
    /// The stream.
    pub stream_name: String,
    /// How long, in hours; 24 to 8,760.
    pub retention_period_hours: u32,
}
operation!(IncreaseRetention, "IncreaseStreamRetentionPeriod", repeatable: true, Done);

/// Keeps records shorter; older ones are deleted for good.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecreaseRetention {
    /// The stream.
    pub stream_name: String,
    /// How long, in hours; 24 to 8,760.
    pub retention_period_hours: u32,
}
operation!(DecreaseRetention, "DecreaseStreamRetentionPeriod", repeatable: true, Done);

/// Changes how a stream gets its shards.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateStreamMode {
    /// The stream's ARN.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    /// How from now on.
    pub stream_mode_details: ModeDetails,
}
operation!(UpdateStreamMode, "UpdateStreamMode", repeatable: false, Done);
