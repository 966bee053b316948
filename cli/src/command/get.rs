//! `tidelog get`: the one record of a sequence number, with all that it was put together of.

use super::output::Screen;
use super::shards::{find, listed, short};
use super::stream::summary;
use super::tail::show::{Form, Shown, written};
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared, output};
use tidelog_kinesis::operations::{GetRecords, GetShardIterator, Record, StartingPosition};
use tidelog_kinesis::{Client, KinesisError};

/// Arguments of `tidelog get`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct GetArguments {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// The shard: its id, or its number.
    #[arg(long, value_name = "SHARD")]
    shard: String,

    /// The record's number.
    #[arg(long, value_name = "NUMBER", value_parser = digits)]
    sequence_number: String,

    /// Print only the data, byte for byte.
    #[arg(long, conflicts_with = "output")]
    raw: bool,

    #[command(flatten)]
    shared: Shared,
}

fn digits(text: &str) -> Result<String, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(text.into()) } else { Err("a sequence number is made of digits".into()) }
}

impl GetArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let client = self.shared.client()?;
        summary(&client, &self.stream).await?;
        let shards = listed(&client, &self.stream).await?;
        let shard = find(&shards, &self.shard)?;
        let record = match self.record(&client, &shard.shard_id).await {
            Ok(record) => record,
            // The position does not exist, in the service's words: of another shard, or of a stream of that name
            // before.
            Err(error) if error.exception() == Some("InvalidArgumentException") => None,
            Err(error) => return Err(CommandError::of_call(&client, None, error).await),
        };
        let Some(record) = record else {
            return Err(CommandError::Failed(format!(
                "shard {} of {} has no record {}: it has expired, or is of another shard",
                short(&shard.shard_id),
                self.stream,
                self.sequence_number
            )));
        };
        let form = match (self.raw, self.shared.output) {
            (true, _) => Form::Raw,
            (_, Output::Json) => Form::Json,
            _ => Form::Human(Screen::of_process()),
        };
        let parts = Shown::parts(&shard.shard_id, &record, None);
        let text: Vec<u8> = parts.iter().flat_map(|part| written(part, &form)).collect();
        output::print_bytes(&text)?;
        Ok(Outcome::Done)
    }

    async fn record(&self, client: &Client, shard: &str) -> Result<Option<Record>, KinesisError> {
        let position = StartingPosition::AtSequenceNumber { number: self.sequence_number.clone() };
        let (stream_name, shard_id) = (self.stream.clone(), shard.into());
        let iterator =
            client.call(&GetShardIterator { stream_name, shard_id, position }).await?.shard_iterator;
        let answer = client.call(&GetRecords { shard_iterator: iterator, limit: Some(1) }).await?;
        Ok(answer.records.into_iter().find(|record| record.sequence_number == self.sequence_number))
    }
}
