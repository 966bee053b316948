//! `tidelog bench` as it is typed, and the plan that comes of it when its parts agree.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::body::{KEY_CHARACTERS, REQUEST_BYTES_MAX};
use super::size::Size;
use super::skew::Skew;
use crate::output::Output;
use tidelog_kinesis::ConnectionArguments;

/// The load, its target, and the places of the result.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct BenchArguments {
    /// Stream to load.
    #[arg(default_value = "tidelog-bench", value_name = "STREAM")]
    pub stream: String,

    /// Records a second of all producers, due at equal intervals whether or not the endpoint keeps up (open loop); or
    /// `max`: each producer sends its next request when the one before is answered (closed loop).
    ///
    /// Latencies count from the moment a request was due. In a closed loop they count from sending, and say nothing
    /// about the waits of callers at a given rate.
    #[arg(long, default_value = "1000", value_name = "RATE|max", help_heading = "Load")]
    pub rate: Rate,

    /// Records of a request, 1 to 500.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500), help_heading = "Load")]
    pub batch: u16,

    /// Bytes of a record: `1KiB`, `uniform:100-2000` or `lognormal:MEDIAN:SIGMA`.
    #[arg(long, default_value = "1KiB", value_name = "SIZE", help_heading = "Load")]
    pub size: Size,

    /// Partition keys to choose from.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Load")]
    pub keys: u32,

    /// Distribution of the keys: `uniform`, or `zipf:S`, where the key of rank k comes in proportion to 1/k^S.
    #[arg(long, default_value = "uniform", value_name = "SKEW", help_heading = "Load")]
    pub skew: Skew,

    /// Connections that put records, each with one request in flight. The load of `--rate max` depends on it.
    #[arg(long, visible_alias = "concurrency", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000), help_heading = "Load")]
    pub producers: u16,

    /// Threads that the producers share.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Load")]
    pub threads: u16,

    /// Put by gRPC (Records.PutStream of tidelog.v1) instead of PutRecords. Only Tidelog speaks it.
    #[arg(long, help_heading = "Load")]
    pub grpc: bool,

    /// With --grpc: messages that a producer has in flight. [default: 1]
    #[arg(long, requires = "grpc", value_parser = clap::value_parser!(u16).range(1..=1_000), value_name = "N", help_heading = "Load")]
    pub in_flight: Option<u16>,

    /// Time before measuring begins.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME", help_heading = "Load")]
    pub warm_up: Duration,

    /// Time of the measurement.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME", help_heading = "Load")]
    pub duration: Duration,

    /// Time to wait for an answer; after that the outcome counts as unknown.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME", help_heading = "Load")]
    pub timeout: Duration,

    /// Create the stream, and delete it afterwards. It must not exist.
    #[arg(long, help_heading = "Stream")]
    pub create: bool,

    /// With --create: shards of the stream. [default: 4]
    #[arg(long, requires = "create", value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N", help_heading = "Stream")]
    pub shards: Option<u32>,

    /// Consumers that read while records are put, each the whole stream.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=20), value_name = "N", help_heading = "Reading")]
    pub consumers: u16,

    /// Calls of the consumers: GetRecords at most 5 times a second and shard, SubscribeToShard, or Records.Subscribe of
    /// tidelog.v1. [default: polling]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Reading")]
    pub consume: Option<Consume>,

    /// Check that every acknowledged record is read exactly once, in its place, with its bytes, in order; without
    /// consumers by reading everything back at the end. `auto` gives up above 5 million records.
    #[arg(long, value_enum, default_value_t = Verify::Auto, value_name = "WHEN", help_heading = "Reading")]
    pub verify: Verify,

    /// Do not sign requests, for endpoints that do not check signatures: signing costs a SHA-256 of every body. Not
    /// with https://.
    #[arg(long, help_heading = "Connection")]
    pub unsigned: bool,

    /// Where it goes.
    #[command(flatten)]
    pub connection: ConnectionArguments,

    /// Write the result as JSON, `-` for standard output (the summary goes to standard error then).
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub json: Option<PathBuf>,

    /// Form of the result on standard output: for people, or JSON, as `--json -` writes it.
    #[arg(long, value_name = "FORM", default_value = "table", help_heading = "Result")]
    pub output: Output,

    /// Write the result as one page with charts that loads nothing else.
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub html: Option<PathBuf>,

    /// Set the result beside that of an earlier run, as --json wrote it.
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub compare: Option<PathBuf>,

    /// Show progress although standard error is no terminal: a line a second.
    #[arg(long, help_heading = "Result")]
    pub progress: bool,
}

/// How fast records are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Records a second, in an open loop.
    PerSecond(f64),
    /// Requests follow each other as fast as they are answered: a closed loop.
    Max,
}

// No NaN gets past the parser.
impl Eq for Rate {}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = text.replace('_', "").parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
        rate.map(Self::PerSecond).ok_or_else(|| "expected records a second, 0.001 to 1e9, or max".into())
    }
}

/// How consumers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Consume {
    /// GetRecords.
    Polling,
    /// SubscribeToShard by a registered consumer.
    FanOut,
    /// Records.Subscribe of tidelog.v1.
    Grpc,
}

/// Whether the records are verified against the acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// Unless there are too many records.
    Auto,
    /// However many there are: 8 bytes of memory each, and 24 for each reading.
    All,
    /// Not at all.
    Off,
}

impl BenchArguments {
    /// How consumers read, if there are any.
    pub fn consume(&self) -> Option<Consume> {
        (self.consumers > 0).then(|| self.consume.unwrap_or(Consume::Polling))
    }

    /// Requests a second; `None` in a closed loop.
    pub fn request_rate(&self) -> Option<f64> {
        match self.rate {
            Rate::PerSecond(rate) => Some(rate / f64::from(self.batch)),
            Rate::Max => None,
        }
    }

    /// Whether the parts agree with each other; clap has checked each of them.
    ///
    /// # Errors
    /// The two arguments that contradict each other, in words.
    pub fn check(&self) -> Result<(), String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if self.stream.is_empty() || self.stream.len() > 128 || !self.stream.bytes().all(is_name) {
            return Err(format!(
                "{:?} is no stream's name: 1 to 128 of a-z, A-Z, 0-9, '_', '.' and '-'",
                self.stream
            ));
        }
        if self.consume.is_some() && self.consumers == 0 {
            return Err(
                "--consume says how consumers read, and there are none: give --consumers as well".into()
            );
        }
        if self.threads > self.producers {
            return Err(format!(
                "{} threads have nothing to do for {} producers",
                self.threads, self.producers
            ));
        }
        if self.duration < Duration::from_secs(1) {
            return Err("--duration is at least 1s".into());
        }
        if self.timeout.is_zero() {
            return Err("--timeout is more than nothing".into());
        }
        let batch = usize::from(self.batch);
        let mean = (self.size.mean() as usize + KEY_CHARACTERS) * batch;
        if mean > REQUEST_BYTES_MAX {
            return Err(format!(
                "{batch} records of {} are more than the 10 MiB of a request: choose a smaller --batch or --size",
                self.size
            ));
        }
        if self.output == Output::Json && self.json.as_deref().is_some_and(|path| path.as_os_str() == "-") {
            return Err("--output json and --json - are the same: give one of them".into());
        }
        if self.json.is_some() && self.json == self.html {
            return Err("--json and --html name the same file".into());
        }
        Ok(())
    }
}

/// A time: `500ms`, `10s`, `2m`, `1h`; up to a week.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no time, such as 500ms, 10s or 2m");
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(expected()),
    };
    let number: f64 = digits.parse().map_err(|_| expected())?;
    let seconds = number * unit;
    if (0.0..=604_800.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        bench: BenchArguments,
    }

    fn parsed(arguments: &str) -> Result<BenchArguments, String> {
        let arguments = ["bench"].into_iter().chain(arguments.split_whitespace());
        let line = CommandLine::try_parse_from(arguments).map_err(|error| error.to_string())?;
        line.bench.check().map(|()| line.bench)
    }

    #[test]
    fn arguments_that_agree_are_taken() {
        let bench = parsed("").expect("the defaults agree");
        assert_eq!(
            (bench.stream.as_str(), bench.consume(), bench.request_rate()),
            ("tidelog-bench", None, Some(100.0))
        );
        let bench = parsed(
            "orders --rate max --concurrency 4 --batch 500 --duration 1m --warm-up 0s --create --shards 8",
        );
        let bench = bench.expect("they agree");
        assert_eq!((bench.rate, bench.producers, bench.duration.as_secs()), (Rate::Max, 4, 60));
        assert_eq!(parsed("--rate 1_000.5").expect("a rate").rate, Rate::PerSecond(1000.5));
        assert_eq!(parsed("--consumers 2").expect("they agree").consume(), Some(Consume::Polling));
        assert_eq!(
            parsed("--consumers 2 --consume fan-out").expect("they agree").consume(),
            Some(Consume::FanOut)
        );
    }

    #[test]
    fn contradictions_are_named() {
        for (arguments, words) in [
            ("--rate 0", "expected records a second"),
            ("--rate NaN", "expected records a second"),
            ("--batch 501", "501 is not in 1..=500"),
            ("--size 10", "at least 30 bytes"),
            ("--duration 0s", "at least 1s"),
            ("--duration 5", "is no time"),
            ("--timeout 0s", "more than nothing"),
            ("--shards 4", "--create"),
            ("--in-flight 4", "--grpc"),
            ("--consume polling", "give --consumers as well"),
            ("--producers 2 --threads 3", "nothing to do"),
            ("--batch 500 --size 100KiB", "more than the 10 MiB"),
            ("a/b", "is no stream's name"),
            ("--json x --html x", "the same file"),
            ("--json - --output json", "are the same"),
        ] {
            let error = parsed(arguments).expect_err(arguments);
            assert!(error.contains(words), "{arguments}: {error}");
        }
    }
}
