//! `tidelog stream create`: CreateStream, then the retention, then a wait for both.

use super::describe::show;
use super::{CommandError, Output, retention, settled};
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{CreateStream, Mode};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Create {
    /// Name of the stream: letters, digits, `_`, `.` and `-`, at most 128.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Number of shards. Each takes 1 MiB and 1,000 records a second.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    shards: u32,

    /// Let the load determine the number of shards instead.
    #[arg(long, conflicts_with = "shards")]
    on_demand: bool,

    /// Time for which records are kept, such as 24h or 7d; 24h by default.
    #[arg(long, value_name = "SPAN", value_parser = retention::hours)]
    retention: Option<u32>,

    /// Do not wait until it takes records.
    #[arg(long, conflicts_with = "retention")]
    no_wait: bool,
}

impl Create {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let mode = if self.on_demand { Mode::OnDemand } else { Mode::Provisioned };
        let create = CreateStream {
            stream_name: self.stream.clone(),
            shard_count: (!self.on_demand).then_some(self.shards),
            stream_mode_details: mode.into(),
        };
        if let Err(error) = client.call(&create).await {
            if error.exception() == Some("ResourceInUseException") {
                let there = "is there already, or was deleted a moment ago";
                return Err(CommandError::Failed(format!("a stream {} {there}", self.stream)));
            }
            return Err(CommandError::of_call(client, None, error).await);
        }
        let mut now = if self.no_wait {
            super::summary(client, &self.stream).await?
        } else {
            settled::active(client, &self.stream).await?
        };
        if let Some(hours) = self.retention {
            now = retention::set(client, &now, hours).await?;
        }
        show(&now, output)
    }
}
