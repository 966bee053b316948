//! `tidelog log give-up`: shows the loss, asks, and makes a node on its own go on without the end of its log.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use tidelog::clock::cluster::instant;
use tidelog::model::shard_id::ShardId;
use tidelog::offline::log::{LostLogError, Prepared};
use tidelog::replication::ShardEnd;
use tokio::runtime::Runtime;

/// The log that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUpLog {
    /// The data directory.
    pub data: PathBuf,
    /// Whether it is done without asking.
    pub is_confirmed: bool,
}

/// Why nothing was given up, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum LogCommandError {
    /// The directory has nothing to give up, or must not lose it, or cannot be used.
    #[error(transparent)]
    Log(#[from] LostLogError),
    /// The loss cannot be shown to the operator, or the question not be asked.
    #[error("cannot ask for a confirmation: {0}")]
    Terminal(#[from] io::Error),
    /// The operator did not confirm it.
    #[error("{0}")]
    Unconfirmed(&'static str),
}

/// Shows the loss, asks, and makes the node go on without it.
///
/// # Errors
/// [`LogCommandError`]. Nothing has changed before the confirmation; after a later failure the command is run
/// again.
pub fn give_up(
    wanted: &GiveUpLog,
    input: &mut impl BufRead,
    output: &mut impl Write,
    runtime: &Runtime,
) -> Result<(), LogCommandError> {
    let mut prepared = Prepared::look(&wanted.data)?;
    output.write_all(prepared.words()?.as_bytes())?;
    if !wanted.is_confirmed {
        confirm(input, output)?;
    }
    prepared.set_aside()?;
    let ends = runtime.block_on(prepared.go_on_without())?;
    Ok(output.write_all(ends_text(&ends).as_bytes())?)
}

fn unconfirmed(reason: &'static str) -> Result<(), LogCommandError> {
    Err(LogCommandError::Unconfirmed(reason))
}

fn confirm(input: &mut impl BufRead, output: &mut impl Write) -> Result<(), LogCommandError> {
    if !io::stdin().is_terminal() {
        return unconfirmed("nothing was changed: give --yes where standard input is no terminal");
    }
    write!(output, "Go on without it? Type yes: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { unconfirmed("nothing was changed") }
}

fn ends_text(ends: &[ShardEnd]) -> String {
    let mut words = String::from("Done: the broker can be started. The end of each open shard:\n");
    for ShardEnd { stream, shard, last } in ends {
        let (name, shard) = (&stream.name, ShardId(*shard));
        let _ = match last {
            None => writeln!(words, "  {name} {shard}: no record"),
            Some((number, time_ms)) => {
                writeln!(words, "  {name} {shard}: up to {number}, which arrived at {}", instant(*time_ms))
            }
        };
    }
    words
}
