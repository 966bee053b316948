//! `tidelog put`: lines of files or of standard input, each as one record.
//!
//! [`input`] reads lines on a thread of its own, [`sender`] keeps the order of each key and several calls in flight,
//! [`ledger`] knows every line that was not acknowledged.

mod call;
mod content;
mod cut;
mod input;
mod key;
mod ledger;
mod pace;
mod progress;
mod queue;
mod sender;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::output::{print, print_json};
use super::stream::summary;
use super::time::span;
use super::{CommandError, Outcome, Output, Shared, figures};
use content::Content;
use cut::Cut;
use input::Input;
use key::KeySource;
use ledger::Ledger;
use pace::{Pace, Rate};
use sender::{Ending, Sender};
use tidelog_kinesis::operations::StreamSummary;

/// The largest record, data and key, of a stream that does not say.
const RECORD_MAX_KIB: u32 = 1024;

/// Arguments of `tidelog put`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    group = clap::ArgGroup::new("keys").args(["key", "key_field"]),
    group = clap::ArgGroup::new("cuts").args(["whole_file", "delimiter", "null", "json_records"]),
    after_help = "Every line is a record, without its end of line; empty lines are skipped. Lines that were not \
                  acknowledged are listed at the end, on standard error. A line may be in the stream twice when its \
                  call was not answered and was retried; the result says how many may be.\n\n\
                  Examples:\n  \
                  tidelog put clicks --key-field user clicks.jsonl           a record of each line\n  \
                  tidelog put images --whole-file --key cat cat.png          a record of each file\n  \
                  find . -print0 | tidelog put names --null                  a record of each name\n  \
                  tidelog tail a --json | tidelog put b --json-records       copy records with their keys\n\n\
                  Exit codes: 0 all lines are acknowledged, 1 failed before the first line was put, 2 wrong arguments, \
                  3 some lines were not acknowledged, 130 ended by Ctrl-C."
)]
pub struct PutArguments {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Files to read, one after the other; standard input without any, or for `-`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Partition key of every record. By default every record has a random key of its own.
    #[arg(long, value_name = "KEY", value_parser = key::fixed)]
    key: Option<String>,

    /// Field of each line, a JSON object, that is the partition key; a number counts as it is written. `user.id` is a
    /// field of a field.
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,

    /// Make one record of each file, or of standard input; an empty one too.
    #[arg(long, conflicts_with = "rejects")]
    whole_file: bool,

    /// Text between two records instead of the end of a line; \n, \r, \t, \0, \\ and \xFF stand for bytes.
    #[arg(long, value_name = "TEXT", value_parser = cut::delimiter)]
    delimiter: Option<String>,

    /// Records end with a zero byte, as `find -print0` writes them.
    #[arg(long, short = '0')]
    null: bool,

    /// The input's pieces are base64 of the data.
    #[arg(long, conflicts_with = "json_records")]
    base64: bool,

    /// The lines are what `tail --json` writes: keys, explicit hash keys where it knows them, and data are put as they
    /// were.
    #[arg(long, conflicts_with = "keys")]
    json_records: bool,

    /// Put at most so many records a second.
    #[arg(long, value_name = "RATE", value_parser = pace::rate)]
    rate: Option<Rate>,

    /// Put records of one key concurrently: faster where few keys have many lines, but throttled records lose their
    /// order.
    #[arg(long)]
    unordered: bool,

    /// Number of calls in flight.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,

    /// Time for retries while nothing is acknowledged.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span)]
    retry_for: Duration,

    /// Write the lines that were not acknowledged into this new file.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    #[command(flatten)]
    shared: Shared,
}

impl PutArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let client = self.shared.client()?;
        let stream = summary(&client, &self.stream).await?;
        let keys = match (&self.key, &self.key_field) {
            (Some(key), _) => KeySource::Fixed(key.clone()),
            (_, Some(field)) => KeySource::Field(field.clone()),
            _ => KeySource::Random,
        };
        let (cut, content) = (self.cut(), self.content());
        let ledger = Ledger::new(self.rejects.as_deref(), cut.delimiter())?;
        let input = Input::open(&self.files, &cut, content.piece_max(record_max(&stream)))?;
        let progress = progress::Progress::start(input.bytes());
        let mut sender = Sender {
            client: &client,
            stream: &self.stream,
            keys,
            content,
            pace: self.rate.map(|rate| Pace::new(rate, tokio::time::Instant::now())),
            keeps_order: !self.unordered,
            record_max: record_max(&stream),
            calls_max: self.in_flight.into(),
            patience: self.retry_for,
            progress: &progress,
            ledger,
        };
        let began = Instant::now();
        let ending = sender.run(input).await;
        progress.end();
        self.report(&mut sender.ledger, ending, began.elapsed())
    }

    fn cut(&self) -> Cut {
        match &self.delimiter {
            // The parser of the arguments has accepted it.
            Some(delimiter) => Cut::Delimiter(cut::unescaped(delimiter).unwrap_or_default()),
            None if self.whole_file => Cut::Whole,
            None if self.null => Cut::Delimiter(vec![0]),
            None => Cut::Lines,
        }
    }

    fn content(&self) -> Content {
        match (self.base64, self.json_records) {
            (true, _) => Content::Base64,
            (_, true) => Content::JsonRecord,
            _ => Content::Plain,
        }
    }

    fn report(&self, ledger: &mut Ledger, ending: Ending, took: Duration) -> Result<Outcome, CommandError> {
        let (named, rejects_error) = ledger.close();
        if self.shared.output == Output::Json {
            print_json(&json!({
                "stream": self.stream,
                "acknowledged": ledger.acknowledged,
                "bytes": ledger.bytes,
                "seconds": took.as_secs_f64(),
                "maybe_twice": ledger.maybe_twice,
                "not_acknowledged": named.json(),
            }))?;
        } else {
            let (lines, bytes) = (figures::of(ledger.acknowledged, "line"), figures::bytes(ledger.bytes));
            let rate = figures::per_second(ledger.acknowledged, took);
            let seconds = took.as_secs_f64();
            print(&format!("{}: {lines} put ({bytes}) in {seconds:.1} s, {rate}/s\n", self.stream))?;
        }
        if ledger.maybe_twice > 0 {
            eprintln!(
                "tidelog: {} may be in the stream twice: the first call with them was not answered",
                figures::of(ledger.maybe_twice, "line")
            );
        }
        if !named.is_empty() {
            eprint!("tidelog: {named}");
            if let (Some(path), None) = (&self.rejects, &rejects_error) {
                eprintln!("  they are in {}, except lines that are too long", path.display());
            }
        }
        if let Some(error) = rejects_error {
            eprintln!("tidelog: {error}");
        }
        Ok(match ending {
            Ending::Interrupted => Outcome::Interrupted,
            _ if !named.is_empty() => Outcome::Partly,
            _ => Outcome::Done,
        })
    }
}

/// In bytes.
fn record_max(stream: &StreamSummary) -> usize {
    stream.max_record_size_in_kib.unwrap_or(RECORD_MAX_KIB) as usize * 1024
}

#[cfg(test)]
mod tests;
