//! PutStream: answers in order, records in order, and how the call ends.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream;
use tidelog::limits::ShardLimits;
use tidelog::wire::Bounds;
use tidelog_proto::v1::*;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::broker::PATIENCE;

fn message(records: Vec<NewRecord>) -> PutStreamRequest {
    PutStreamRequest { records, ..Default::default() }
}

fn first(records: Vec<NewRecord>, acknowledgement: Acknowledgement) -> PutStreamRequest {
    let acknowledgement = Some(acknowledgement.into());
    PutStreamRequest { stream: "S".into(), records, acknowledgement, producer: None }
}

async fn call(grpc: &Grpc, messages: Vec<PutStreamRequest>) -> (Vec<PutStreamResponse>, Option<Status>) {
    let answers = grpc.records().put_stream(stream::iter(messages)).await.unwrap();
    taken(answers.into_inner()).await
}

async fn taken(mut answers: Streaming<PutStreamResponse>) -> (Vec<PutStreamResponse>, Option<Status>) {
    let mut taken = Vec::new();
    loop {
        match timeout(PATIENCE, answers.message()).await.expect("an answer in time") {
            Ok(Some(answer)) => taken.push(answer),
            Ok(None) => return (taken, None),
            Err(status) => return (taken, Some(status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_answered_in_order_and_records_of_a_shard_stay_in_theirs() {
    let grpc = Grpc::new(4).await;
    let mut messages = Vec::new();
    for number in 0..400u32 {
        // Some records of every message go to one shard only, some to all.
        let records = (0..1 + number % 7).map(|at| record(&format!("k{at}"), format!("k{at} {number:05}")));
        messages.push(message(records.collect()));
    }
    messages[0].stream = "S".into();
    let counts: Vec<usize> = messages.iter().map(|message| message.records.len()).collect();
    let (answers, status) = call(&grpc, messages).await;
    assert!(status.is_none(), "{status:?}");
    assert!(answers.iter().zip(0..).all(|(answer, position)| answer.position == position));
    assert_eq!(answers.iter().map(|answer| answer.results.len()).collect::<Vec<_>>(), counts);
    let mut by_key: HashMap<String, Vec<String>> = HashMap::new();
    let mut total = 0;
    for shard in 0..4 {
        for text in data(&grpc.read(shard, horizon(), 0).await) {
            by_key.entry(text[..2].to_owned()).or_default().push(text);
            total += 1;
        }
    }
    assert_eq!(total, counts.iter().sum::<usize>());
    assert!(by_key.values().all(|texts| texts.is_sorted()), "{by_key:?}");
    grpc.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_across_a_split() {
    let grpc = Grpc::new(1).await;
    let (send, sent) = mpsc::channel(4);
    let messages = stream::unfold(sent, |mut sent| async move { Some((sent.recv().await?, sent)) });
    let answers = grpc.records().put_stream(messages).await.unwrap().into_inner();
    let taking = tokio::spawn(taken(answers));
    let sending = tokio::spawn(async move {
        for number in 0..2_000u32 {
            let records = vec![record("a", format!("a {number:05}")), record("b", format!("b {number:05}"))];
            send.send(first(records, Acknowledgement::Failed)).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    grpc.split(0).await;
    sending.await.unwrap();
    let (answers, status) = taking.await.unwrap();
    assert!(status.is_none() && answers.len() == 2_000, "{status:?}");
    assert!(answers.iter().all(|answer| answer.failures.is_empty() && answer.results.is_empty()));
    let mut texts = data(&grpc.read(0, horizon(), 0).await);
    for child in [1, 2] {
        texts.extend(data(&grpc.read(child, horizon(), 0).await));
    }
    for key in ["a", "b"] {
        let own: Vec<&String> = texts.iter().filter(|text| text.starts_with(key)).collect();
        assert_eq!(own.len(), 2_000);
        assert!(own.is_sorted(), "{key}");
    }
    grpc.stop().await;
}

#[tokio::test]
async fn only_failures_go_to_callers_that_ask_for_them_alone() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::aws()).await;
    let large = || record("k", vec![0; 900_000]);
    let messages = vec![
        first(vec![record("k", "small")], Acknowledgement::Failed),
        message((0..5).map(|_| large()).collect()),
        PutStreamRequest { acknowledgement: Some(Acknowledgement::Each.into()), ..message(vec![large()]) },
    ];
    let (answers, status) = call(&grpc, messages).await;
    assert!(status.is_none(), "{status:?}");
    assert!(answers[0].failures.is_empty() && answers[0].results.is_empty());
    assert!(answers[1].results.is_empty());
    let failures = &answers[1].failures;
    assert!(failures.contains_key(&4) && !failures.contains_key(&0), "{failures:?}");
    assert!(failures.values().all(|failure| failure.reason == "THROTTLED"));
    assert_eq!(failed(answers[2].results[0].clone()).reason, "THROTTLED");
    grpc.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_sent_again_in_another_call_is_answered_alike() {
    let grpc = Grpc::new(2).await;
    let batch = |batch| PutStreamRequest {
        producer: Some(Producer { id: 7, batch, settled_below: 1 }),
        ..first(vec![record("a", "one"), record("b", "two")], Acknowledgement::Each)
    };
    let (answers, status) = call(&grpc, vec![batch(1), batch(2), batch(1)]).await;
    assert!(status.is_none() && answers[0].results == answers[2].results, "{status:?} {answers:?}");
    let (again, status) = call(&grpc, vec![batch(1), batch(2)]).await;
    assert!(status.is_none(), "{status:?}");
    assert!(again == answers[..2], "{again:?}");
    assert_eq!(
        data(&grpc.read(0, horizon(), 0).await).len() + data(&grpc.read(1, horizon(), 0).await).len(),
        4
    );
    grpc.stop().await;
}

#[tokio::test]
async fn a_message_that_is_refused_ends_the_call_after_earlier_ones() {
    let grpc = Grpc::new(1).await;
    let producer = Some(Producer { id: 0, batch: 1, settled_below: 1 });
    let elsewhere = PutStreamRequest { stream: "none".into(), ..message(vec![record("k", "x")]) };
    for (wrong, expected) in [
        (message(vec![]), (Code::InvalidArgument, "INVALID_ARGUMENT")),
        (message(vec![record("", "x")]), (Code::InvalidArgument, "INVALID_ARGUMENT")),
        (elsewhere, (Code::NotFound, "STREAM_NOT_FOUND")),
        (
            PutStreamRequest { acknowledgement: Some(9), ..message(vec![record("k", "x")]) },
            (Code::InvalidArgument, "INVALID_ARGUMENT"),
        ),
        (
            PutStreamRequest { producer, ..message(vec![record("k", "x")]) },
            (Code::InvalidArgument, "INVALID_ARGUMENT"),
        ),
        (message(vec![record("k", vec![0; 17 << 20])]), (Code::InvalidArgument, "INVALID_ARGUMENT")),
    ] {
        let before = data(&grpc.read(0, horizon(), 0).await).len();
        let good = first(vec![record("k", "x")], Acknowledgement::Each);
        let messages = vec![good.clone(), good.clone(), wrong, good.clone()];
        let (answers, status) = call(&grpc, messages).await;
        let (code, reason, _) = failure_of(Err::<(), _>(status.unwrap()));
        assert_eq!((code, &*reason, answers.len()), (expected.0, expected.1, 2));
        assert_eq!(data(&grpc.read(0, horizon(), 0).await).len(), before + 2, "none after it is put");
    }
    let (answers, status) = call(&grpc, vec![message(vec![record("k", "x")])]).await;
    assert_eq!((answers.len(), status.unwrap().code()), (0, Code::InvalidArgument));
    let (answers, status) = call(&grpc, vec![]).await;
    assert!(answers.is_empty() && status.is_none());
    grpc.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unanswered_messages_are_bounded_and_a_stop_ends_the_call() {
    let grpc = Grpc::new(1).await;
    let messages =
        stream::iter((0..).map(|_| {
            first((0..10).map(|_| record("k", vec![0; 100_000])).collect(), Acknowledgement::Failed)
        }));
    let mut answers = grpc.records().put_stream(messages).await.unwrap().into_inner();
    for position in 0..50 {
        let answer = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.position, position);
    }
    let Grpc { broker, channel } = grpc;
    drop(channel);
    let stop = tokio::spawn(broker.stop());
    let (_, status) = taken(answers).await;
    let status = status.expect("the call ends with a status");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    stop.await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_cancelled_leaves_the_broker_well() {
    let grpc = Grpc::new(1).await;
    for _ in 0..20 {
        let messages =
            stream::iter((0..).map(|_| first(vec![record("k", vec![0; 10_000])], Acknowledgement::Each)));
        let mut answers = grpc.records().put_stream(messages).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        drop(answers);
    }
    grpc.put(vec![record("k", "after")]).await;
    grpc.broker.assert_health().await;
    grpc.stop().await;
}
