//! Clocks that leap, stand in 1970 or were off: which records are deleted and seen, and when puts are taken.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use serde_json::json;
use tidelog::clock::{Clock, SteppedClock};
use tidelog_proto::stored::{DropShards, data_command};
use tidelog_tables::Owner;

use crate::broker::Broker;
use crate::{HOUR_MS, START_MS};

const DAY_MS: u64 = 24 * HOUR_MS;
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine: its clocks go on from one life of its broker to the next.
struct Machine(Arc<SteppedClock>);

impl Machine {
    /// One that has just booted, with its clock at `wall_ms`.
    fn new(wall_ms: u64) -> Self {
        Self(Arc::new(SteppedClock {
            wall_ms: wall_ms.into(),
            boot_ms: 1_000_000.into(),
            earliest_ms: START_MS - DAY_MS,
        }))
    }

    async fn start(&self, directory: &Path) -> Broker {
        let clock = self.0.clone();
        Broker::start_with(directory, 0, |config| config.clock = Clock::Stepped(clock)).await
    }

    /// Advances the wall clock and the boot clock by `ms`.
    fn pass(&self, ms: u64) {
        self.0.wall_ms.fetch_add(ms, SeqCst);
        self.0.boot_ms.fetch_add(ms, SeqCst);
    }

    /// Sets the clock to another time.
    fn set(&self, wall_ms: u64) {
        self.0.wall_ms.store(wall_ms, SeqCst);
    }

    fn wall_ms(&self) -> u64 {
        self.0.wall_ms.load(SeqCst)
    }
}

async fn accept(broker: &Broker, machine: &Machine) {
    let service = broker.node.service();
    let newest_ms = service.groups().newest_time_ms();
    service.accept_clocks(machine.wall_ms(), newest_ms).await.expect("a leader");
}

/// Records that are there, whether readers see them or not.
fn untrimmed(broker: &Broker) -> u64 {
    let service = broker.node.service();
    let catalog = service.catalog();
    let shards = catalog
        .streams()
        .values()
        .flat_map(|stream| stream.shards.iter().map(|shard| (stream.uid, shard.index)));
    let logs = shards.filter_map(|(stream_uid, shard)| {
        service.groups().shard(tidelog_storage::shard::ShardKey { stream_uid, shard })
    });
    logs.map(|log| log.untrimmed()).map(|bounds| bounds.next_ordinal - bounds.first_ordinal).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_ahead_for_a_while_deletes_and_hides_nothing() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(START_MS));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    for _ in 0..5 {
        broker.put("events", "eA==").await;
    }
    machine.set(START_MS + 2 * DAY_MS);
    for _ in 0..3 {
        machine.pass(5_000);
        assert_eq!(broker.trim().await, 0);
        assert_eq!(broker.read("events").await.len(), 5);
    }
    let trouble = broker.node.service().groups().clock().trouble().expect("a leap is named");
    assert!(trouble.contains("1 days 23 h ahead"), "{trouble}");
    // Records that are put meanwhile are not dated by the clock that ran ahead, and others can follow them
    // when it is right again.
    broker.put("events", "eA==").await;
    machine.set(START_MS + 15_000);
    assert_eq!(broker.trim().await, 0);
    broker.put("events", "eA==").await;
    assert_eq!(broker.read("events").await.len(), 7);
    assert_eq!(broker.node.service().groups().clock().trouble(), None);

    machine.pass(DAY_MS + 1_000);
    assert_eq!(broker.trim().await, 1, "in time that has passed they expire");
    broker.stop().await;
}

/// The answer of a call of lease tables.
async fn tables(broker: &Broker, operation: &str, body: serde_json::Value) -> serde_json::Value {
    let (service, owner) = (broker.node.service(), Owner::new("000000000000", "us-east-1"));
    let answered = service.lease_tables().call(&owner, operation, body.to_string().as_bytes()).await;
    let answered = answered.unwrap_or_else(|fault| panic!("{operation}: {fault}"));
    serde_json::from_slice(&answered.body).expect("JSON")
}

/// The items of a table that expire, whether readers see them or not, and those that readers see.
async fn items(broker: &Broker) -> (u64, u64) {
    let described = tables(broker, "DescribeTable", json!({"TableName": "locks"})).await;
    let scanned = tables(broker, "Scan", json!({"TableName": "locks"})).await;
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    (number(&described["Table"]["ItemCount"]), number(&scanned["Count"]))
}

async fn remove_expired(broker: &Broker) -> usize {
    broker.node.service().remove_expired_lease_items().await.expect("a leader")
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_lease_tables_expire_in_time_that_has_passed_and_not_by_a_leap() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(START_MS));
    let broker = machine.start(directory.path()).await;
    let create = json!({
        "TableName": "locks", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    });
    tables(&broker, "CreateTable", create).await;
    let specification = json!({"AttributeName": "expires", "Enabled": true});
    let switch = json!({"TableName": "locks", "TimeToLiveSpecification": specification});
    tables(&broker, "UpdateTimeToLive", switch).await;
    // More than one command removes.
    for at in 0..1_100 {
        let expires = START_MS / 1_000 + if at == 0 { 10 * 86_400 } else { 3_600 };
        let item = json!({"leaseKey": {"S": at.to_string()}, "expires": {"N": expires.to_string()}});
        tables(&broker, "PutItem", json!({"TableName": "locks", "Item": item})).await;
    }
    machine.set(START_MS + 2 * DAY_MS);
    for _ in 0..3 {
        machine.pass(5_000);
        assert_eq!(remove_expired(&broker).await, 0);
        assert_eq!(items(&broker).await, (1_100, 1_100), "a leap hides and removes nothing");
    }
    machine.set(START_MS + 15_000);
    assert_eq!(remove_expired(&broker).await, 0);
    machine.pass(2 * HOUR_MS);
    assert_eq!(remove_expired(&broker).await, 2);
    assert_eq!(items(&broker).await, (1, 1), "in time that has passed they expire");
    assert_eq!(remove_expired(&broker).await, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_accept_a_leap() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(START_MS));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    broker.put("events", "eA==").await;
    machine.set(START_MS + 2 * DAY_MS);
    assert_eq!(broker.trim().await, 0);
    accept(&broker, &machine).await;
    assert_eq!(broker.node.service().groups().clock().trouble(), None);
    assert_eq!(broker.trim().await, 1);
    assert_eq!(broker.read("events").await, []);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_off_does_not_serve_expired_records_and_deletes_them_later() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(START_MS));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    broker.put("events", "b2xk").await;
    broker.trim().await;
    broker.stop().await;

    machine.0.boot_ms.store(5_000, SeqCst);
    machine.set(START_MS + 10 * DAY_MS);
    let broker = machine.start(directory.path()).await;
    assert_eq!(broker.node.service().groups().clock().trouble(), None, "that is no leap");
    assert_eq!(broker.read("events").await, []);
    let young = broker.put("events", "eW91bmc=").await;
    assert_eq!(broker.read("events").await, [(young.clone(), "eW91bmc=".to_owned())]);
    assert_eq!(broker.trim().await, 0);
    assert_eq!(untrimmed(&broker), 2);
    // The retention clock has caught up with a day when half of it has passed.
    machine.pass(DAY_MS / 2 + 60_000);
    assert_eq!(broker.trim().await, 1);
    assert_eq!(untrimmed(&broker), 1);
    assert_eq!(broker.read("events").await, [(young, "eW91bmc=".to_owned())]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_hidden_by_a_wrong_clock_at_the_start_come_back() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(START_MS));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    broker.put("events", "eA==").await;
    broker.stop().await;
    machine.set(START_MS + 2 * DAY_MS);
    let broker = machine.start(directory.path()).await;
    assert_eq!(broker.read("events").await, []);
    machine.set(START_MS + 5_000);
    let began = Instant::now();
    while broker.read("events").await.len() != 1 {
        assert!(began.elapsed() < PATIENCE, "the record never comes back");
        broker.trim().await;
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_in_1970_takes_no_records_and_deletes_none() {
    let (directory, machine) = (tempfile::tempdir().expect("a directory"), Machine::new(7_000));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    let put = json!({"StreamName": "events", "PartitionKey": "key", "Data": "eA=="});
    broker.call("PutRecord", put.clone()).await.expect_err("records cannot be dated");
    machine.pass(60_000);
    machine.set(START_MS);
    broker.trim().await;
    broker.put("events", "eA==").await;
    // And back again, for as long as it takes.
    machine.set(7_000);
    broker.trim().await;
    broker.call("PutRecord", put).await.expect_err("records cannot be dated");
    assert_eq!(broker.read("events").await.len(), 1);
    machine.pass(600_000);
    machine.set(START_MS + 600_000);
    assert_eq!(broker.trim().await, 0);
    broker.put("events", "eA==").await;
    assert_eq!(broker.read("events").await.len(), 2);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_before_the_newest_record_takes_none_unless_it_is_accepted() {
    let (directory, machine) =
        (tempfile::tempdir().expect("a directory"), Machine::new(START_MS + 2 * DAY_MS));
    let broker = machine.start(directory.path()).await;
    broker.create("events").await;
    broker.put("events", "eA==").await;
    broker.stop().await;
    // The clock was two days ahead from the first start on.
    machine.set(START_MS);
    let broker = machine.start(directory.path()).await;
    let put = json!({"StreamName": "events", "PartitionKey": "key", "Data": "eA=="});
    broker.call("PutRecord", put).await.expect_err("a clock before the newest record");
    let trouble = broker.node.service().groups().clock().trouble().expect("it is named");
    assert!(trouble.contains("before the newest record"), "{trouble}");
    accept(&broker, &machine).await;
    broker.put("events", "eA==").await;
    broker.stop().await;
    // The word of the operator lasts.
    let broker = machine.start(directory.path()).await;
    broker.put("events", "eA==").await;
    assert_eq!(broker.read("events").await.len(), 3);
    broker.stop().await;
}

/// A replica that has nothing of a shard cannot say that nothing of it is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_that_is_not_here_is_not_forgotten() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    broker.put("events", "eA==").await;
    let split = json!({
        "StreamName": "events", "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "170141183460469231731687303715884105728",
    });
    broker.ok("SplitShard", split).await;
    let service = broker.node.service();
    let stream = loop {
        let catalog = service.catalog();
        let stream = catalog.streams().values().next().expect("a stream").clone();
        if stream.shards.len() == 3 && stream.reshard.is_none() {
            break stream;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let gone = DropShards { uid: stream.uid, shards: vec![0] };
    let command = data_command::Command::DropShards(gone);
    service.groups().proposals().propose_data(stream.shards[0].group, command).await.expect("a leader");
    broker.pass(25 * HOUR_MS);
    broker.trim().await;
    assert_eq!(service.forget_expired_shards().await.expect("a leader"), 0);
    assert_eq!(service.catalog().streams().values().next().expect("a stream").shards.len(), 3);
    drop(service);
    broker.stop().await;
}
