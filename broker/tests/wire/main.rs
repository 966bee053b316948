//! Tests at the wire: bytes in, bytes out, against a broker in this process, and the binary as a process.

mod bounds;
mod broker;
mod config;
mod http;
mod http2;
mod process;
mod tls;
