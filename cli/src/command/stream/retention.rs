//! `tidelog stream retention`: Increase- or DecreaseStreamRetentionPeriod, whichever it is.

use std::cmp::Ordering;

use super::describe::show;
use super::{CommandError, Output, settled, summary};
use crate::command::time::span;
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{DecreaseRetention, IncreaseRetention, StreamSummary};

/// Bounds of the service, in hours.
const HOURS_MIN: u32 = 24;
const HOURS_MAX: u32 = 8760;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Retention {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Time for which records are kept, in whole hours or days, such as 48h or 7d; 24h to 365d.
    #[arg(value_name = "SPAN", value_parser = hours)]
    hours: u32,
}

impl Retention {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let now = summary(client, &self.stream).await?;
        show(&set(client, &now, self.hours).await?, output)
    }
}

/// Hours of the command line.
pub(super) fn hours(text: &str) -> Result<u32, String> {
    let span = span(text)?;
    let whole = span.as_secs().is_multiple_of(3600).then_some(span.as_secs() / 3600);
    let hours = whole.and_then(|hours| u32::try_from(hours).ok());
    let within = hours.filter(|hours| (HOURS_MIN..=HOURS_MAX).contains(hours));
    within.ok_or_else(|| format!("records are kept for {HOURS_MIN}h to {HOURS_MAX}h (365d), in whole hours"))
}

/// Sets the retention of a stream that is `now` so, and waits until it counts.
pub(super) async fn set(
    client: &Client,
    now: &StreamSummary,
    hours: u32,
) -> Result<StreamSummary, CommandError> {
    let stream = &now.stream_name;
    let (stream_name, retention_period_hours) = (stream.clone(), hours);
    let done = match hours.cmp(&now.retention_period_hours) {
        Ordering::Equal => return Ok(now.clone()),
        Ordering::Greater => client.call(&IncreaseRetention { stream_name, retention_period_hours }).await,
        Ordering::Less => client.call(&DecreaseRetention { stream_name, retention_period_hours }).await,
    };
    match done {
        Ok(_) => settled::active(client, stream).await,
        Err(error) => Err(CommandError::of_call(client, Some(stream), error).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_hours_within_bounds() {
        assert_eq!(hours("24h"), Ok(24));
        assert_eq!(hours("7d"), Ok(168));
        assert_eq!(hours("365d"), Ok(8760));
        assert_eq!(hours("1d120m"), Ok(26));
        for wrong in ["23h", "366d", "24h1m", "24", "long", "99999999999d"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
