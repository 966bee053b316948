//! A producer by gRPC: one call of Records.PutStream, its messages sent when they are due, up to a number unanswered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidelog_proto::v1::put_result::Result as Outcome;
use tidelog_proto::v1::records_client::RecordsClient;
use tidelog_proto::v1::{Acknowledgement, NewRecord, PutResult, PutStreamRequest, PutStreamResponse};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};

use super::body::{Records, plain};
use super::connection::error_text;
use super::ledger::{Answers, fingerprint};
use super::run_state::RunState;
use super::tally::{Counts, Tally};
use tidelog_kinesis::Settings;

/// Bytes that the API allows for a message.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// HTTP/2's windows: the measurement would be of a slow default.
const WINDOW_BYTES: u32 = 4 << 20;
/// Pause before an interrupted call is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The API at an endpoint, as one caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    channel: Channel,
    region: MetadataValue<Ascii>,
    account: Option<MetadataValue<Ascii>>,
}

impl Api {
    /// Connects when it is used. An access key of 12 digits is an account, as in the Kinesis protocol.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read, in words.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let endpoint = Endpoint::from(settings.endpoint.clone())
            .connect_timeout(CONNECT_DEADLINE)
            .tcp_nodelay(true)
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_stream_window_size(WINDOW_BYTES);
        let endpoint = if settings.endpoint.scheme_str() == Some("https") {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(path) = &settings.ca {
                let pem = std::fs::read(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint.tls_config(tls).map_err(|error| error_text(&error))?
        } else {
            endpoint
        };
        let key = &settings.credentials.access_key_id;
        let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self {
            channel: endpoint.connect_lazy(),
            region: settings.region.parse().map_err(|_| "the region's name is not ASCII".to_owned())?,
            account: key.parse().ok().filter(|_| is_account),
        })
    }

    /// Returns a client of the service Records.
    pub fn records(&self) -> RecordsClient<Channel> {
        RecordsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A message, and the call that sends it.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("tidelog-region", self.region.clone());
        if let Some(account) = &self.account {
            request.metadata_mut().insert("tidelog-account", account.clone());
        }
        request
    }
}

/// A producer and the things it needs.
#[derive(Debug)]
pub struct GrpcProducer {
    /// The state of the run.
    pub state: Arc<RunState>,
    /// The counts of the producer's thread.
    pub tally: Arc<Mutex<Tally>>,
    /// The producer's own connection.
    pub api: Api,
    /// The producer's own records.
    pub records: Records,
    /// Messages under way, at least 1.
    pub in_flight: usize,
    /// Bytes of a record, on average.
    pub mean_bytes: f64,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// A message that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    due: Instant,
    sent: Instant,
    first: u64,
    records: usize,
    is_kept: bool,
}

impl GrpcProducer {
    /// Sends records as they become due, until the schedule is over. Returns the answers to its records.
    pub async fn run(mut self) -> Answers {
        let mut answers = Answers::default();
        loop {
            let (sender, messages) = mpsc::channel(self.in_flight);
            let (api, mut client) = (self.api.clone(), self.api.records());
            let mut unanswered = VecDeque::new();
            // Some servers begin to answer with the first message only, which therefore must not wait for that.
            let mut call = std::pin::pin!(client.put_stream(api.request(ReceiverStream::new(messages))));
            let Some(first) = self.state.schedule.next().await else { return answers };
            let message = self.message(first, true, &mut unanswered, &mut answers);
            sender.try_send(message).expect("there is room for one");
            let ended = match call.as_mut().await {
                Ok(replies) => {
                    self.converse(&sender, replies.into_inner(), &mut unanswered, &mut answers).await
                }
                Err(status) => Err(status),
            };
            let Err(status) = ended else { return answers };
            self.given_up(&status, &unanswered, &mut answers);
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn converse(
        &mut self,
        sender: &mpsc::Sender<PutStreamRequest>,
        mut replies: Streaming<PutStreamResponse>,
        unanswered: &mut VecDeque<Unanswered>,
        answers: &mut Answers,
    ) -> Result<(), Status> {
        let mut is_over = false;
        loop {
            let may_send = !is_over && unanswered.len() < self.in_flight;
            if is_over && unanswered.is_empty() {
                return Ok(());
            }
            let patience = unanswered
                .front()
                .map(|oldest| (oldest.sent + self.timeout).saturating_duration_since(Instant::now()));
            tokio::select! {
                due = self.state.schedule.next(), if may_send => match due {
                    Some(due) => {
                        let message = self.message(due, false, unanswered, answers);
                        if sender.send(message).await.is_err() {
                            return Err(replies.message().await.err().unwrap_or_else(|| Status::unknown("the call has ended")));
                        }
                    }
                    None => is_over = true,
                },
                reply = replies.message() => match reply? {
                    Some(reply) => {
                        let oldest = unanswered.pop_front().ok_or_else(|| Status::unknown("an answer without a message"))?;
                        self.settle(oldest, &reply.results, answers);
                    }
                    None => return Err(Status::unknown("the call has ended")),
                },
                () = sleep(patience.unwrap_or_default()), if patience.is_some() => {
                    return Err(Status::deadline_exceeded("no answer in time"));
                }
            }
        }
    }

    fn message(
        &mut self,
        due: Instant,
        is_first: bool,
        unanswered: &mut VecDeque<Unanswered>,
        answers: &mut Answers,
    ) -> PutStreamRequest {
        let load = self.records.load().clone();
        let mut records = Vec::with_capacity(load.batch);
        let (count, first) = self.records.next(self.state.window.ns(due), |place, header, key| {
            let key = str::from_utf8(&key).expect("keys are ASCII").to_owned();
            records.push(NewRecord {
                partition_key: Some(key),
                explicit_hash_key: None,
                data: plain(&load, place, header),
            });
        });
        let is_kept = self.state.keeps(count as u64);
        if is_kept {
            answers.send(first, count);
        }
        let now = Instant::now();
        self.tally.lock().expect("nobody panics with it").sent(due, now, count as u64);
        unanswered.push_back(Unanswered { due, sent: now, first, records: count, is_kept });
        PutStreamRequest {
            stream: if is_first { load.stream.clone() } else { String::new() },
            records,
            producer: None,
            acknowledgement: is_first.then_some(Acknowledgement::Each.into()),
        }
    }

    fn settle(&self, message: Unanswered, results: &[PutResult], answers: &mut Answers) {
        let (mut counts, now) = (Counts::default(), Instant::now());
        let mut tally = self.tally.lock().expect("nobody panics with it");
        for (sequence, result) in (message.first..).zip(results.iter().take(message.records)) {
            match &result.result {
                Some(Outcome::Record(record)) => {
                    counts.acknowledged += 1;
                    tally.placed(message.due, now, &record.shard_id, &record.sequence_number);
                    if message.is_kept {
                        answers.acknowledge(
                            sequence,
                            fingerprint(record.shard_id.as_bytes(), record.sequence_number.as_bytes()),
                        );
                    }
                }
                Some(Outcome::Failure(failure)) if failure.reason == "UNKNOWN_OUTCOME" => {
                    counts.unknown += 1;
                    tally.error(&failure.reason, 1);
                }
                Some(Outcome::Failure(failure)) => {
                    if failure.reason == "THROTTLED" {
                        counts.throttled += 1;
                    } else {
                        counts.failed += 1;
                        tally.error(&failure.reason, 1);
                    }
                    if message.is_kept {
                        answers.refuse(sequence);
                    }
                }
                None => counts.unknown += 1,
            }
        }
        counts.unknown += (message.records - results.len().min(message.records)) as u64;
        tally.settled(message.due, now, counts, counts.acknowledged > 0);
        if self.state.window.second(message.due).is_some() {
            tally.bytes += (counts.acknowledged as f64 * self.mean_bytes) as u64;
        }
        if counts.acknowledged + counts.throttled > 0 {
            self.state.alive(now);
        }
    }

    /// Counts the messages under way as of unknown outcome; where there was no connection, as certainly not
    /// sent.
    fn given_up(&self, status: &Status, unanswered: &VecDeque<Unanswered>, answers: &mut Answers) {
        let (now, words) = (Instant::now(), format!("{:?}: {}", status.code(), status.message()));
        let is_unsent = is_connect_error(status);
        let mut tally = self.tally.lock().expect("nobody panics with it");
        for message in unanswered {
            let records = message.records as u64;
            let counts = if is_unsent {
                if message.is_kept {
                    (message.first..message.first + records).for_each(|sequence| answers.refuse(sequence));
                }
                Counts { failed: records, ..Counts::default() }
            } else {
                Counts { unknown: records, ..Counts::default() }
            };
            tally.settled(message.due, now, counts, false);
            tally.error(&words, records);
        }
        drop(tally);
        self.state.failing(now, &words);
    }
}

fn is_connect_error(status: &Status) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        source = error.source();
    }
    false
}
