//! Input outside of the service model is refused in AWS's words: every bound of every member, in both codecs.

use std::collections::BTreeSet;

use tidelog::limits::BODY_BYTES_MAX;
use tidelog_proto::{Codec, Document};

use crate::broker::{Broker, Client, post_bytes, post_document};
use crate::model::{Broken, Model};

/// AWS serves it in JSON only.
const JSON_ONLY: &str = "SubscribeToShard";
/// Requests that are sent before their answers are read.
const BATCH: usize = 32;
/// Bytes from which a request is sent on its own.
const LARGE: usize = 16 * 1024;
const CODECS: [Codec; 2] = [Codec::Json, Codec::Cbor];

fn codecs(operation: &str) -> impl Iterator<Item = Codec> {
    let is_json_only = operation == JSON_ONLY;
    CODECS.into_iter().filter(move |codec| !is_json_only || *codec == Codec::Json)
}

/// Requests on one connection, each with the answer that it must get.
struct Pipeline<T> {
    client: Client,
    waiting: Vec<(Codec, T)>,
    check: fn(&T, u16, Option<&Document>),
    sent: usize,
}

impl<T> Pipeline<T> {
    async fn new(broker: &Broker, check: fn(&T, u16, Option<&Document>)) -> Self {
        Self { client: broker.client().await, waiting: Vec::new(), check, sent: 0 }
    }

    async fn send(&mut self, request: Vec<u8>, codec: Codec, expected: T) {
        if request.len() > LARGE {
            self.drain().await;
        }
        let is_full = self.waiting.len() + 1 == BATCH || request.len() > LARGE;
        self.client.send(request).await;
        self.waiting.push((codec, expected));
        self.sent += 1;
        if is_full {
            self.drain().await;
        }
    }

    async fn drain(&mut self) {
        for (codec, expected) in self.waiting.drain(..) {
            let (status, answer) = self.client.answer().await.document(codec);
            (self.check)(&expected, status, answer.as_ref());
        }
    }
}

fn text<'a>(answer: Option<&'a Document>, member: &str) -> Option<&'a str> {
    match answer?.get(member)? {
        Document::Text(text) => Some(text),
        other => panic!("{member} is a text: {other:?}"),
    }
}

/// The violations that a message names, without the values.
fn violations(message: &str) -> BTreeSet<&str> {
    let (_, list) = message.split_once(" detected: ").unwrap_or_else(|| panic!("{message}"));
    list.split("; ").filter_map(|violation| Some(&violation[violation.rfind(" at '")? + 1..])).collect()
}

#[tokio::test]
async fn every_bound_is_reported_one_past_its_limit() {
    let (broker, model) = (Broker::start().await, Model::read());
    let mut pipeline = Pipeline::<(String, Broken)>::new(&broker, |(operation, broken), status, answer| {
        let Broken { path, constraint, .. } = broken;
        let shown = format!("{operation} {path} {constraint}: {:.500}", format!("{answer:?}"));
        assert_eq!((status, text(answer, "__type")), (400, Some("ValidationException")), "{shown}");
        let expected = format!("at '{path}' failed to satisfy constraint: {constraint}");
        let message = text(answer, "message").expect("a message");
        assert!(violations(message).contains(expected.as_str()), "{shown}");
    })
    .await;
    for (operation, _) in model.operations() {
        for broken in model.broken(operation) {
            for codec in codecs(operation) {
                let request = post_document(operation, &broken.request, codec);
                // None of today's model is; the longest are data of 10 MiB and lists of 10,000 structures.
                assert!(
                    request.len() < BODY_BYTES_MAX,
                    "{operation} {} needs a smaller request",
                    broken.path
                );
                let slim = Broken { request: Document::Null, ..broken.clone() };
                pipeline.send(request, codec, (operation.to_owned(), slim)).await;
            }
        }
    }
    pipeline.drain().await;
    assert!(pipeline.sent > 1_000, "only {} requests", pipeline.sent);
    broker.assert_well().await;
    broker.stop().await;
}

/// Whether a codec's reader takes such a value for a shape of that type; numbers stand for instants, and JSON has
/// neither instants nor bytes of its own.
fn is_taken(value: &Document, kind: &str, codec: Codec) -> bool {
    match value {
        Document::Bool(_) => kind == "boolean",
        Document::Integer(_) => kind == "integer" || kind == "timestamp",
        Document::Text(_) => kind == "string" || kind == "blob" && codec == Codec::Json,
        Document::List(_) => kind == "list",
        Document::Map(_) => kind == "structure" || kind == "map",
        Document::Timestamp(_) => kind == "timestamp" || kind == "integer" && codec == Codec::Json,
        Document::Blob(_) => kind == "blob" || kind == "string" && codec == Codec::Json,
        other => panic!("{other:?} is not among the values"),
    }
}

#[tokio::test]
async fn wrong_types_are_reported() {
    let (broker, model) = (Broker::start().await, Model::read());
    let mut pipeline = Pipeline::<String>::new(&broker, |shown, status, answer| {
        assert_eq!(
            (status, text(answer, "__type")),
            (400, Some("SerializationException")),
            "{shown} {answer:?}"
        );
        let message = text(answer, "Message").unwrap_or_else(|| panic!("a message: {shown}"));
        assert!(
            message.contains("can not be converted to") || message.contains("xpected"),
            "{shown} {message}"
        );
    })
    .await;
    let values = [
        true.into(),
        Document::Integer(1),
        "aGk=".into(),
        Document::List(vec![]),
        Document::Map(vec![]),
        Document::Timestamp(1_700_000_000_000),
        Document::Blob(b"hi".as_slice().into()),
    ];
    for (operation, _) in model.operations() {
        for (value, codec) in
            values.iter().flat_map(|value| codecs(operation).map(move |codec| (value, codec)))
        {
            for request in model.mistyped(operation, value, &|kind| is_taken(value, kind, codec)) {
                let shown = format!("{operation} {request:?} {codec:?}");
                pipeline.send(post_document(operation, &request, codec), codec, shown).await;
            }
        }
    }
    pipeline.drain().await;
    assert!(pipeline.sent > 1_000, "only {} requests", pipeline.sent);
    broker.stop().await;
}

#[tokio::test]
async fn a_body_that_ends_too_early_cannot_be_read() {
    let (broker, model) = (Broker::start().await, Model::read());
    let mut pipeline = Pipeline::<String>::new(&broker, |shown, status, answer| {
        let expected = Document::structure([("__type", "SerializationException".into())]);
        assert_eq!((status, answer), (400, Some(&expected)), "{shown}");
    })
    .await;
    for (operation, _) in model.operations() {
        for codec in codecs(operation) {
            let body = codec.encode(&model.request(operation));
            for end in 0..body.len() {
                let shown = format!("{operation} {codec:?} {:02x?}", &body[..end]);
                pipeline.send(post_bytes(operation, codec, &body[..end]), codec, shown).await;
            }
            // Nor can one that goes on.
            let longer = [body, vec![0]].concat();
            pipeline.send(post_bytes(operation, codec, &longer), codec, format!("{operation} longer")).await;
        }
    }
    pipeline.drain().await;
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn subscriptions_are_json_only() {
    let (broker, model) = (Broker::start().await, Model::read());
    let (status, answer) =
        broker.client().await.call(JSON_ONLY, &model.request(JSON_ONLY), Codec::Cbor).await;
    assert_eq!((status, text(answer.as_ref(), "__type")), (500, Some("InternalFailure")));
    assert!(text(answer.as_ref(), "message").is_some_and(|message| message.contains("JSON")));
    broker.stop().await;
}
