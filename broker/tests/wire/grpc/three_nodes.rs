//! Three nodes: any of them serves any call, and a reader loses nothing when leaders change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{self, StreamExt};
use tidelog::cluster::client::Change;
use tidelog::server::Server;
use tidelog_proto::v1::groups_client::GroupsClient;
use tidelog_proto::v1::streams_client::StreamsClient;
use tidelog_proto::v1::subscribe_response::Event;
use tidelog_proto::v1::*;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use super::*;
use crate::cluster::{Nodes, running, stop};

/// For one step, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shards of the stream: one for each group of records.
const SHARDS: u32 = 6;

async fn three() -> (Nodes, BTreeMap<u64, Server>, Vec<Channel>) {
    let place = Nodes::new();
    let members = [1, 2, 3];
    let starting: Vec<_> = members.iter().map(|node| (*node, place.start(*node, &members))).collect();
    let (mut servers, mut channels) = (BTreeMap::new(), Vec::new());
    for (node, starting) in starting {
        let server = running(starting).await;
        channels.push(channel(server.addresses()[0]).await);
        servers.insert(node, server);
    }
    (place, servers, channels)
}

/// Puts these, again while that is not possible.
async fn put(channel: &Channel, texts: &[String]) {
    let ends = Instant::now() + PATIENCE;
    let mut left: Vec<NewRecord> = texts.iter().map(|text| record(text, text.clone())).collect();
    while !left.is_empty() {
        assert!(Instant::now() < ends, "{} are not put", left.len());
        let request = PutRequest { stream: "S".into(), records: left.clone(), producer: None };
        let Ok(answer) = records(channel).put(request).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let results = answer.into_inner().results;
        let failed = |result: &PutResult| matches!(result.result, Some(put_result::Result::Failure(_)));
        left = left.into_iter().zip(&results).filter(|(_, result)| failed(result)).map(|own| own.0).collect();
    }
}

fn texts(round: u32) -> Vec<String> {
    (0..60).map(|at| format!("{round} {at}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_serves_and_readers_go_on_with_the_next_leader() {
    let (place, servers, channels) = three().await;
    let create = CreateStreamRequest { name: "S".into(), shard_count: SHARDS, ..Default::default() };
    let created = StreamsClient::new(channels[1].clone()).create_stream(create).await.unwrap();
    assert_eq!(created.into_inner().stream.unwrap().status(), StreamStatus::Active);

    let request = SubscribeRequest { stream: "S".into(), from: at(horizon()), ..Default::default() };
    let mut subscriber = records(&channels[2]).subscribe(request).await.unwrap().into_inner();
    let mut expected = Vec::new();
    for (round, to) in (0..).zip([1, 2, 3, 1]) {
        let transfer = Change::Transfer { groups: (1..=6).collect(), to, from: None };
        let moving = place.change(transfer);
        let written = texts(round);
        let putting = put(&channels[round as usize % 3], &written);
        let (moved, ()) = tokio::join!(moving, putting);
        moved.unwrap();
        expected.extend(written);
    }
    let mut numbers = Vec::new();
    let mut found = Vec::new();
    while found.len() < expected.len() {
        let message = timeout(PATIENCE, subscriber.message()).await.expect("a message in time");
        let message = message.unwrap().expect("it goes on");
        let Some(Event::Records(response)) = message.event else { panic!("no shard ends") };
        numbers.extend(response.records.iter().map(|own| own.sequence_number.clone()));
        found.extend(data(&[response]));
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), found.len(), "nothing comes twice");
    found.sort();
    found.dedup();
    expected.sort();
    assert_eq!(found, expected);

    // Every node reads every shard to its tip.
    for channel in &channels {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            let request = read(shard, horizon(), 0);
            let responses = records(channel).read(request).await.unwrap().into_inner();
            found.extend(data(&all(responses).await.unwrap()));
        }
        found.sort();
        found.dedup();
        assert_eq!(found, expected);
    }

    drop((channels, subscriber));
    for server in servers.into_values() {
        stop(server).await;
    }
}

/// Sequence numbers of the acknowledged records by shard, in the order of the messages. All have 56 digits.
fn numbers(answers: Vec<PutStreamResponse>) -> BTreeMap<String, Vec<String>> {
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for result in answers.into_iter().flat_map(|answer| answer.results) {
        if let Some(put_result::Result::Record(record)) = result.result {
            numbers.entry(record.shard_id).or_default().push(record.sequence_number);
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_stream_keeps_the_order_of_each_shard_wherever_it_is_led() {
    let (place, servers, channels) = three().await;
    let create = CreateStreamRequest { name: "S".into(), shard_count: SHARDS, ..Default::default() };
    StreamsClient::new(channels[0].clone()).create_stream(create).await.unwrap();

    // Some messages go to one shard, some to several.
    let message = |number: u32| PutStreamRequest {
        stream: "S".into(),
        records: (0..=number % 4).map(|key| record(&format!("{}", number % 5 + key), "x")).collect(),
        ..Default::default()
    };
    let (mut putting, stopping) = (Vec::new(), Arc::new(AtomicBool::new(false)));
    for channel in &channels {
        let (mut client, stopping) = (records(channel), stopping.clone());
        putting.push(tokio::spawn(async move {
            let goes_on = move |_: &u32| std::future::ready(!stopping.load(Ordering::Relaxed));
            // Faster than answers come, so that many are under way, and no faster than that.
            let paced =
                stream::iter(0..).then(|number| sleep(Duration::from_millis(1)).map(move |()| number));
            let messages = paced.take_while(goes_on).map(message);
            all(client.put_stream(messages).await.unwrap().into_inner()).await.unwrap()
        }));
    }
    for to in [1, 2, 3, 1, 3, 2] {
        sleep(Duration::from_millis(200)).await;
        place.change(Change::Transfer { groups: (1..=6).collect(), to, from: None }).await.unwrap();
    }
    stopping.store(true, Ordering::Relaxed);
    let mut acknowledged = 0;
    for putting in putting {
        let numbers = numbers(timeout(PATIENCE, putting).await.expect("an end in time").unwrap());
        assert!(numbers.len() > 1, "{numbers:?}");
        for (shard, numbers) in numbers {
            acknowledged += numbers.len();
            let at = numbers.windows(2).position(|pair| pair[0] >= pair[1]);
            assert_eq!(at, None, "of {} in {shard}: {:?}", numbers.len(), &numbers[at.unwrap_or(0)..][..2]);
        }
    }
    assert!(acknowledged > 1_000, "{acknowledged}");

    drop(channels);
    for server in servers.into_values() {
        stop(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_serves_a_stream_that_one_node_calls_active() {
    let (_place, servers, channels) = three().await;
    for round in 0..30 {
        let name = format!("S{round}");
        let create = CreateStreamRequest { name: name.clone(), shard_count: SHARDS, ..Default::default() };
        let created = StreamsClient::new(channels[round % 3].clone()).create_stream(create).await.unwrap();
        assert_eq!(created.into_inner().stream.unwrap().status(), StreamStatus::Active);
        for other in [round + 1, round + 2] {
            let mut records = records(&channels[other % 3]);
            let all = SubscribeRequest { stream: name.clone(), from: at(horizon()), ..Default::default() };
            records.subscribe(all).await.unwrap();
            let one = ReadRequest { stream: name.clone(), ..read(0, horizon(), 0) };
            records.read(one).await.unwrap();
        }
        let join = JoinRequest { stream: name, group: "readers".into(), ..Default::default() };
        GroupsClient::new(channels[(round + 2) % 3].clone()).join(join).await.unwrap();
    }
    drop(channels);
    for server in servers.into_values() {
        stop(server).await;
    }
}
