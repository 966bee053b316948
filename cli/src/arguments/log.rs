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
    /// Let a lone node continue without the lost end of its log. Stop the broker first.
    ///
    /// A broker whose write-ahead log lacks something durable refuses to start. Putting the files back, or restoring
    /// the data directory from a copy, loses nothing; this command is for cases where neither is possible. It lists the
    /// losses and asks before it changes anything. The removed part is kept in the directory `lost` of the data
    /// directory. No sequence number is given out twice. If the command is interrupted, run it again: the broker
    /// refuses to start until it has finished.
    GiveUp(Directory),
}

#[derive(Debug, Args)]
struct Directory {
    /// Data directory of the broker.
    #[arg(long, value_name = "DIRECTORY", env = "TIDELOG_DATA", default_value = "./tidelog-data")]
    data: PathBuf,

    /// Do not ask; needed where standard input is no terminal.
    #[arg(long)]
    yes: bool,
}

impl Log {
    pub(super) fn into_command(self) -> GiveUpLog {
        let Actions::GiveUp(Directory { data, yes }) = self.action;
        GiveUpLog { data, is_confirmed: yes }
    }
}
