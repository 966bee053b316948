//! The threads that producers share, each with a runtime of its own.

use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Context;
use crate::BenchError;
use crate::body::{Bodies, Load, Records};
use crate::connection::{Connection, Target};
use crate::grpc::{Api, GrpcProducer};
use crate::ledger::Answers;
use crate::producer::Producer;
use crate::run_state::RunState;
use crate::tally::Tally;
use tidelog_kinesis::Settings;

/// Producers under way.
pub(super) struct Producing {
    threads: Vec<oneshot::Receiver<Vec<(u16, Answers)>>>,
    producers: usize,
}

/// The things that each producer is made from.
#[derive(Clone)]
struct Makings {
    state: Arc<RunState>,
    load: Arc<Load>,
    how: How,
    timeout: std::time::Duration,
}

#[derive(Clone)]
enum How {
    Kinesis(Arc<Target>),
    Grpc { settings: Box<Settings>, in_flight: usize },
}

impl Producing {
    /// Starts the threads.
    pub(super) fn start(context: &Context<'_>, state: &Arc<RunState>) -> Result<Self, BenchError> {
        let arguments = context.arguments;
        let how = if arguments.grpc {
            let in_flight = arguments.in_flight.unwrap_or(1).into();
            How::Grpc { settings: Box::new(context.settings.clone()), in_flight }
        } else {
            How::Kinesis(Arc::new(Target::new(&context.settings, !arguments.unsigned)?))
        };
        let makings =
            Makings { state: state.clone(), load: context.load.clone(), how, timeout: arguments.timeout };
        let mut threads = Vec::new();
        for thread in 0..arguments.threads {
            let numbers: Vec<u16> =
                (0..arguments.producers).filter(|number| number % arguments.threads == thread).collect();
            let tally = state.tallies[usize::from(thread)].clone();
            let (done, ended) = oneshot::channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(BenchError::Runtime)?;
            let makings = makings.clone();
            thread::spawn(move || {
                // The receiver is gone when the run was interrupted.
                let _ = done.send(runtime.block_on(makings.run(&numbers, &tally)));
            });
            threads.push(ended);
        }
        Ok(Self { threads, producers: arguments.producers.into() })
    }

    /// Waits for all of them. Returns the answers to their records, by producer.
    pub(super) async fn ended(self) -> Vec<Answers> {
        let mut answers: Vec<Answers> = (0..self.producers).map(|_| Answers::default()).collect();
        for thread in self.threads {
            for (number, own) in thread.await.expect("a producers' thread does not panic") {
                answers[usize::from(number)] = own;
            }
        }
        answers
    }
}

impl Makings {
    async fn run(&self, numbers: &[u16], tally: &Arc<Mutex<Tally>>) -> Vec<(u16, Answers)> {
        let mut producers = JoinSet::new();
        for number in numbers.iter().copied() {
            let records = Records::new(self.load.clone(), number);
            let (state, tally, mean_bytes) = (self.state.clone(), tally.clone(), self.load.size.mean());
            match &self.how {
                How::Kinesis(target) => {
                    let connection = Connection::new(target.clone(), self.timeout);
                    let producer =
                        Producer { state, tally, connection, bodies: Bodies::new(records), mean_bytes };
                    producers.spawn(async move { (number, producer.run().await) });
                }
                How::Grpc { settings, in_flight } => {
                    let api = match Api::new(settings) {
                        Ok(api) => api,
                        Err(error) => {
                            state.cut_short(&error);
                            continue;
                        }
                    };
                    let (in_flight, timeout) = (*in_flight, self.timeout);
                    let producer =
                        GrpcProducer { state, tally, api, records, in_flight, mean_bytes, timeout };
                    producers.spawn(async move { (number, producer.run().await) });
                }
            }
        }
        producers.join_all().await
    }
}
