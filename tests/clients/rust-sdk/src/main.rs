//! A test client built on the AWS SDK for Rust.
//!
//! It owns no verdict: it creates a stream, puts rows and reads shards as an application would, and writes the
//! records that it sent, that were acknowledged and that it read as JSON lines. The test runner starts it, kills
//! the broker under it, and compares. The formats of the lines are in `lines.rs`.

mod calls;
mod connection;
mod create;
mod lines;
mod load;
mod put;
mod read;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that ends a phase early; the runner shows the text and counts the phase as failed.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Put and read a stream with the AWS SDK for Rust")]
struct Arguments {
    /// Where the broker listens, such as http://127.0.0.1:4567.
    #[arg(long, env = "AWS_ENDPOINT_URL_KINESIS")]
    endpoint: String,
    /// The stream to work on; the phase `calls` names its own.
    #[arg(long, default_value_t)]
    stream: String,
    #[command(subcommand)]
    phase: Phase,
}

#[derive(Subcommand)]
enum Phase {
    /// Call the operations named on standard input, one JSON object per line, until its end.
    Calls,
    /// Create the stream and wait until it is ACTIVE.
    Create {
        #[arg(long)]
        shards: i32,
    },
    /// Put every row once, in order, and fail on the first error.
    Put {
        /// Rows to put, as JSON lines.
        #[arg(long)]
        rows: PathBuf,
        /// Where each attempt is written.
        #[arg(long)]
        attempts: PathBuf,
    },
    /// Put rows from several producers for a time or until SIGTERM, going on after errors.
    Load {
        /// Rows to take data from, as JSON lines.
        #[arg(long)]
        rows: PathBuf,
        /// Where each attempt is written.
        #[arg(long)]
        attempts: PathBuf,
        #[arg(long)]
        seconds: f64,
        #[arg(long, default_value_t = 8)]
        producers: usize,
        /// Records of the largest request; with more than one, sizes go around from a fifth of it.
        #[arg(long, default_value_t = 1)]
        records_per_request: usize,
        /// A producer's pause after each answer.
        #[arg(long, default_value_t = 0)]
        pause_milliseconds: u64,
    },
    /// Read every shard from its start by several consumers at once.
    Read {
        /// Where each record is written.
        #[arg(long)]
        records: PathBuf,
        #[arg(long, default_value_t = 2)]
        consumers: usize,
    },
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let client = connection::connect(&arguments.endpoint);
    let stream = arguments.stream;
    match arguments.phase {
        Phase::Calls => calls::run(&client).await,
        Phase::Create { shards } => create::run(&client, &stream, shards).await,
        Phase::Put { rows, attempts } => put::run(&client, &stream, &rows, &attempts).await,
        Phase::Load { rows, attempts, seconds, producers, records_per_request, pause_milliseconds } => {
            let pace = load::Pace {
                seconds: Duration::try_from_secs_f64(seconds)?,
                producers,
                records_per_request,
                pause: Duration::from_millis(pause_milliseconds),
            };
            load::run(&client, &stream, &rows, &attempts, pace).await
        }
        Phase::Read { records, consumers } => read::run(&client, &stream, &records, consumers).await,
    }
}
