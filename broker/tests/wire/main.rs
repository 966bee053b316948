//! Tests at the wire: bytes in, bytes out, against a broker in this process.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod audience;
mod aws;
mod bad_input;
mod bodies;
mod bounds;
mod broker;
mod cluster;
mod codecs;
mod connections;
mod control;
mod embedded;
mod grpc;
mod half_closed;
mod headers;
mod http;
mod http2;
mod model;
mod scene;
mod slow;
mod starting;
mod subscribe;
mod tasks;
mod tls;
mod tokens;
