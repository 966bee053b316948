//! A run from its beginning to its result: the stream, the consumers, the load, the reading afterwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::ctrl_c;
use tokio::sync::watch;

use super::body::Load;
use super::consumer::Expected;
use super::ledger::{Answers, Ledger, RECORDS_BY_DEFAULT_MAX, ShardLog, verify};
use super::progress::Progress;
use super::record::Filler;
use super::report::{
    ErrorResult, FORMAT, Machine, Percentiles, RunResult, RunSettings, Totals, Verification, rounded, series,
};
use super::run_state::RunState;
use super::schedule::Schedule;
use super::shard_tally::Shard;
use super::skew::Keys;
use super::tally::{Tally, Window};
use super::{BenchArguments, BenchError, Consume, Verify, stream};
use producing::Producing;
use reading::Readers;
use tidelog_kinesis::{Client, Settings};

mod producing;
mod reading;

/// Shards of a stream that is created without a number.
const SHARDS_BY_DEFAULT: u32 = 4;

/// The state that every part of a run is given.
struct Context<'a> {
    arguments: &'a BenchArguments,
    settings: Settings,
    client: Arc<Client>,
    load: Arc<Load>,
    /// Open at the beginning.
    shards: Vec<String>,
    /// The ARN of the stream.
    arn: String,
    progress: Progress,
}

/// Does everything but to write the result.
pub(super) async fn run(arguments: &BenchArguments) -> Result<RunResult, BenchError> {
    let settings = Settings::of_process(&arguments.connection)?;
    if arguments.unsigned && settings.endpoint.scheme_str() == Some("https") {
        let reason = "--unsigned is for http:// only: whoever asks for https:// looks at signatures";
        return Err(BenchError::Arguments(reason.into()));
    }
    let client = Arc::new(Client::new(settings.clone())?);
    let progress = Progress::new(arguments.progress);
    progress.say("looking for the stream");
    let create = arguments.create.then(|| arguments.shards.unwrap_or(SHARDS_BY_DEFAULT));
    let described = tokio::select! {
        described = stream::prepare(&client, &arguments.stream, create) => described?,
        _ = ctrl_c() => return Err(BenchError::Interrupted),
    };
    let outcome = loaded(arguments, settings, &client, progress, described.arn).await;
    if arguments.create {
        let is_reachable = outcome.as_ref().is_ok_and(|result| result.cut_short.is_none());
        if let Err(error) = stream::delete(&client, &arguments.stream, is_reachable).await {
            eprintln!("the stream {} is left behind: {error}", arguments.stream);
        }
    }
    outcome
}

/// The stream is there.
async fn loaded(
    arguments: &BenchArguments,
    settings: Settings,
    client: &Arc<Client>,
    progress: Progress,
    arn: String,
) -> Result<RunResult, BenchError> {
    let shards = stream::open_shards(client, &arguments.stream).await?;
    let run = rand::random();
    let load = Arc::new(Load {
        stream: arguments.stream.clone(),
        run,
        batch: arguments.batch.into(),
        size: arguments.size,
        keys: Keys::new(arguments.keys, arguments.skew),
        filler: Filler::new(run, arguments.size.most()),
    });
    let context = Context { arguments, settings, client: client.clone(), load, shards, arn, progress };
    let (expect, expected) = watch::channel(None);
    // Consumers are ready before the run begins, and get its times then.
    let readers = tokio::select! {
        readers = Readers::start(&context, expected.clone()) => readers?,
        _ = ctrl_c() => return Err(BenchError::Interrupted),
    };
    let started = jiff::Timestamp::now();
    let state = context.begin();
    readers.begin(&state);
    let answers = context.produce(&state).await?;
    let ended = Instant::now();
    let tally = gathered(&state);
    let acknowledged = |(id, shard): (&str, &Shard)| (id.to_owned(), shard.acknowledged);
    expect.send_replace(Some(Arc::new(tally.shards.iter().map(acknowledged).collect::<HashMap<_, _>>())));
    context.progress.say("reading what was acknowledged");
    let verification = tokio::select! {
        verification = context.verified(&state, readers, answers, &tally, expected) => verification,
        _ = ctrl_c() => Verification::Incomplete { reason: "interrupted while reading".into() },
    };
    context.progress.end();
    // Once more: consumers have read in the meantime.
    Ok(context.result(&state, &gathered(&state), verification, started, ended))
}

/// Adds up the counts of all threads.
fn gathered(state: &RunState) -> Tally {
    let mut merged = Tally::new(state.window);
    for tally in &state.tallies {
        merged.merge(tally.lock().expect("nobody panics with it").clone());
    }
    merged
}

impl Context<'_> {
    /// The time runs.
    fn begin(&self) -> Arc<RunState> {
        let arguments = self.arguments;
        let began = Instant::now();
        let window = Window { began, from: began + arguments.warm_up };
        let length = arguments.warm_up + arguments.duration;
        let schedule = Schedule::start(began, length, arguments.request_rate());
        let kept_max = match arguments.verify {
            Verify::Off => 0,
            Verify::Auto => RECORDS_BY_DEFAULT_MAX,
            Verify::All => u64::MAX,
        };
        Arc::new(RunState::new(window, schedule, usize::from(arguments.threads) + 1, kept_max))
    }

    /// Waits for the producers.
    async fn produce(&self, state: &Arc<RunState>) -> Result<Vec<Answers>, BenchError> {
        let producing = Producing::start(self, state)?;
        let mut producing = std::pin::pin!(producing.ended());
        let length = self.arguments.warm_up + self.arguments.duration;
        loop {
            tokio::select! {
                answers = &mut producing => return Ok(answers),
                () = self.progress.follow(state, length) => {}
                _ = ctrl_c() => state.cut_short("interrupted"),
            }
        }
    }

    async fn verified(
        &self,
        state: &RunState,
        readers: Readers,
        answers: Vec<Answers>,
        tally: &Tally,
        expected: watch::Receiver<Expected>,
    ) -> Verification {
        let live = readers.ended(self).await;
        if self.arguments.verify == Verify::Off {
            return Verification::Off { reason: "--verify off".into() };
        }
        if !state.is_kept() {
            let reason = format!(
                "more than {} records; ask for it with --verify all",
                rounded(RECORDS_BY_DEFAULT_MAX as f64)
            );
            return Verification::Off { reason };
        }
        let readings: Result<Vec<Vec<ShardLog>>, String> = match live {
            Ok(readings) if readings.is_empty() => reading::read_back(self, tally, expected).await,
            live => live,
        };
        match readings {
            Ok(readings) => {
                let ledger = Ledger { batch: self.arguments.batch.into(), answers };
                Verification::Done { verdict: verify(&ledger, &readings) }
            }
            Err(reason) => Verification::Incomplete { reason },
        }
    }

    fn result(
        &self,
        state: &RunState,
        tally: &Tally,
        verification: Verification,
        started: jiff::Timestamp,
        ended: Instant,
    ) -> RunResult {
        let from = state.window.from;
        let elapsed = if state.reason().is_some() {
            ended.saturating_duration_since(from)
        } else {
            let last = tally.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(from));
            last.max(self.arguments.duration)
        };
        let elapsed_s = elapsed.as_secs_f64().max(0.001);
        let unsent = state.schedule.unsent().filter(|due| *due >= from).count() as u64;
        let (counts, (seconds, shards)) = (&tally.total, series(tally));
        let error = |(what, records): (&String, &u64)| ErrorResult { what: what.clone(), records: *records };
        RunResult {
            format: FORMAT,
            tool: concat!("tidelog ", env!("CARGO_PKG_VERSION")).into(),
            started: format!("{started:.0}"),
            cut_short: state.reason().map(Into::into),
            verification,
            settings: self.settings(),
            machine: Machine::here(),
            records: Totals {
                sent: counts.sent,
                acknowledged: counts.acknowledged,
                throttled: counts.throttled,
                failed: counts.failed,
                unknown: counts.unknown,
                unsent: unsent * u64::from(self.arguments.batch),
                received: counts.received,
            },
            requests: tally.requests,
            elapsed_s,
            records_per_s: counts.acknowledged as f64 / elapsed_s,
            bytes_per_s: tally.bytes as f64 / elapsed_s,
            latency_ms: Percentiles::of(&tally.latency),
            end_to_end_ms: Percentiles::of(&tally.end_to_end),
            seconds,
            shards,
            errors: tally.errors.iter().map(error).collect(),
        }
    }

    fn settings(&self) -> RunSettings {
        let arguments = self.arguments;
        let how = |consume| match consume {
            Consume::Polling => "polling",
            Consume::FanOut => "fan-out",
            Consume::Grpc => "grpc",
        };
        RunSettings {
            endpoint: self.settings.endpoint_text(),
            stream: arguments.stream.clone(),
            api: if arguments.grpc { "Records.PutStream".into() } else { "PutRecords".into() },
            is_open_loop: arguments.request_rate().is_some(),
            rate: arguments.request_rate().map(|requests| requests * f64::from(arguments.batch)),
            batch: arguments.batch,
            size: arguments.size.to_string(),
            keys: arguments.keys,
            skew: arguments.skew.to_string(),
            shards: self.shards.len(),
            producers: arguments.producers,
            in_flight: arguments.in_flight.unwrap_or(1),
            threads: arguments.threads,
            consumers: arguments.consumers,
            consume: arguments.consume().map(|consume| how(consume).into()),
            is_signed: !arguments.unsigned && !arguments.grpc,
            warm_up_s: arguments.warm_up.as_secs_f64(),
            duration_s: arguments.duration.as_secs_f64(),
            timeout_s: arguments.timeout.as_secs_f64(),
        }
    }
}
