//! KCL applications: their lag is seen, and they are changed as a whole or not at all, also when a leader dies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::model::sequence_number::SequenceNumber;
use tidelog::model::shard_id::ShardId;
use tidelog::service::{
    ApplicationError, FoundStream, GroupBegin, NewApplication, ResetOutcome, Service, group_of,
};
use tidelog_tables::{Item, Owner};

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

/// How long no counter may have moved here.
const QUIET: Duration = Duration::from_millis(2_000);
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

fn owner() -> Owner {
    Owner::new("000000000000", "us-east-1")
}

async fn table_call(service: &Service, operation: &str, body: Value) {
    let answer = service.lease_tables().call(&owner(), operation, body.to_string().as_bytes()).await;
    let answer = answer.unwrap_or_else(|fault| panic!("{operation}: {fault}"));
    assert_eq!(answer.status, 200, "{operation}: {:?}", answer.body);
}

async fn create_table(service: &Service, table: &str) {
    let create = json!({
        "TableName": table,
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    table_call(service, "CreateTable", create).await;
}

fn lease(shard: u32, counter: u64, checkpoint: &str) -> Value {
    json!({
        "leaseKey": {"S": ShardId(shard).to_string()}, "leaseCounter": {"N": counter.to_string()},
        "leaseOwner": {"S": "worker"}, "checkpoint": {"S": checkpoint}, "checkpointSubSequenceNumber": {"N": "0"},
    })
}

async fn put_lease(service: &Service, lease: Value) {
    table_call(service, "PutItem", json!({"TableName": "app", "Item": lease})).await;
}

/// Keys, checkpoints and owners of all leases.
async fn leases(service: &Service) -> Vec<(String, String, bool)> {
    let described = service.describe_application(&owner(), "app", None).await.expect("the application");
    let row = |own: &tidelog::service::LeaseDescription| {
        (own.lease.key.to_string(), own.lease.checkpoint.to_string(), own.lease.owner.is_some())
    };
    described.leases.iter().map(row).collect()
}

fn row(shard: u32, checkpoint: &str, is_owned: bool) -> (String, String, bool) {
    (ShardId(shard).to_string(), checkpoint.to_owned(), is_owned)
}

async fn reset(service: &Service, to: GroupBegin) -> Result<ResetOutcome, ApplicationError> {
    service.reset_application(&owner(), "app", None, to, false).await
}

/// Resets as soon as it is known that no worker runs; gives the refusals until then.
async fn reset_once_quiet(service: &Service, to: GroupBegin) -> (ResetOutcome, Vec<ApplicationError>) {
    let (began, mut refusals) = (Instant::now(), Vec::new());
    loop {
        match reset(service, to).await {
            Ok(outcome) => return (outcome, refusals),
            Err(refusal) => refusals.push(refusal),
        }
        assert!(began.elapsed() < PATIENCE, "never quiet: {:?}", refusals.last());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_not_known(refusal: &ApplicationError) -> bool {
    matches!(refusal, ApplicationError::NotKnownYet { .. } | ApplicationError::NoLeader)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_seen_with_its_lag_and_reset_across_a_split() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.application_quiet = QUIET).await;
    broker.create("events").await;
    let service = broker.node.service();
    create_table(&service, "app").await;
    create_table(&service, "app-CoordinatorState").await;
    let first = broker.put("events", "b25l").await;
    broker.pass(1_000);
    broker.put("events", "dHdv").await;
    broker.pass(1_000);
    put_lease(&service, lease(0, 1, &first)).await;
    assert_eq!(service.list_applications(&owner()).await, Ok(vec!["app".to_owned()]));
    let described = service.describe_application(&owner(), "app", None).await.expect("the application");
    assert_eq!(described.stream, FoundStream::Shards("events".into()));
    assert_eq!(
        (described.leases[0].records_behind, described.leases[0].millis_behind),
        (Some(1), Some(1_000))
    );
    assert_eq!(described.tables, ["app", "app-CoordinatorState"]);
    assert_eq!((&*described.workers[0].name, described.workers[0].leases), ("worker", 1));

    let split = json!({
        "StreamName": "events", "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "170141183460469231731687303715884105728",
    });
    broker.ok("SplitShard", split).await;
    put_lease(&service, lease(0, 2, "SHARD_END")).await;
    put_lease(&service, lease(1, 1, "TRIM_HORIZON")).await;
    put_lease(&service, lease(2, 1, "TRIM_HORIZON")).await;
    let refused = reset(&service, GroupBegin::TrimHorizon).await;
    assert!(
        matches!(&refused, Err(refusal) if is_not_known(refusal) || matches!(refusal, ApplicationError::Running { .. })),
        "{refused:?}"
    );
    let trial = service.reset_application(&owner(), "app", None, GroupBegin::TrimHorizon, true).await;
    let trial = trial.expect("a trial");
    assert!(trial.refusal.is_some() && trial.changes.len() == 3, "{trial:?}");

    // Back across the split: the parent is read again, its children come after it.
    let (outcome, _) = reset_once_quiet(&service, GroupBegin::TrimHorizon).await;
    assert_eq!((outcome.changes, outcome.streams), (trial.changes, vec!["events".to_owned()]));
    assert_eq!(leases(&service).await, [row(0, "TRIM_HORIZON", false)]);
    let described = service.describe_application(&owner(), "app", None).await.expect("the application");
    assert_eq!(described.leases[0].records_behind, Some(2));

    // To a time between the two records: the checkpoint is the record before.
    let (_, refusals) = reset_once_quiet(&service, GroupBegin::Time(START_MS + 500)).await;
    assert!(!refusals.is_empty(), "the reset before has moved the counter");
    let described = service.describe_application(&owner(), "app", None).await.expect("the application");
    let number = SequenceNumber::parse(&described.leases[0].lease.checkpoint).expect("a number");
    assert_eq!((number.ordinal, described.leases[0].records_behind), (1, Some(1)));

    // Forward: the children are read, and the parent's lease would keep them waiting.
    reset_once_quiet(&service, GroupBegin::Latest).await;
    let found = leases(&service).await;
    assert_eq!(found, [row(1, "TRIM_HORIZON", false), row(2, "TRIM_HORIZON", false)]);
    let future = reset(&service, GroupBegin::Time(START_MS + 10_000_000)).await;
    assert!(matches!(future, Err(ApplicationError::OutOfRange(_))), "{future:?}");
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_exported_and_imported_as_they_are_or_by_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.application_quiet = QUIET).await;
    broker.create("events").await;
    let service = broker.node.service();
    broker.put("events", "b25l").await;
    broker.pass(10_000);
    let second = broker.put("events", "dHdv").await;
    create_table(&service, "app").await;
    put_lease(&service, lease(0, 1, &second)).await;
    let items = service.export_application(&owner(), "app").await.expect("leases");
    let import = async |name: &str, items: &[Item], may_replace| {
        let service = broker.node.service();
        let stream = service.catalog().streams().keys().next().cloned();
        let new = NewApplication { name, stream: stream.as_ref(), items, may_replace, is_trial: false };
        service.import_application(&owner(), new).await
    };
    let copied = import("copy", &items, false).await.expect("an import");
    assert!(!copied.is_by_time && copied.leases == [(ShardId(0).to_string(), second.clone())], "{copied:?}");
    let taken = import("copy", &items, false).await;
    assert_eq!(taken, Err(ApplicationError::Exists("copy".into())));
    let refused = import("copy", &items, true).await;
    assert!(matches!(&refused, Err(refusal) if is_not_known(refusal)), "{refused:?}");

    // A number of AWS from between the two records, of another shard.
    let elsewhere = SequenceNumber {
        ordinal: 7,
        time_s: START_MS / 1_000 + 5,
        ..SequenceNumber::starting(1_421_279_230, 0)
    };
    let foreign =
        Item::from_json(lease(0, 9, &elsewhere.to_string()).to_string().as_bytes()).expect("an item");
    let imported = import("aws", &[foreign], false).await.expect("an import");
    assert!(imported.is_by_time, "{imported:?}");
    let described = service.describe_application(&owner(), "aws", None).await.expect("the application");
    assert_eq!(described.leases[0].records_behind, Some(1), "{imported:?}");
    assert_eq!(described.leases[0].lease.owner, None);
    drop(service);
    broker.stop().await;
}

/// A worker that renews one lease until it is told to end.
async fn renew(service: Arc<Service>, mut ends: tokio::sync::watch::Receiver<bool>) {
    let mut counter = 1;
    while !*ends.borrow_and_update() {
        counter += 1;
        // While a leader is elected a renewal may fail; KCL goes on as well.
        let put = json!({"TableName": "app", "Item": lease(0, counter, "TRIM_HORIZON")});
        let _ = service.lease_tables().call(&owner(), "PutItem", put.to_string().as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_runs_is_not_changed_and_a_new_leader_waits() {
    let mut cluster = Cluster::start_with(|config| config.application_quiet = QUIET).await;
    cluster.create_stream(0, "events", 1).await;
    let group = group_of(&owner(), "app");
    let leader = cluster.leader(group).await;
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let at = others[0];
    let service = cluster.node(at).service();
    let made = async move {
        create_table(&service, "app").await;
        put_lease(&service, lease(0, 1, "TRIM_HORIZON")).await;
    };
    cluster.spawn(at, made).await.expect("a table");
    let (end, ends) = tokio::sync::watch::channel(false);
    let worker = cluster.spawn(at, renew(cluster.node(at).service(), ends));

    // Once the leader has watched for long enough, it knows that the worker runs.
    let service = cluster.node(at).service();
    let running = async move {
        let began = Instant::now();
        loop {
            match reset(&service, GroupBegin::Latest).await {
                Err(ApplicationError::Running { worker, .. }) => return worker,
                Err(refusal) if is_not_known(&refusal) || refusal == ApplicationError::Overtaken => {}
                other => panic!("{other:?}"),
            }
            assert!(began.elapsed() < PATIENCE, "it is never known that the worker runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let worker_name = cluster.spawn(at, running).await.expect("no panic");
    assert_eq!(worker_name.as_deref(), Some("worker"));

    // The worker stops and the leader dies: the next leader has to watch for itself before it says that nobody runs.
    end.send_replace(true);
    worker.await.expect("no panic");
    cluster.kill(leader).await;
    cluster.leader(group).await;
    let killed = Instant::now();
    let service = cluster.node(at).service();
    let resetting = async move { reset_once_quiet(&service, GroupBegin::Latest).await };
    let (outcome, refusals) = cluster.spawn(at, resetting).await.expect("no panic");
    assert!(killed.elapsed() >= QUIET, "reset after {:?}", killed.elapsed());
    assert!(refusals.iter().any(is_not_known), "{refusals:?}");
    assert_eq!(outcome.changes.len(), 1);
    let service = cluster.node(others[1]).service();
    let deleted = async move {
        assert_eq!(leases(&service).await, [row(0, "TRIM_HORIZON", false)]);
        let began = Instant::now();
        while let Err(refusal) = service.delete_application(&owner(), "app", false).await {
            assert!(began.elapsed() < PATIENCE, "{refusal}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        service.list_applications(&owner()).await
    };
    assert_eq!(cluster.spawn(others[1], deleted).await.expect("no panic"), Ok(vec![]));
    cluster.end().await;
}
