//! The consumers of a run, and the reading back where there are none.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Context;
use crate::connection::Target;
use crate::consumer::{Clock, Expected, How, Reading, Registered, follow, subscribe};
use crate::grpc::Api;
use crate::ledger::{Mark, ShardLog};
use crate::run_state::RunState;
use crate::tally::Tally;
use crate::{BenchError, Consume, Verify};
use tidelog_kinesis::operations::StartingPosition;

/// Between two calls for the same shard: a shard takes five in a second, from all that poll it.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Consumers under way.
pub(super) struct Readers {
    tasks: JoinSet<Result<Vec<ShardLog>, String>>,
    registered: Vec<Arc<Registered>>,
    clock: Arc<OnceLock<Clock>>,
}

impl Readers {
    /// Starts them, and waits until each has its place in every shard.
    pub(super) async fn start(
        context: &Context<'_>,
        expected: watch::Receiver<Expected>,
    ) -> Result<Self, BenchError> {
        let mut readers = Self { tasks: JoinSet::new(), registered: Vec::new(), clock: Arc::default() };
        let Some(consume) = context.arguments.consume() else { return Ok(readers) };
        context.progress.say("waiting for the consumers");
        let poll_every = POLL_EVERY * context.arguments.consumers.into();
        let reading = Arc::new(reading(context, expected, readers.clock.clone(), poll_every));
        let (ready, mut waiting) = mpsc::channel::<()>(1);
        let started = readers.spawn(context, consume, &reading, &ready).await;
        drop(ready);
        if let Err(reason) = started {
            readers.remove(context).await;
            return Err(BenchError::Consumers(reason));
        }
        // Nothing is ever sent: it ends when everybody has dropped their sender.
        waiting.recv().await;
        if let Some(ended) = readers.tasks.try_join_next() {
            readers.remove(context).await;
            return Err(BenchError::Consumers(
                flat(ended).err().unwrap_or_else(|| "they ended at once".into()),
            ));
        }
        Ok(readers)
    }

    async fn spawn(
        &mut self,
        context: &Context<'_>,
        consume: Consume,
        reading: &Arc<Reading>,
        ready: &mpsc::Sender<()>,
    ) -> Result<(), String> {
        let stream = context.arguments.stream.clone();
        for number in 0..context.arguments.consumers {
            let how = match consume {
                Consume::Polling => How::Polling,
                Consume::FanOut => {
                    let target = Target::new(&context.settings, true).map_err(|error| error.to_string())?;
                    let name = format!("bench-{:08x}-{number}", context.load.run);
                    let registered =
                        Arc::new(Registered::new(&context.client, target.into(), &context.arn, &name).await?);
                    self.registered.push(registered.clone());
                    How::FanOut(registered)
                }
                Consume::Grpc => {
                    let (api, reading, stream, ready) =
                        (Api::new(&context.settings)?, reading.clone(), stream.clone(), ready.clone());
                    self.tasks.spawn(async move { subscribe(api, &reading, stream, ready).await });
                    continue;
                }
            };
            let from = context.shards.iter().map(|shard| (shard.clone(), StartingPosition::Latest)).collect();
            let (client, reading) = (context.client.clone(), reading.clone());
            self.tasks.spawn(follow(client, reading, how, stream.clone(), from, Some(ready.clone())));
        }
        Ok(())
    }

    /// The run begins.
    pub(super) fn begin(&self, state: &RunState) {
        let tally = state.tallies.last().expect("the consumers have one").clone();
        let _ = self.clock.set(Clock { window: state.window, tally });
    }

    /// Waits until each has read everything. Returns the records that each has read.
    pub(super) async fn ended(mut self, context: &Context<'_>) -> Result<Vec<Vec<ShardLog>>, String> {
        let mut readings = Ok(Vec::new());
        while let Some(ended) = self.tasks.join_next().await {
            match (flat(ended), &mut readings) {
                (Ok(logs), Ok(readings)) => readings.push(logs),
                (Err(reason), Ok(_)) => readings = Err(reason),
                _ => {}
            }
        }
        self.remove(context).await;
        readings
    }

    /// Consumers of a stream that is deleted go with it.
    async fn remove(&self, context: &Context<'_>) {
        if context.arguments.create {
            return;
        }
        for registered in &self.registered {
            if let Err(error) = registered.remove(&context.client).await {
                eprintln!("a registered consumer is left behind: {error}");
            }
        }
    }
}

/// Reads everything from the first acknowledged record of each shard on.
pub(super) async fn read_back(
    context: &Context<'_>,
    tally: &Tally,
    expected: watch::Receiver<Expected>,
) -> Result<Vec<Vec<ShardLog>>, String> {
    let reading = reading(context, expected, Arc::default(), POLL_EVERY);
    let from = tally.shards.iter().map(|(id, shard)| {
        (id.to_owned(), StartingPosition::AtSequenceNumber { number: shard.first.clone() })
    });
    let stream = context.arguments.stream.clone();
    let logs = follow(context.client.clone(), reading.into(), How::ReadingBack, stream, from.collect(), None)
        .await?;
    Ok(vec![logs])
}

fn reading(
    context: &Context<'_>,
    expected: watch::Receiver<Expected>,
    clock: Arc<OnceLock<Clock>>,
    poll_every: Duration,
) -> Reading {
    let mark = Mark {
        run: context.load.run,
        batch: context.arguments.batch.into(),
        is_alone: context.arguments.create,
        keeps: context.arguments.verify != Verify::Off,
    };
    Reading { mark, load: context.load.clone(), clock, expected, poll_every }
}

fn flat<T>(ended: Result<Result<T, String>, tokio::task::JoinError>) -> Result<T, String> {
    ended.map_err(|error| format!("a consumer ended: {error}"))?
}
