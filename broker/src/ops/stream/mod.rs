//! Operations on streams.

pub mod create_stream;
pub mod decrease_stream_retention_period;
pub mod delete_stream;
pub mod describe_limits;
pub mod describe_stream;
pub mod describe_stream_summary;
pub mod description;
pub mod increase_stream_retention_period;
pub mod list_streams;
mod retention;
