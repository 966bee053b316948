//! `tidelog tail`: the records of streams as they lie in them, and as they come.

mod decode;
mod follow;
mod selection;
mod sequence;
pub(super) mod show;
mod template;

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use super::output::{Screen, print_bytes};
use super::shards::{find, listed};
use super::stream::summary;
use super::time::{Beginning, span};
use super::{CommandError, Outcome, Output, Shared};
use decode::Decoding;
use follow::Reader;
use selection::{Last, Pattern, Selection};
use show::{Form, Shown, written};
use template::Template;
use tidelog_kinesis::operations::{Shard, StartingPosition};
use tidelog_kinesis::{Client, Timestamp};

pub(super) use decode::from_base64;

/// Between two calls to the same shard: it answers 5 a second.
const POLL_EVERY: Duration = Duration::from_millis(220);
/// How long a broker may be away before following it is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bound of the streams that are read at once.
const STREAMS_MAX: usize = 32;
/// Where `-n` looks for the last records, one span after the other until there are enough; then from the oldest on.
const LOOKS_BACK: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(900),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(48 * 3600),
];

/// Arguments of `tidelog tail`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    group = clap::ArgGroup::new("forms").args(["json", "raw", "format"]),
    after_help = "Examples:\n  \
        tidelog tail clicks -f                                    follow a stream\n  \
        tidelog tail clicks -n 20 --grep timeout                  the last 20 records with that word\n  \
        tidelog tail clicks orders --last 10m --until 5m          two streams, a span of time\n  \
        tidelog tail clicks --format '{time} {key} {data}'        lines of one's own form\n  \
        tidelog tail clicks --json | tidelog put other --json-records\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 some records could not be decoded and were printed as they \
        are, 130 ended by Ctrl-C."
)]
pub struct TailArguments {
    /// Names of the streams. Records of several are merged by their arrival.
    #[arg(value_name = "STREAM", required = true, num_args = 1..=STREAMS_MAX)]
    streams: Vec<String>,

    /// Beginning: 10m (ago), trim (the oldest record), latest, or a time such as 2026-03-01T12:00:00Z.
    ///
    /// The default is `latest` with --follow, `trim` otherwise, and as far back as needed with --lines.
    #[arg(long, value_name = "PLACE", value_parser = Beginning::parse)]
    from: Option<Beginning>,

    /// Only records that arrived within this span before now, such as 10m.
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "from")]
    last: Option<Duration>,

    /// Only records that arrived before this time, in the forms of --from.
    ///
    /// With --follow the command ends at that time.
    #[arg(long, value_name = "TIME", value_parser = Beginning::parse)]
    until: Option<Beginning>,

    /// Only the last so many records, at most 100,000.
    #[arg(long, short = 'n', value_name = "NUMBER", value_parser = selection::lines)]
    lines: Option<NonZeroUsize>,

    /// Only this shard, by its id or its number; may be repeated.
    #[arg(long, value_name = "SHARD")]
    shard: Vec<String>,

    /// Only records with this partition key; may be repeated.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,

    /// Only records whose data, decoded, matches this regular expression.
    #[arg(long, value_name = "REGEX", value_parser = Pattern::parse)]
    grep: Option<Pattern>,

    /// Decode the data. At most 64 MiB of a record are inflated.
    #[arg(long, value_name = "ENCODING")]
    decode: Option<Decoding>,

    /// Print one JSON object a line, as --output json does.
    #[arg(long)]
    json: bool,

    /// Print only the data, byte for byte, with an end of line after each record.
    #[arg(long, conflicts_with = "output")]
    raw: bool,

    /// Print each record by this template of {time}, {stream}, {shard}, {sequence_number}, {part}, {key}, {data} and
    /// {base64}.
    #[arg(long, value_name = "TEMPLATE", value_parser = Template::parse, conflicts_with = "output")]
    format: Option<Template>,

    /// Follow the streams for new records until Ctrl-C. By default the command ends at the newest record.
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
        if self.streams.len() > 1 && !self.shard.is_empty() {
            return Err(CommandError::Arguments(
                "--shard names shards of one stream, and there are several".into(),
            ));
        }
        let now = jiff::Timestamp::now();
        let positions = self.positions(now).map_err(CommandError::Arguments)?;
        let until = self.until.map(|until| until.end(now)).transpose().map_err(CommandError::Arguments)?;
        let mut selection = Selection::new(&self.key, self.grep.clone(), self.decode);
        let outcome = tokio::select! {
            ended = self.read(&client, &positions, until, &mut selection) => ended.map(|()| Outcome::Done),
            _ = ctrl_c() => Ok(Outcome::Interrupted),
        };
        match (outcome?, selection.report()) {
            (Outcome::Done, Some(report)) => {
                eprintln!("tidelog: {report}");
                Ok(Outcome::Partly)
            }
            (outcome, _) => Ok(outcome),
        }
    }

    /// Where reading begins; several places are tried one after the other until the last records are found.
    fn positions(&self, now: jiff::Timestamp) -> Result<Vec<StartingPosition>, String> {
        let from = match (self.from, self.last) {
            (Some(from), _) => from,
            (_, Some(span)) => Beginning::Ago(span),
            _ if self.lines.is_some() => {
                let spans = LOOKS_BACK.into_iter().map(Beginning::Ago).chain([Beginning::Trim]);
                return spans.map(|from| from.position(now)).collect();
            }
            _ if self.follow => Beginning::Latest,
            _ => Beginning::Trim,
        };
        from.position(now).map(|position| vec![position])
    }

    async fn read(
        &self,
        client: &Client,
        positions: &[StartingPosition],
        until: Option<Timestamp>,
        selection: &mut Selection,
    ) -> Result<(), CommandError> {
        let form = self.form();
        for (attempt, position) in positions.iter().enumerate() {
            let mut readers = self.readers(client, position, until).await?;
            let mut last = self.lines.map(Last::new);
            while readers.iter().any(Reader::is_going_on) {
                let next = Instant::now() + POLL_EVERY;
                let records = polled(&mut readers).await?;
                let records = records.into_iter().filter_map(|shown| selection.selected(shown));
                match &mut last {
                    Some(last) => last.extend(records),
                    None => print(records, &form)?,
                }
                if last.is_some() && readers.iter_mut().all(Reader::is_at_tip) {
                    // There may be more records before: the next attempt begins earlier.
                    if last.as_ref().is_some_and(|last| !last.is_full()) && attempt + 1 < positions.len() {
                        break;
                    }
                    print(last.take().into_iter().flatten(), &form)?;
                }
                if readers.iter().any(Reader::is_going_on) {
                    sleep_until(next).await;
                }
            }
            match last {
                Some(last) if !last.is_full() && attempt + 1 < positions.len() => selection.forget(),
                last => return print(last.into_iter().flatten(), &form),
            }
        }
        Ok(())
    }

    /// A reader for each stream.
    async fn readers<'a>(
        &'a self,
        client: &'a Client,
        position: &StartingPosition,
        until: Option<Timestamp>,
    ) -> Result<Vec<Reader<'a>>, CommandError> {
        let mut readers = Vec::with_capacity(self.streams.len());
        for stream in &self.streams {
            summary(client, stream).await?;
            let shards = listed(client, stream).await?;
            let only: Result<Vec<Shard>, _> =
                self.shard.iter().map(|named| find(&shards, named).cloned()).collect();
            let only = only?;
            let mut reader = Reader::new(client, stream, position.clone(), self.follow);
            reader.restrict(!only.is_empty());
            reader.begin(if only.is_empty() { shards } else { only });
            if let Some(until) = until {
                reader.end_at(until);
            }
            if self.streams.len() > 1 {
                reader.label();
            }
            readers.push(reader);
        }
        Ok(readers)
    }

    fn form(&self) -> Form {
        match (&self.format, self.shared.output) {
            (Some(template), _) => Form::Template(template.clone()),
            _ if self.raw => Form::Raw,
            (None, Output::Table) if !self.json => Form::Human(Screen::of_process()),
            _ => Form::Json,
        }
    }
}

/// A poll of each reader, the records of all merged by their arrival.
async fn polled(readers: &mut [Reader<'_>]) -> Result<Vec<Shown>, CommandError> {
    let polls = readers.iter_mut().filter(|reader| reader.is_going_on()).map(Reader::poll);
    let mut polled = try_join_all(polls).await?;
    if polled.len() == 1 {
        return Ok(polled.pop().unwrap_or_default());
    }
    let mut records: Vec<Shown> = polled.into_iter().flatten().collect();
    // Stable, and each reader's records keep their order unless the service's clock went back.
    records.sort_by_key(|shown| shown.arrival);
    Ok(records)
}

fn print(records: impl Iterator<Item = Shown>, form: &Form) -> Result<(), CommandError> {
    let text: Vec<u8> = records.flat_map(|shown| written(&shown, form)).collect();
    if text.is_empty() { Ok(()) } else { print_bytes(&text) }
}
