//! `tidelog stream mode`: UpdateStreamMode.

use super::describe::show;
use super::{CommandError, Output, settled, summary};
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{Mode, UpdateStreamMode};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct ChangeMode {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// The new mode. The present shards stay.
    #[arg(value_name = "MODE")]
    mode: Mode,
}

impl ChangeMode {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let now = summary(client, &self.stream).await?;
        if now.stream_mode_details.is_some_and(|details| details.stream_mode == self.mode) {
            return show(&now, output);
        }
        let update = UpdateStreamMode { stream_arn: now.stream_arn, stream_mode_details: self.mode.into() };
        if let Err(error) = client.call(&update).await {
            return Err(CommandError::of_call(client, Some(&self.stream), error).await);
        }
        show(&settled::active(client, &self.stream).await?, output)
    }
}
