//! `tidelog shards`: lineage, hash ranges and load of a stream's shards. Other commands find shards by it too.

mod drawing;
mod load;

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::output::{Screen, print, print_json};
use super::stream::summary;
use super::time::span;
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};
use load::Load;
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{ListShards, Shard};

/// How many shards are sampled at once.
const SAMPLES_MAX: usize = 16;

/// Arguments of `tidelog shards`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct ShardsArguments {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Span of time whose records are read to estimate the load of each open shard; 0s reads none.
    ///
    /// At most 10,000 records or 10 MiB of each shard are read, out of the shard's read limit.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    sample: Duration,

    #[command(flatten)]
    shared: Shared,
}

impl ShardsArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let client = self.shared.client()?;
        summary(&client, &self.stream).await?;
        let shards = listed(&client, &self.stream).await?;
        let loads = self.loads(&client, &shards).await?;
        let is_hot = load::hot(&shards, &loads);
        match self.shared.output {
            Output::Json => {
                let json: Vec<_> =
                    (0..shards.len()).map(|at| as_json(&shards[at], loads[at], is_hot[at])).collect();
                print_json(&json)?;
            }
            Output::Table => print(&drawing::drawn(&shards, &loads, &is_hot, Screen::of_process()))?,
        }
        Ok(Outcome::Done)
    }

    /// Measures the recent traffic of each shard; `None` for shards that are closed or were not looked at.
    async fn loads(&self, client: &Client, shards: &[Shard]) -> Result<Vec<Option<Load>>, CommandError> {
        let is_wanted = !self.sample.is_zero();
        let samples = shards.iter().map(|shard| async move {
            if !is_wanted || !shard.is_open() {
                return Ok(None);
            }
            load::sampled(client, &self.stream, &shard.shard_id, self.sample).await.map(Some)
        });
        let loads: Vec<Result<_, _>> = stream::iter(samples).buffered(SAMPLES_MAX).collect().await;
        let loads: Result<Vec<_>, _> = loads.into_iter().collect();
        match loads {
            Ok(loads) => Ok(loads),
            Err(error) => Err(CommandError::of_call(client, Some(&self.stream), error).await),
        }
    }
}

fn as_json(shard: &Shard, load: Option<Load>, is_hot: bool) -> Value {
    let parents: Vec<_> = shard.parents().collect();
    json!({
        "shard": shard.shard_id,
        "open": shard.is_open(),
        "parents": parents,
        "hash_key_range": shard.hash_key_range,
        "sequence_number_range": shard.sequence_number_range,
        "share": drawing::share(shard),
        "records_per_second": load.map(|load| load.records_per_second),
        "bytes_per_second": load.map(|load| load.bytes_per_second),
        "hot": is_hot,
    })
}

/// All shards of the stream, the closed ones too, in the order of their ids.
pub(super) async fn listed(client: &Client, stream: &str) -> Result<Vec<Shard>, CommandError> {
    let mut shards = Vec::new();
    let mut page = ListShards { stream_name: Some(stream.into()), ..ListShards::default() };
    loop {
        let answer = match client.call(&page).await {
            Ok(answer) => answer,
            Err(error) => return Err(CommandError::of_call(client, Some(stream), error).await),
        };
        shards.extend(answer.shards);
        match answer.next_token {
            Some(token) => page = ListShards { next_token: Some(token), ..ListShards::default() },
            None => break,
        }
    }
    shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
    Ok(shards)
}

/// The shard of that id; its number will do.
pub(super) fn find<'a>(shards: &'a [Shard], named: &str) -> Result<&'a Shard, CommandError> {
    let number = named.parse::<u64>().ok();
    let is_meant =
        |shard: &&Shard| shard.shard_id == named || number.is_some_and(|own| number_of(shard) == Some(own));
    shards.iter().find(is_meant).ok_or_else(|| {
        let open: Vec<_> =
            shards.iter().filter(|shard| shard.is_open()).map(|shard| short(&shard.shard_id)).collect();
        CommandError::Arguments(format!("there is no shard {named}; open ones are {}", open.join(", ")))
    })
}

fn number_of(shard: &Shard) -> Option<u64> {
    shard.shard_id.rsplit('-').next()?.parse().ok()
}

/// The number in a shard's id, which is all that tells it apart.
pub(super) fn short(id: &str) -> &str {
    let digits = id.rsplit('-').next().unwrap_or(id);
    match digits.trim_start_matches('0') {
        "" if !digits.is_empty() => "0",
        number => number,
    }
}
