//! Why a load test came to nothing.

use std::io;
use std::path::PathBuf;

use super::stream::StreamError;
use tidelog_kinesis::{KinesisError, SettingsError};

/// Why a load test came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Arguments that contradict each other: exit code 2.
    #[error("{0}")]
    Arguments(String),
    /// Endpoint, region or keys.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The stream is not there to be loaded.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The endpoint refuses something that has to be.
    #[error(transparent)]
    Kinesis(#[from] KinesisError),
    /// Consumers did not come about.
    #[error("consumers could not begin: {0}")]
    Consumers(String),
    /// The gRPC API is not to be had.
    #[error("cannot speak gRPC: {0}")]
    Grpc(String),
    /// A file could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: io::Error,
    },
    /// The earlier result could not be read.
    #[error("cannot read the earlier result {}: {reason}", path.display())]
    Earlier {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// By a signal, before the load began.
    #[error("interrupted")]
    Interrupted,
    /// The system gives no runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

impl BenchError {
    /// The advice for the reader of the error, to stand behind its own words.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Kinesis(error) | Self::Stream(StreamError::Kinesis(error)) => error.advice(),
            _ => "",
        }
    }
}
