//! Calls the operations that it reads, for the scenario that all clients play.
//!
//! One JSON object per line in, one or more out; `tests/clients/program.py` describes them. Calls run side by side,
//! so that they go on while a subscription is open. The SDK's types have no JSON of their own: the members that go
//! into its builders and come out of its answers are spelled out in `operations.rs` and `documents.rs`.

use crate::Outcome;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::error::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Lines that wait for the writer of standard output.
const LINES_WAITING_MAX: usize = 64;

/// Builds a request of members, each by its setter, reader and name; sends it; its output.
macro_rules! send {
    ($request:expr, $input:ident $(, $setter:ident $reader:ident $name:literal)* $(,)?) => {
        $request$(.$setter($reader($input, $name)?))*.send().await?
    };
}

/// Sends a request that names its stream.
macro_rules! send_to_stream {
    ($request:expr, $input:ident $($more:tt)*) => {
        send!($request.set_stream_name(member($input, "StreamName")?).set_stream_arn(member($input, "StreamARN")?),
            $input $($more)*)
    };
}

// Behind the macros, which they use.
mod documents;
mod operations;
mod streams;

#[derive(Deserialize)]
struct Request {
    id: u64,
    operation: String,
    input: Value,
}

/// Why a call has no output: AWS's name of the error and its text.
#[derive(Debug)]
struct Failure {
    code: String,
    message: String,
}

impl Failure {
    /// An input that the program cannot hand to the SDK.
    fn of_input(message: impl Into<Box<dyn Error>>) -> Self {
        Self { code: "BadInput".to_owned(), message: message.into().to_string() }
    }
}

impl<E, R> From<SdkError<E, R>> for Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    fn from(error: SdkError<E, R>) -> Self {
        match error.as_service_error().map(ProvideErrorMetadata::meta) {
            Some(told) => Self {
                code: told.code().unwrap_or("Unnamed").to_owned(),
                message: told.message().unwrap_or_default().to_owned(),
            },
            None => Self { code: "NoAnswer".to_owned(), message: DisplayErrorContext(&error).to_string() },
        }
    }
}

/// Answers the lines of standard input until it ends.
pub(crate) async fn run(client: &Client) -> Outcome<()> {
    let (lines, waiting) = channel(LINES_WAITING_MAX);
    tokio::spawn(print(waiting));
    let mut requests = BufReader::new(stdin()).lines();
    while let Some(line) = requests.next_line().await? {
        let request: Request = serde_json::from_str(&line)?;
        tokio::spawn(answer(client.clone(), request, lines.clone()));
    }
    Ok(())
}

async fn print(mut waiting: Receiver<Value>) -> Outcome<()> {
    let mut output = stdout();
    while let Some(line) = waiting.recv().await {
        output.write_all(format!("{line}\n").as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn answer(client: Client, request: Request, lines: Sender<Value>) {
    let Request { id, operation, input } = request;
    let line = match operations::call(&client, &operation, &input, id, &lines).await {
        Ok(output) => json!({"id": id, "output": output}),
        Err(Failure { code, message }) => json!({"id": id, "error": {"code": code, "message": message}}),
    };
    // Nobody waits for a line after the program's end.
    drop(lines.send(line).await);
}
