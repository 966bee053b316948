//! The declaration of `tidelog log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::command::log::GiveUpLog;

#[derive(Debug, Args)]
pub(super) struct Log {
    #[command(subcommand)]
    action: Actions,
}

#[derive(Debug, Subcommand)]
enum Actions {
    /// Let a node on its own go on without the lost end of its log. Stop the broker first.
    ///
    /// A broker whose write-ahead log lacks something that was durable refuses to start. Putting the files back, or
    /// restoring the data directory from a copy, loses nothing; this command is for when neither can be done. It says what
    /// is lost and asks before it changes anything. What is cut off is kept in the directory `lost` of the data
    /// directory. No sequence number is given out twice. If the command is cut short, run it again: the broker
    /// refuses to start until it has finished.
    GiveUp(Directory),
}

#[derive(Debug, Args)]
struct Directory {
    /// Data directory of the broker.
    #[arg(long, value_name = "DIRECTORY", env = "TIDELOG_DATA", default_value = "./tidelog-data")]
    data: PathBuf,

    /// Do it without asking; needed where standard input is no terminal.
    #[arg(long)]
    yes: bool,
}

impl Log {
    pub(super) fn into_command(self) -> GiveUpLog {
        let Actions::GiveUp(Directory { data, yes }) = self.action;
        GiveUpLog { data, is_confirmed: yes }
    }
}
