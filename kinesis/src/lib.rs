//! A small client of the Kinesis Data Streams protocol, in JSON 1.1, for any endpoint that speaks it.
//!
//! [`Settings`] has the endpoint and the credentials, [`Client`] makes them, [`operations`] has one type per
//! operation. The command line and the load test work by it, so that they work with AWS and with emulators too.
//!
//! The feature `clap` makes [`ConnectionArguments`] a group of command-line flags.

mod client;
mod credentials;
mod error;
pub mod operations;
mod profile;
mod retry;
mod settings;
mod signer;
mod transport;
mod values;

pub use client::Client;
pub use credentials::{Credentials, CredentialsError};
pub use error::KinesisError;
pub use operations::Operation;
pub use retry::{Backoff, wait_after};
pub use settings::{ConnectionArguments, Settings, SettingsError};
pub use signer::Signer;
pub use transport::{Transport, tcp_connector, tls, transport};
pub use values::{Blob, Timestamp};
