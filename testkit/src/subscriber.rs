//! A client of event streams over HTTP/1.1 or HTTP/2, which reads them with the strict decoder.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tidelog_proto::event_stream::{self, Message};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer or an event is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call as a request of HTTP.
pub fn request(address: SocketAddr, operation: &str, input: &Value) -> Request<Full<Bytes>> {
    Request::post(format!("http://{address}/"))
        .header("host", address.to_string())
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(Bytes::from(input.to_string())))
        .unwrap()
}

/// Sends one request on a connection of its own, which lives as long as its answer.
pub async fn post(address: SocketAddr, is_http2: bool, operation: &str, input: &Value) -> Response<Incoming> {
    let request = request(address, operation, input);
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    if is_http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    }
}

/// Status and body of an ordinary answer; an empty one is null.
pub async fn call(address: SocketAddr, operation: &str, input: &Value) -> (u16, Value) {
    let answer = post(address, false, operation, input).await;
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.1");
    let body = timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap().to_bytes();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

/// Reads a body until it ends or is cut off, with a pause before each 64 KiB; the bytes of it.
pub async fn take_all(body: &mut Incoming, pause: Duration) -> usize {
    let (mut bytes, mut paused) = (0, 0);
    while let Some(Ok(frame)) = timeout(PATIENCE, body.frame()).await.expect("an end within bounds") {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if !pause.is_zero() && bytes >= paused + (64 << 10) {
            tokio::time::sleep(pause).await;
            paused = bytes;
        }
    }
    bytes
}

/// A message of the event stream.
#[derive(Debug)]
pub enum Received {
    /// An event with records, or an empty one.
    Event(Event),
    /// An exception of the protocol, which ends the stream.
    Exception {
        /// Name of the exception.
        name: String,
        /// The sentence that comes with it.
        message: String,
    },
}

/// An event of a subscription.
#[derive(Debug)]
pub struct Event {
    /// The event as JSON.
    pub payload: Value,
}

impl Event {
    /// The sequence number after which to go on.
    pub fn continuation(&self) -> Option<&str> {
        self.payload.get("ContinuationSequenceNumber").map(|number| number.as_str().unwrap())
    }

    /// Sequence numbers of the records.
    pub fn numbers(&self) -> Vec<String> {
        self.of_records("SequenceNumber")
    }

    /// The records' data, which has to be text.
    pub fn data(&self) -> Vec<String> {
        let decode = |data: String| base64_simd::STANDARD.decode_to_vec(data).unwrap();
        self.of_records("Data").into_iter().map(|data| String::from_utf8(decode(data)).unwrap()).collect()
    }

    fn of_records(&self, member: &str) -> Vec<String> {
        let records = self.payload["Records"].as_array().unwrap();
        records.iter().map(|record| record[member].as_str().unwrap().to_owned()).collect()
    }
}

/// A subscription that has begun.
pub struct Subscriber {
    body: Incoming,
    read: BytesMut,
}

impl Subscriber {
    /// Subscribes, and takes the `initial-response`.
    pub async fn begin(address: SocketAddr, is_http2: bool, input: &Value) -> Self {
        let answer = post(address, is_http2, "SubscribeToShard", input).await;
        assert_eq!(answer.status(), 200, "{input}");
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "application/vnd.amazon.eventstream");
        assert!(headers.contains_key("x-amzn-requestid") && headers.contains_key("date"));
        assert!(!headers.contains_key("content-length"));
        let mut subscriber = Self { body: answer.into_body(), read: BytesMut::new() };
        let first = subscriber.message().await.expect("a first message");
        assert_eq!(first.header(":message-type"), Some("event"));
        assert_eq!(first.header(":event-type"), Some("initial-response"));
        assert_eq!(first.payload, "{}");
        subscriber
    }

    /// Waits for the next message; `None` when the stream has ended as it should.
    pub async fn next_message(&mut self) -> Option<Received> {
        let message = self.message().await?;
        let payload: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(message.header(":content-type"), Some("application/x-amz-json-1.1"));
        if message.header(":message-type") == Some("exception") {
            let name = message.header(":exception-type").unwrap().to_owned();
            return Some(Received::Exception {
                name,
                message: payload["message"].as_str().unwrap().to_owned(),
            });
        }
        assert_eq!(message.header(":event-type"), Some("SubscribeToShardEvent"));
        Some(Received::Event(Event { payload }))
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        match self.next_message().await {
            Some(Received::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    /// The next message is that exception, and the last.
    pub async fn assert_ends_with(&mut self, exception: &str) {
        match self.next_message().await {
            Some(Received::Exception { name, message }) => {
                assert_eq!((&*name, message.is_empty()), (exception, false));
            }
            other => panic!("{other:?}"),
        }
        assert!(self.next_message().await.is_none(), "an exception is the last message");
    }

    /// Reads everything until the stream ends or is cut off; the bytes of it.
    pub async fn take_all(&mut self) -> usize {
        self.read.len() + take_all(&mut self.body, Duration::ZERO).await
    }

    /// Takes 2 MB per second for that long, and then all that comes; whether it ends as it should.
    pub async fn dawdle(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match timeout(PATIENCE, self.body.frame()).await.expect("an end within bounds") {
                Some(Ok(frame)) if Instant::now() < until => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    tokio::time::sleep(Duration::from_nanos(500 * bytes as u64)).await;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            let mut bytes = self.read.split().freeze();
            let message = event_stream::decode(&mut bytes).unwrap();
            self.read = bytes.into();
            if message.is_some() {
                return message;
            }
            match timeout(PATIENCE, self.body.frame()).await.expect("a message or an end within bounds") {
                Some(frame) => self.read.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => {
                    assert!(self.read.is_empty(), "the last message is whole");
                    return None;
                }
            }
        }
    }
}
