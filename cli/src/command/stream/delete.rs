//! `tidelog stream delete`: DeleteStream, and a wait until it is gone.

use std::io::{self, BufRead, IsTerminal};

use serde_json::json;

use super::{CommandError, Output, settled, summary};
use crate::command::output::{print, print_json};
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::DeleteStream;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Delete {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Do not ask; needed where standard input is no terminal.
    #[arg(long, short)]
    yes: bool,

    /// Delete the stream also when consumers are registered with it.
    #[arg(long)]
    with_consumers: bool,

    /// Do not wait until it is gone.
    #[arg(long)]
    no_wait: bool,
}

impl Delete {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let there = summary(client, &self.stream).await?;
        if !self.yes {
            ask(&self.stream, there.retention_period_hours)?;
        }
        let delete =
            DeleteStream { stream_name: self.stream.clone(), enforce_consumer_deletion: self.with_consumers };
        if let Err(error) = client.call(&delete).await {
            if error.exception() == Some("ResourceInUseException") && there.consumer_count.unwrap_or(0) > 0 {
                return Err(CommandError::Failed(format!(
                    "the stream {} has registered consumers: --with-consumers takes them away with it",
                    self.stream
                )));
            }
            return Err(CommandError::of_call(client, Some(&self.stream), error).await);
        }
        if !self.no_wait {
            settled::gone(client, &self.stream).await?;
        }
        match output {
            Output::Json => print_json(&json!({ "name": self.stream, "deleted": true })),
            Output::Table => print(&format!("deleted {}\n", self.stream)),
        }
    }
}

/// Asks the user to type the name again.
fn ask(stream: &str, retention_hours: u32) -> Result<(), CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Arguments(format!(
            "deleting {stream} takes all its records away; say --yes when that is meant"
        )));
    }
    eprint!("{stream} holds the records of up to {retention_hours} h. Type its name to delete it: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| CommandError::Failed(error.to_string()))?;
    if answer.trim() == stream { Ok(()) } else { Err(CommandError::Failed("nothing was deleted".into())) }
}
