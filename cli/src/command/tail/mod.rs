//! `tidelog tail`: the records of a stream as they lie in it, and as they come.

mod follow;
mod sequence;
pub(super) mod show;

use std::time::Duration;

use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use super::output::{Screen, print_bytes};
use super::shards::{find, listed};
use super::stream::summary;
use super::time::Beginning;
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};
use follow::Reader;
use show::{Form, Shown, written};
use tidelog_kinesis::operations::Shard;

/// Between two calls to the same shard: it answers 5 a second.
const POLL_EVERY: Duration = Duration::from_millis(220);
/// How long a broker may be away before following it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `tidelog tail`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct TailArguments {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Beginning: 10m (ago), trim (the oldest record), latest, or a time such as 2026-03-01T12:00:00Z.
    ///
    /// The default is `latest` with --follow, `trim` otherwise.
    #[arg(long, value_name = "PLACE", value_parser = Beginning::parse)]
    from: Option<Beginning>,

    /// Only this shard, by its id or its number; may be repeated.
    #[arg(long, value_name = "SHARD")]
    shard: Vec<String>,

    /// Only records with this partition key; may be repeated.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,

    /// Print one JSON object a line, as --output json does.
    #[arg(long)]
    json: bool,

    /// Print only the data, byte for byte, with an end of line after each record.
    #[arg(long, conflicts_with_all = ["json", "output"])]
    raw: bool,

    /// Follow the stream for new records until Ctrl-C. By default the command ends at the newest record.
    #[arg(long, short)]
    follow: bool,

    #[command(flatten)]
    shared: Shared,
}

impl TailArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let mut client = self.shared.client()?;
        if self.follow {
            client = client.with_patience(PATIENCE);
        }
        let from = self.from.unwrap_or(if self.follow { Beginning::Latest } else { Beginning::Trim });
        let position = from.position(jiff::Timestamp::now()).map_err(CommandError::Arguments)?;
        summary(&client, &self.stream).await?;
        let shards = listed(&client, &self.stream).await?;
        let only = self
            .shard
            .iter()
            .map(|named| find(&shards, named).cloned())
            .collect::<Result<Vec<Shard>, _>>()?;
        let mut reader = Reader::new(&client, &self.stream, position, self.follow);
        reader.begin(if only.is_empty() { shards } else { only.clone() });
        reader.restrict(!only.is_empty());
        tokio::select! {
            ended = self.read(&mut reader) => ended.map(|()| Outcome::Done),
            _ = ctrl_c() => Ok(Outcome::Interrupted),
        }
    }

    async fn read(&self, reader: &mut Reader<'_>) -> Result<(), CommandError> {
        let form = match self.shared.output {
            _ if self.raw => Form::Raw,
            Output::Table if !self.json => Form::Human(Screen::of_process()),
            _ => Form::Json,
        };
        while reader.is_going_on() {
            let next = Instant::now() + POLL_EVERY;
            let records = reader.poll().await?;
            let is_wanted = |shown: &Shown| self.key.is_empty() || self.key.contains(&shown.key);
            let mut text = Vec::new();
            for shown in records.into_iter().filter(is_wanted) {
                text.extend(written(&shown, form));
            }
            if !text.is_empty() {
                print_bytes(&text)?;
            }
            if reader.is_going_on() {
                sleep_until(next).await;
            }
        }
        Ok(())
    }
}
