//! Waiting until a change of a stream is done.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{CommandError, summary};
use tidelog_kinesis::operations::{DescribeStreamSummary, StreamSummary};
use tidelog_kinesis::{Client, KinesisError};

/// How long a change may take; AWS needs a minute for some, more for many shards.
const DEADLINE: Duration = Duration::from_secs(600);
/// The first wait; each is twice the one before, up to the bound.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Waits until the stream is `ACTIVE`.
pub(super) async fn active(client: &Client, stream: &str) -> Result<StreamSummary, CommandError> {
    let (began, mut wait) = (Instant::now(), WAIT_FIRST);
    loop {
        let now = summary(client, stream).await?;
        match now.stream_status.as_str() {
            "ACTIVE" => return Ok(now),
            "DELETING" => return Err(CommandError::Failed(format!("the stream {stream} is being deleted"))),
            status => sleep_on(stream, status, began, &mut wait).await?,
        }
    }
}

/// Waits until there is no such stream.
pub(super) async fn gone(client: &Client, stream: &str) -> Result<(), CommandError> {
    let (began, mut wait) = (Instant::now(), WAIT_FIRST);
    loop {
        match client.call(&DescribeStreamSummary { stream_name: stream.into() }).await {
            Err(KinesisError::Refused { exception, .. }) if exception == "ResourceNotFoundException" => {
                return Ok(());
            }
            Err(error) => return Err(CommandError::of_call(client, Some(stream), error).await),
            Ok(_) => sleep_on(stream, "DELETING", began, &mut wait).await?,
        }
    }
}

async fn sleep_on(
    stream: &str,
    status: &str,
    began: Instant,
    wait: &mut Duration,
) -> Result<(), CommandError> {
    if began.elapsed() > DEADLINE {
        return Err(CommandError::Failed(format!(
            "the stream {stream} is {status} for {} minutes; `tidelog stream describe {stream}` shows it",
            DEADLINE.as_secs() / 60
        )));
    }
    sleep(*wait).await;
    *wait = (*wait * 2).min(WAIT_MAX);
    Ok(())
}
