//! The Tidelog broker: a self-hosted server that speaks the Amazon Kinesis Data Streams protocol.

pub mod model;
