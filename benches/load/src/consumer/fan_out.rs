//! Enhanced fan-out: a consumer is registered, and each shard is pushed to it on a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tidelog_proto::event_stream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Ending, Read, Reading};
use crate::connection::{Connection, Exchange, Target};
use crate::ledger::ShardLog;
use tidelog_kinesis::operations::{ChildShard, Done, Record, StartingPosition};
use tidelog_kinesis::{Client, KinesisError, Operation};

/// How long a consumer may take to become ACTIVE.
const ACTIVATION_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A silent subscription is looked after so often.
const QUIET: Duration = Duration::from_millis(200);
/// Before subscribing again: a shard takes a subscription of the same consumer every five seconds.
const AGAIN_AFTER: Duration = Duration::from_millis(5_100);
/// For the beginning of an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A registered consumer.
#[derive(Debug)]
pub struct Registered {
    arn: String,
    target: Arc<Target>,
}

#[derive(Debug, Serialize)]
struct Register<'a> {
    #[serde(rename = "StreamARN")]
    stream: &'a str,
    #[serde(rename = "ConsumerName")]
    name: &'a str,
}
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterAnswer {
    consumer: Named,
}
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(rename = "ConsumerARN")]
    arn: String,
}
#[derive(Debug, Serialize)]
struct Describe<'a> {
    #[serde(rename = "ConsumerARN")]
    arn: &'a str,
}
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAnswer {
    consumer_description: Status,
}
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    consumer_status: String,
}
#[derive(Debug, Serialize)]
struct Deregister<'a> {
    #[serde(rename = "ConsumerARN")]
    arn: &'a str,
}

impl Operation for Register<'_> {
    const NAME: &'static str = "RegisterStreamConsumer";
    const IS_REPEATABLE: bool = false;
    type Answer = RegisterAnswer;
}
impl Operation for Describe<'_> {
    const NAME: &'static str = "DescribeStreamConsumer";
    const IS_REPEATABLE: bool = true;
    type Answer = DescribeAnswer;
}
impl Operation for Deregister<'_> {
    const NAME: &'static str = "DeregisterStreamConsumer";
    const IS_REPEATABLE: bool = true;
    type Answer = Done;
}

impl Registered {
    /// Registers a consumer of that name, and waits until it may subscribe.
    ///
    /// # Errors
    /// The endpoint's.
    pub async fn new(client: &Client, target: Arc<Target>, stream: &str, name: &str) -> Result<Self, String> {
        let words = |error: KinesisError| error.to_string();
        let arn = client.call(&Register { stream, name }).await.map_err(words)?.consumer.arn;
        let began = Instant::now();
        loop {
            let described = client.call(&Describe { arn: &arn }).await.map_err(words)?;
            if described.consumer_description.consumer_status == "ACTIVE" {
                return Ok(Self { arn, target });
            }
            if began.elapsed() > ACTIVATION_MAX {
                return Err(format!(
                    "the consumer {name} is not ACTIVE after {} s",
                    ACTIVATION_MAX.as_secs()
                ));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Removes it from the stream.
    ///
    /// # Errors
    /// The endpoint's.
    pub async fn remove(&self, client: &Client) -> Result<(), KinesisError> {
        client.call(&Deregister { arn: &self.arn }).await.map(|Done {}| ())
    }

    async fn subscribe(&self, shard: &str, from: &StartingPosition) -> Result<Incoming, String> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Subscribe<'a> {
            #[serde(rename = "ConsumerARN")]
            arn: &'a str,
            shard_id: &'a str,
            starting_position: Start<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Start<'a> {
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            sequence_number: Option<&'a str>,
        }
        let starting_position = match from {
            StartingPosition::AfterSequenceNumber { number } => {
                Start { r#type: "AFTER_SEQUENCE_NUMBER", sequence_number: Some(number) }
            }
            StartingPosition::TrimHorizon => Start { r#type: "TRIM_HORIZON", sequence_number: None },
            _ => Start { r#type: "LATEST", sequence_number: None },
        };
        let subscribe = Subscribe { arn: &self.arn, shard_id: shard, starting_position };
        let body = serde_json::to_vec(&subscribe).map_err(|error| error.to_string())?;
        let mut connection = Connection::new(self.target.clone(), ANSWER_DEADLINE);
        let answer = timeout(ANSWER_DEADLINE, connection.send("SubscribeToShard", body.into())).await;
        match answer.map_err(|_| "SubscribeToShard is not answered".to_owned())? {
            Exchange::Answered(200, answer) => Ok(answer.into_body()),
            Exchange::Answered(status, answer) => {
                let body = answer.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
                Err(format!("SubscribeToShard was refused: {status} {}", String::from_utf8_lossy(&body)))
            }
            Exchange::NotSent(error) | Exchange::Broken(error) => Err(error),
        }
    }
}

/// A message of a subscription.
enum Said {
    Event(Event),
    Quiet,
    End,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Event {
    records: Vec<Record>,
    continuation_sequence_number: Option<String>,
    child_shards: Vec<ChildShard>,
}

/// Reads until the shard's end or until everything expected was read, by as many subscriptions as it takes.
pub(super) async fn read(
    reading: &Reading,
    registered: &Registered,
    shard: String,
    mut from: StartingPosition,
    ready: Option<mpsc::Sender<()>>,
) -> Result<Read, String> {
    let (mut log, mut ending) = (ShardLog::new(&shard), Ending::new(reading));
    let mut ready = ready;
    loop {
        let subscribed = Instant::now();
        let mut subscription = match registered.subscribe(&shard, &from).await {
            Ok(body) => Subscription { body, pending: BytesMut::new() },
            Err(error) if ready.is_some() || ending.is_reached(&log, &shard, false) => {
                return Err(format!("{shard}: {error}"));
            }
            Err(_) => {
                sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        ready = None;
        loop {
            match subscription.next().await? {
                Said::Event(event) => {
                    if !event.records.is_empty() {
                        ending.note_progress();
                    }
                    for record in &event.records {
                        reading.take(&mut log, &record.sequence_number, &record.data.0);
                    }
                    if !event.child_shards.is_empty() {
                        return Ok(Read { shard, log, children: event.child_shards });
                    }
                    if let Some(number) = event.continuation_sequence_number {
                        from = StartingPosition::AfterSequenceNumber { number };
                    }
                }
                Said::Quiet => {}
                Said::End => break,
            }
            if ending.is_reached(&log, &shard, false) {
                return Ok(Read { shard, log, children: Vec::new() });
            }
        }
        sleep(AGAIN_AFTER.saturating_sub(subscribed.elapsed())).await;
    }
}

/// The body of an answer, event by event.
struct Subscription {
    body: Incoming,
    pending: BytesMut,
}

impl Subscription {
    async fn next(&mut self) -> Result<Said, String> {
        loop {
            if let Some(message) = self.message()? {
                return event(&message);
            }
            match timeout(QUIET, self.body.frame()).await {
                Err(_) => return Ok(Said::Quiet),
                // Cut off or ended after its five minutes: the next subscription goes on behind the last event.
                Ok(None | Some(Err(_))) => return Ok(Said::End),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The first message, once its end has arrived: looking earlier would copy a long one again and again.
    fn message(&mut self) -> Result<Option<event_stream::Message>, String> {
        let Some(length) = self.pending.first_chunk::<4>() else { return Ok(None) };
        if (self.pending.remaining() as u64) < u64::from(u32::from_be_bytes(*length)) {
            return Ok(None);
        }
        let mut bytes: Bytes = std::mem::take(&mut self.pending).freeze();
        let message = event_stream::decode(&mut bytes).map_err(|error| error.to_string())?;
        self.pending = BytesMut::from(&bytes[..]);
        Ok(message)
    }
}

fn event(message: &event_stream::Message) -> Result<Said, String> {
    match (message.header(":message-type"), message.header(":event-type")) {
        (Some("event"), Some("SubscribeToShardEvent")) => {
            serde_json::from_slice(&message.payload).map(Said::Event).map_err(|error| error.to_string())
        }
        // The first message of every subscription.
        (Some("event"), _) => Ok(Said::Quiet),
        // A failure on the endpoint's side ends the subscription, and the next one goes on.
        _ => Ok(Said::End),
    }
}
