//! Operations on consumers with a throughput of their own.

pub mod deregister_stream_consumer;
pub mod describe_stream_consumer;
mod description;
pub mod list_stream_consumers;
mod named;
pub mod register_stream_consumer;
