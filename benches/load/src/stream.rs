//! The stream that is loaded: found or created, and deleted afterwards.
//!
//! Only the needed members of answers are read, so that the simplest endpoint will do.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use tidelog_kinesis::operations::{CreateStream, DeleteStream, Done, Mode, ModeDetails};
use tidelog_kinesis::{Client, KinesisError, Operation};

/// How long a stream may take to become ACTIVE, or to go.
const SETTLING_MAX: Duration = Duration::from_secs(120);
/// Between two looks at it; DescribeStreamSummary may be called 20 times a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// DescribeStreamSummary.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary<'a> {
    stream_name: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryAnswer {
    stream_description_summary: Description,
}

/// The description of a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Description {
    /// Such as ACTIVE.
    pub stream_status: String,
    /// Needed for enhanced fan-out.
    #[serde(rename = "StreamARN")]
    pub arn: String,
}

impl Operation for Summary<'_> {
    const NAME: &'static str = "DescribeStreamSummary";
    const IS_REPEATABLE: bool = true;
    type Answer = SummaryAnswer;
}

/// ListShards.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    shards: Vec<Listed>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    shard_id: String,
    #[serde(default)]
    sequence_number_range: Range,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Range {
    ending_sequence_number: Option<String>,
}

impl Operation for List<'_> {
    const NAME: &'static str = "ListShards";
    const IS_REPEATABLE: bool = true;
    type Answer = ListAnswer;
}

/// Why there is no stream to load.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream does not exist and would have to be created.
    #[error("the stream {0} does not exist: create it first, or let --create do it for the time of the run")]
    Missing(String),
    /// The stream exists and was to be created.
    #[error(
        "the stream {0} exists: --create makes a stream of its own and deletes it afterwards; leave it out, or name another"
    )]
    Exists(String),
    /// The stream does not become ACTIVE.
    #[error("the stream {name} is still {status} after {} s", SETTLING_MAX.as_secs())]
    Unsettled {
        /// Name of the stream.
        name: String,
        /// The status that it has instead of ACTIVE.
        status: String,
    },
    /// The endpoint says otherwise.
    #[error(transparent)]
    Kinesis(#[from] KinesisError),
}

/// Makes sure that the stream is there and ACTIVE; with a number of shards, by creating it.
///
/// # Errors
/// As the kinds of [`StreamError`] say.
pub async fn prepare(client: &Client, name: &str, create: Option<u32>) -> Result<Description, StreamError> {
    if let Some(shards) = create {
        self::create(client, name, shards).await?;
    }
    let began = Instant::now();
    loop {
        let described = describe(client, name).await?;
        if described.stream_status == "ACTIVE" {
            return Ok(described);
        }
        if began.elapsed() > SETTLING_MAX {
            return Err(StreamError::Unsettled { name: name.into(), status: described.stream_status });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Creates the stream; one of the same name that is being deleted, as by the run before, is waited for.
async fn create(client: &Client, name: &str, shards: u32) -> Result<(), StreamError> {
    let mode = ModeDetails { stream_mode: Mode::Provisioned };
    let create =
        CreateStream { stream_name: name.into(), shard_count: Some(shards), stream_mode_details: mode };
    let began = Instant::now();
    loop {
        let Err(error) = client.call(&create).await else { return Ok(()) };
        if error.exception() != Some("ResourceInUseException") {
            return Err(error.into());
        }
        let status = match describe(client, name).await {
            Ok(described) => described.stream_status,
            Err(StreamError::Missing(_)) => "DELETING".into(),
            Err(error) => return Err(error),
        };
        if status != "DELETING" {
            return Err(StreamError::Exists(name.into()));
        }
        if began.elapsed() > SETTLING_MAX {
            return Err(StreamError::Unsettled { name: name.into(), status });
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn describe(client: &Client, name: &str) -> Result<Description, StreamError> {
    let described = client.call(&Summary { stream_name: name }).await;
    described.map(|answer| answer.stream_description_summary).map_err(|error| missing(name, error))
}

/// Identifiers of its open shards.
///
/// # Errors
/// The endpoint's.
pub async fn open_shards(client: &Client, name: &str) -> Result<Vec<String>, StreamError> {
    let (mut open, mut token) = (Vec::new(), None);
    loop {
        let stream_name = token.is_none().then_some(name);
        let list = List { stream_name, next_token: token };
        let page = client.call(&list).await.map_err(|error| missing(name, error))?;
        let is_open = |shard: &Listed| shard.sequence_number_range.ending_sequence_number.is_none();
        open.extend(page.shards.into_iter().filter(is_open).map(|shard| shard.shard_id));
        token = page.next_token;
        if token.is_none() {
            return Ok(open);
        }
    }
}

/// Deletes the stream, and does not wait for it to be gone. `is_patient`: tries again where that may help.
///
/// # Errors
/// The endpoint's.
pub async fn delete(client: &Client, name: &str, is_patient: bool) -> Result<(), KinesisError> {
    let delete = DeleteStream { stream_name: name.into(), enforce_consumer_deletion: true };
    let deleted = if is_patient { client.call(&delete).await } else { client.call_once(&delete).await };
    deleted.map(|Done {}| ())
}

fn missing(name: &str, error: KinesisError) -> StreamError {
    match error.exception() {
        Some("ResourceNotFoundException") => StreamError::Missing(name.into()),
        _ => StreamError::Kinesis(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{StreamError, prepare};
    use tidelog_kinesis::{Client, Settings};
    use tidelog_testkit::kinesis_endpoint::{Fake, Reply};

    /// Creates a stream where there is one in that state, which is gone once it has been looked at.
    async fn created_over(status: &'static str) -> Result<(), StreamError> {
        let fake = Fake::start(move |before, call| match call.operation.as_str() {
            "CreateStream" if before == 0 => Reply::exception(400, "ResourceInUseException", "it is there"),
            "CreateStream" => Reply::Answer(200, json!({})),
            "DescribeStreamSummary" => {
                let status = if before == 1 { status } else { "ACTIVE" };
                Reply::Answer(200, json!({"StreamDescriptionSummary": {"StreamStatus": status}}))
            }
            other => Reply::exception(400, "UnknownOperationException", other),
        })
        .await;
        let endpoint = format!("http://{}", fake.address).parse().expect("a URL");
        let client = Client::new(Settings::unsigned(endpoint)).expect("no files");
        prepare(&client, "clicks", Some(1)).await.map(drop)
    }

    #[tokio::test]
    async fn a_stream_that_is_being_deleted_is_waited_for() {
        created_over("DELETING").await.expect("it is created at the second attempt");
    }

    #[tokio::test]
    async fn a_stream_that_stays_is_not_taken() {
        let refused = created_over("ACTIVE").await.expect_err("it is somebody's");
        assert!(matches!(&refused, StreamError::Exists(name) if name == "clicks"), "{refused}");
    }
}
