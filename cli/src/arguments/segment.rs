//! The declaration of `tidelog segment`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use tidelog::offline::segment::GiveUp;

#[derive(Debug, Args)]
pub(super) struct Segment {
    #[command(subcommand)]
    action: Actions,
}

#[derive(Debug, Subcommand)]
enum Actions {
    /// Make reads pass over records that can no longer be read. Stop the broker first.
    ///
    /// A read of a shard fails at damaged records until their file is repaired or an operator gives the records up.
    /// `/health` and `tidelog doctor` name them. Nothing is deleted.
    GiveUp(Records),
}

#[derive(Debug, Args)]
struct Records {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Index of the shard.
    #[arg(long, value_name = "INDEX")]
    shard: u32,

    /// The first record to give up, counted from 1, as `/health` names it.
    #[arg(long, value_name = "RECORD")]
    first: u64,

    /// The last record to give up.
    #[arg(long, value_name = "RECORD")]
    last: u64,

    /// Account of the stream, where streams of several accounts have its name.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// Region of the stream, where streams of several regions have its name.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// Give the records up on a node of a cluster too, because `/health` of every node names them.
    ///
    /// While one node has an undamaged copy, the others replace their damaged one by it.
    #[arg(long)]
    no_copy_left: bool,

    /// Data directory of the broker.
    #[arg(long, value_name = "DIRECTORY", env = "TIDELOG_DATA", default_value = "./tidelog-data")]
    data: PathBuf,
}

impl Segment {
    pub(super) fn into_command(self) -> GiveUp {
        let Actions::GiveUp(records) = self.action;
        let Records { stream, shard, first, last, account, region, no_copy_left, data } = records;
        GiveUp { data, stream, account, region, shard, first, last, has_no_copy: no_copy_left }
    }
}
