//! `tidelog stream reshard`: UpdateShardCount, SplitShard or MergeShards, and a wait until it is done.

use super::describe::show;
use super::{CommandError, Output, settled};
use crate::command::shards::{find, listed};
use tidelog_kinesis::operations::{
    MergeShards, Operation, Shard, SplitShard, StreamSummary, UpdateShardCount,
};
use tidelog_kinesis::{Client, KinesisError};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true).args(["shards", "split", "merge"]),
    after_help = "More than double or less than half of the shards is reached in several steps. Closed shards can be \
                  read until their records have expired. `tidelog shards STREAM` draws them."
)]
pub(super) struct Reshard {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Change to this number of shards, with equal ranges.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,

    /// Make two shards of this one: its id, or its number.
    #[arg(long, value_name = "SHARD")]
    split: Option<String>,

    /// First hash key of the second half, in decimal digits; the middle of the range by default.
    #[arg(long, value_name = "HASH-KEY", requires = "split")]
    at: Option<u128>,

    /// Make one shard of these two neighbours.
    #[arg(long, num_args = 2, value_names = ["SHARD", "SHARD"])]
    merge: Vec<String>,
}

impl Reshard {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let now = settled::active(client, &self.stream).await?;
        let changed = match (&self.shards, &self.split, self.merge.as_slice()) {
            (Some(count), ..) => self.scale(client, now, *count).await?,
            (_, Some(shard), _) => self.split(client, shard).await?,
            (_, _, [one, other]) => self.merge(client, one, other).await?,
            _ => now,
        };
        show(&changed, output)
    }

    async fn scale(
        &self,
        client: &Client,
        mut now: StreamSummary,
        wanted: u32,
    ) -> Result<StreamSummary, CommandError> {
        while now.open_shard_count != wanted {
            let step = step(now.open_shard_count, wanted);
            if step != wanted {
                eprintln!("{} → {step} shards on the way to {wanted}", now.open_shard_count);
            }
            let next = self.changed(client, &UpdateShardCount::new(self.stream.clone(), step)).await?;
            if next.open_shard_count != step {
                return Err(CommandError::Failed(format!(
                    "the stream {} has {} shards instead of {step}: another client changes it too",
                    self.stream, next.open_shard_count
                )));
            }
            now = next;
        }
        Ok(now)
    }

    async fn split(&self, client: &Client, shard: &str) -> Result<StreamSummary, CommandError> {
        let shards = listed(client, &self.stream).await?;
        let shard = open(&shards, shard)?;
        let (first, last) = shard.hash_key_range.bounds().unwrap_or_default();
        let at = self.at.unwrap_or(first + (last - first).div_ceil(2));
        if at <= first || at > last {
            return Err(CommandError::Arguments(format!(
                "{at} does not split {}: it takes hash keys {first} to {last}, and the second half begins above {first}",
                shard.shard_id
            )));
        }
        let split = SplitShard {
            stream_name: self.stream.clone(),
            shard_to_split: shard.shard_id.clone(),
            new_starting_hash_key: at.to_string(),
        };
        self.changed(client, &split).await
    }

    async fn merge(&self, client: &Client, one: &str, other: &str) -> Result<StreamSummary, CommandError> {
        let shards = listed(client, &self.stream).await?;
        let (one, other) = (open(&shards, one)?, open(&shards, other)?);
        let merge = MergeShards {
            stream_name: self.stream.clone(),
            shard_to_merge: one.shard_id.clone(),
            adjacent_shard_to_merge: other.shard_id.clone(),
        };
        self.changed(client, &merge).await
    }

    async fn changed<O: Operation>(
        &self,
        client: &Client,
        change: &O,
    ) -> Result<StreamSummary, CommandError> {
        let done: Result<_, KinesisError> = client.call(change).await;
        match done {
            Ok(_) => settled::active(client, &self.stream).await,
            Err(error) => Err(CommandError::of_call(client, Some(&self.stream), error).await),
        }
    }
}

fn open<'a>(shards: &'a [Shard], named: &str) -> Result<&'a Shard, CommandError> {
    let shard = find(shards, named)?;
    if shard.is_open() {
        return Ok(shard);
    }
    Err(CommandError::Arguments(format!("{} is closed: only an open shard can be changed", shard.shard_id)))
}

/// How many shards one call can reach on the way: at most double, at least half.
fn step(now: u32, wanted: u32) -> u32 {
    wanted.clamp(now.div_ceil(2), now.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_doubles_or_halves_at_most() {
        for (now, wanted, expected) in
            [(1, 2, 2), (1, 10, 2), (3, 10, 6), (10, 1, 5), (5, 2, 3), (4, 2, 2), (2, 3, 3)]
        {
            assert_eq!(step(now, wanted), expected, "{now} → {wanted}");
        }
    }
}
