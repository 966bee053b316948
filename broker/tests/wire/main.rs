//! Tests at the wire: bytes in, bytes out, against a broker in this process, and the binary as a process.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod audience;
mod bad_input;
mod bodies;
mod bounds;
mod broker;
mod cluster;
mod codecs;
mod config;
mod connections;
mod control;
mod data_directory;
mod grpc;
mod half_closed;
mod headers;
mod http;
mod http2;
mod log;
mod metrics;
mod model;
mod peer_port;
mod process;
mod reload;
mod scene;
mod slow;
mod starting;
mod stopping;
mod subscribe;
mod subscriber;
mod tasks;
mod tls;
mod tokens;
