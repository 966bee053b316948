//! Subscribe: records across reshards, by name, and to slow readers.

use std::time::{Duration, Instant};

use tidelog::limits::ShardLimits;
use tidelog::service::Pace;
use tidelog::wire::Bounds;
use tidelog_proto::v1::subscribe_response::Event;
use tidelog_proto::v1::*;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::broker::PATIENCE;

pub struct Subscriber(pub Streaming<SubscribeResponse>);

impl Subscriber {
    pub async fn begin(grpc: &Grpc, request: SubscribeRequest) -> Result<Self, Status> {
        Ok(Self(grpc.records().subscribe(request).await?.into_inner()))
    }

    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Option<(String, Event)> {
        let message = timeout(PATIENCE, self.0.message()).await.expect("a message in time").unwrap()?;
        Some((message.shard_id, message.event.unwrap()))
    }

    /// Data until there are as many records, and the shards that have ended.
    pub async fn take(&mut self, count: usize) -> (Vec<String>, Vec<String>) {
        let (mut texts, mut ended) = (Vec::new(), Vec::new());
        while texts.len() < count {
            match self.next().await.expect("it goes on") {
                (_, Event::Records(records)) => texts.extend(data(&[records])),
                (shard, Event::End(_)) => ended.push(shard),
            }
        }
        (texts, ended)
    }
}

fn subscribe(from: Option<position::At>, follow_reshards: bool) -> SubscribeRequest {
    let from = from.map(|at| Position { at: Some(at) });
    SubscribeRequest { stream: "S".into(), from, follow_reshards, ..Default::default() }
}

#[tokio::test]
async fn records_come_as_they_are_put() {
    let grpc = Grpc::new(2).await;
    grpc.put(vec![record("a", "before")]).await;
    let mut latest = Subscriber::begin(&grpc, subscribe(None, false)).await.unwrap();
    let mut oldest = Subscriber::begin(&grpc, subscribe(Some(horizon()), false)).await.unwrap();
    // Each shard says first where it begins.
    let mut begun = Vec::new();
    for _ in 0..2 {
        let (shard, event) = latest.next().await.unwrap();
        assert!(matches!(event, Event::Records(records) if records.records.is_empty()));
        begun.push(shard);
    }
    begun.sort();
    assert_eq!(begun, [0, 1].map(shard_id));
    let mut waits = Vec::new();
    for text in ["one", "two", "three"] {
        let put = Instant::now();
        grpc.put(vec![record("a", text)]).await;
        assert_eq!(latest.take(1).await.0, [text]);
        waits.push(put.elapsed());
    }
    waits.sort();
    assert!(waits[1] < Duration::from_millis(250), "pushed, not polled: {waits:?}");
    assert_eq!(oldest.take(4).await.0, ["before", "one", "two", "three"]);
    drop((latest, oldest));
    grpc.stop().await;
}

#[tokio::test]
async fn a_subscription_goes_on_with_the_children_when_asked() {
    let grpc = Grpc::new(1).await;
    let mut following = Subscriber::begin(&grpc, subscribe(Some(horizon()), true)).await.unwrap();
    let mut ending = Subscriber::begin(&grpc, subscribe(Some(horizon()), false)).await.unwrap();
    let texts = |prefix: &str| (0..20).map(|at| record(&format!("k{at}"), prefix)).collect::<Vec<_>>();
    grpc.put(texts("parent")).await;
    grpc.split(0).await;
    grpc.put(texts("child")).await;
    let request =
        MergeShardsRequest { stream: "S".into(), shard_id: shard_id(1), adjacent_shard_id: shard_id(2) };
    grpc.streams().merge_shards(request).await.unwrap();
    grpc.until_active().await;
    grpc.put(texts("grandchild")).await;
    let (found, mut ended) = following.take(60).await;
    ended.sort();
    assert_eq!(ended, [0, 1, 2].map(shard_id));
    let at = |text: &str| found.iter().position(|own| own == text).unwrap();
    assert!(at("parent") < at("child") && at("child") < at("grandchild"));
    assert_eq!(found[40..], vec!["grandchild".to_owned(); 20]);

    let (found, _) = ending.take(20).await;
    assert_eq!(found, vec!["parent".to_owned(); 20]);
    let (shard, event) = ending.next().await.unwrap();
    let child = |index| ChildShard { shard_id: shard_id(index), parents: vec![shard_id(0)] };
    assert_eq!((shard, event), (shard_id(0), Event::End(ShardEnd { children: vec![child(1), child(2)] })));
    assert!(ending.next().await.is_none(), "all its shards have ended");
    drop(following);
    grpc.stop().await;
}

#[tokio::test]
async fn shards_have_positions_of_their_own() {
    let grpc = Grpc::new(2).await;
    let lower = |text: &str| NewRecord { explicit_hash_key: Some("0".into()), ..record("k", text) };
    let placed = grpc.put(vec![lower("one"), lower("two")]).await;
    let from = at(position::At::AfterSequenceNumber(placed[0].sequence_number.clone()));
    let shards = vec![ShardPosition { shard_id: shard_id(0), from }];
    let request = SubscribeRequest { shards: shards.clone(), ..subscribe(Some(horizon()), false) };
    let mut subscriber = Subscriber::begin(&grpc, request).await.unwrap();
    assert_eq!(subscriber.take(1).await.0, ["two"]);
    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT");
    let named = |index| ShardPosition { shard_id: shard_id(index), from: None };
    let number = position::At::AtSequenceNumber(placed[0].sequence_number.clone());
    for (request, expected) in [
        (SubscribeRequest { consumer: "a b".into(), ..subscribe(None, false) }, invalid),
        (SubscribeRequest { shards: vec![named(0), named(0)], ..subscribe(None, false) }, invalid),
        (subscribe(Some(number.clone()), false), invalid),
        (
            SubscribeRequest { shards: vec![named(7)], ..subscribe(None, false) },
            (Code::NotFound, "SHARD_NOT_FOUND"),
        ),
        (
            SubscribeRequest { shards: vec![named(1)], ..subscribe(Some(number), false) },
            (Code::OutOfRange, "OUT_OF_RANGE"),
        ),
        (
            SubscribeRequest { stream: "none".into(), ..subscribe(None, false) },
            (Code::NotFound, "STREAM_NOT_FOUND"),
        ),
    ] {
        let (code, reason, _) = failure_of(grpc.records().subscribe(request.clone()).await);
        assert_eq!((code, &*reason), expected, "{request:?}");
    }
    drop(subscriber);
    grpc.stop().await;
}

#[tokio::test]
async fn a_quiet_shard_has_empty_messages_and_a_deleted_stream_ends() {
    let pace = Pace { pause: Duration::from_millis(100), ..Pace::default() };
    let bounds = Bounds { subscriptions: pace, ..Bounds::default() };
    let grpc = Grpc::with(1, bounds, ShardLimits::aws()).await;
    let mut subscriber = Subscriber::begin(&grpc, subscribe(None, false)).await.unwrap();
    let mut continuations = Vec::new();
    for _ in 0..4 {
        let Some((_, Event::Records(records))) = subscriber.next().await else { panic!("it goes on") };
        assert_eq!((records.records.len(), records.millis_behind_latest), (0, 0));
        continuations.push(records.continuation);
    }
    let request = DeleteStreamRequest { stream: "S".into(), with_consumers: false };
    grpc.streams().delete_stream(request).await.unwrap();
    let ends = loop {
        match timeout(PATIENCE, subscriber.0.message()).await.unwrap() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(failure_of(ends), (Code::NotFound, "STREAM_NOT_FOUND".into(), false));
    grpc.stop().await;
}

#[tokio::test]
async fn subscribers_of_one_name_share_its_throughput() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::off()).await;
    let stop = grpc.broker.address();
    assert!(stop.port() > 0);
    grpc.stop().await;
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::aws()).await;
    for _ in 0..8 {
        grpc.put(vec![record("k", vec![0; 800_000])]).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    let begin = |name: &'static str| async {
        let request = SubscribeRequest { consumer: name.into(), ..subscribe(Some(horizon()), false) };
        let mut subscriber = Subscriber::begin(&grpc, request).await.unwrap();
        subscriber.take(8).await;
    };
    // 6.4 MB at 2 MiB/s: two seconds after the records that are given at once; twice that for two of one name.
    let began = Instant::now();
    begin("alone").await;
    let alone = began.elapsed();
    assert!(alone > Duration::from_millis(1_300), "{alone:?}");
    let began = Instant::now();
    tokio::join!(begin("a"), begin("a"), begin(""), begin(""));
    let shared = began.elapsed();
    assert!(shared > alone + Duration::from_millis(1_500), "{alone:?} {shared:?}");
    grpc.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_its_messages_are_not_made() {
    let stall = Duration::from_millis(400);
    let bounds = Bounds { stall, ..Bounds::default() };
    let grpc = Grpc::with(1, bounds, ShardLimits::off()).await;
    for _ in 0..32 {
        grpc.put(vec![record("k", vec![0; 1_000_000])]).await;
    }
    let mut idle = Subscriber::begin(&grpc, subscribe(Some(horizon()), false)).await.unwrap();
    tokio::time::sleep(stall * 4).await;
    let mut taken = 0;
    let end = loop {
        match timeout(PATIENCE, idle.0.message()).await.unwrap() {
            Ok(Some(SubscribeResponse { event: Some(Event::Records(records)), .. })) => {
                taken += records.records.len();
            }
            end => break end,
        }
    };
    assert!(end.is_err() && taken < 32, "its rest was never sent: {taken} {end:?}");
    // Others of the same connection go on.
    assert_eq!(data(&grpc.read(0, horizon(), 0).await).len(), 32);
    grpc.stop().await;
}
