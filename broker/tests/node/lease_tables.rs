//! Lease tables: kept through restarts, and decided once however many ask at once, also when a leader dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidelog::room::{Account, AnswerRoom, Pool};
use tidelog::service::{Service, group_of};
use tidelog_tables::{Bounds, Owner};

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);
/// Values that a counter takes while many workers renew it.
const RENEWALS: u64 = 120;

fn owner() -> Owner {
    Owner::new("000000000000", "us-east-1")
}

/// Status and body of a call.
async fn call(service: &Service, operation: &str, body: Value) -> (u16, Value) {
    let answered = service.lease_tables().call(&owner(), operation, body.to_string().as_bytes()).await;
    let (status, body) = match answered {
        Ok(answer) => (answer.status, answer.body.to_vec()),
        Err(fault) => (fault.status(), fault.body()),
    };
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn ok(service: &Service, operation: &str, body: Value) -> Value {
    let (status, body) = call(service, operation, body).await;
    assert_eq!(status, 200, "{operation}: {body}");
    body
}

fn create(table: &str) -> Value {
    json!({
        "TableName": table,
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

fn lease(counter: u64) -> Value {
    json!({"leaseKey": {"S": "shard"}, "leaseCounter": {"N": counter.to_string()}})
}

/// The renewal of a lease whose counter has that value, as KCL sends it.
fn renewal(counter: u64) -> Value {
    json!({
        "TableName": "app",
        "Key": {"leaseKey": {"S": "shard"}},
        "AttributeUpdates": {"leaseCounter": {"Value": {"N": (counter + 1).to_string()}, "Action": "PUT"}},
        "Expected": {"leaseCounter": {"Value": {"N": counter.to_string()}}},
    })
}

async fn counter(service: &Service) -> Option<u64> {
    let get = json!({"TableName": "app", "Key": {"leaseKey": {"S": "shard"}}, "ConsistentRead": true});
    let (status, body) = call(service, "GetItem", get).await;
    (status == 200).then(|| body["Item"]["leaseCounter"]["N"].as_str()?.parse().ok()).flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_kept_through_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    let service = broker.node.service();
    for table in ["app", "other"] {
        ok(&service, "CreateTable", create(table)).await;
        let put = json!({"TableName": table, "Item": lease(7), "Expected": {"leaseKey": {"Exists": false}}});
        ok(&service, "PutItem", put).await;
    }
    let (status, refused) = call(&service, "CreateTable", create("app")).await;
    assert_eq!((status, &refused["message"]), (400, &json!("Table already exists: app")));
    drop(service);
    // The stop makes a checkpoint, so that the first start reads it and the second one reads the log besides.
    broker.stop().await;
    for renewed in 7..10 {
        let broker = Broker::start(directory.path(), START_MS).await;
        let service = broker.node.service();
        assert_eq!(ok(&service, "ListTables", json!({})).await["TableNames"], json!(["app", "other"]));
        assert_eq!(counter(&service).await, Some(renewed));
        ok(&service, "UpdateItem", renewal(renewed)).await;
        drop(service);
        match renewed {
            8 => broker.stop().await,
            _ => drop(broker),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_its_number_of_tables_whatever_their_groups() {
    let directory = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { tables: 3, ..Bounds::default() };
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.lease_tables = Some(bounds)).await;
    let service = broker.node.service();
    for at in 0..3 {
        ok(&service, "CreateTable", create(&format!("app-{at}"))).await;
    }
    let (status, refused) = call(&service, "CreateTable", create("app-3")).await;
    let kind = refused["__type"].as_str().expect("a kind");
    assert!(status == 400 && kind.ends_with("#LimitExceededException"), "{refused}");
    ok(&service, "DeleteTable", json!({"TableName": "app-1"})).await;
    ok(&service, "CreateTable", create("app-3")).await;
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_created_at_once_do_not_pass_their_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { tables: 3, ..Bounds::default() };
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.lease_tables = Some(bounds)).await;
    let service = broker.node.service();
    let names: Vec<String> = (0..24).map(|at| format!("app-{at}")).collect();
    let groups: BTreeSet<u8> = names.iter().map(|name| group_of(&owner(), name)).collect();
    assert!(groups.len() > 3, "{groups:?}");
    let creating = names.iter().map(|name| call(&service, "CreateTable", create(name)));
    let answers = join_all(creating).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 3, "{answers:?}");
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_16_mib_of_items_and_the_keys_that_are_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    let service = broker.node.service();
    // Two applications, so that no account has more of a group than its share.
    let tables = ["app", "orders"];
    let key = |at: usize| json!({"leaseKey": {"S": at.to_string()}});
    for table in tables {
        ok(&service, "CreateTable", create(table)).await;
        for at in 0..25 {
            let item = json!({"leaseKey": {"S": at.to_string()}, "v": {"S": "x".repeat(390_000)}});
            ok(&service, "PutItem", json!({"TableName": table, "Item": item})).await;
        }
    }
    assert_ne!(group_of(&owner(), "app"), group_of(&owner(), "orders"));
    let keys: Vec<Value> = (0..25).map(key).collect();
    let mut asked = json!({"app": {"Keys": keys}, "orders": {"Keys": keys}});
    let (mut calls, mut found) = (0, 0);
    while asked != json!({}) {
        let answered = service
            .lease_tables()
            .call(&owner(), "BatchGetItem", json!({"RequestItems": asked}).to_string().as_bytes())
            .await
            .expect("a batch");
        assert!(answered.body.len() < (16 << 20) + 500_000, "{} bytes", answered.body.len());
        let answer: Value = serde_json::from_slice(&answered.body).expect("JSON");
        for table in tables {
            found += answer["Responses"][table].as_array().map_or(0, Vec::len);
        }
        asked = answer["UnprocessedKeys"].clone();
        calls += 1;
    }
    assert_eq!((calls, found), (2, 50));

    // While there is little room, an answer has fewer items; without any it is a throttle.
    let pool = Pool::unreserved("answers", 2 << 20, 2 << 20);
    let room = AnswerRoom::new(&pool, &Account::detached());
    let body = json!({"RequestItems": {"app": {"Keys": keys}}}).to_string();
    let own = owner();
    let batch = || service.lease_tables().call_within(&room, &own, "BatchGetItem", body.as_bytes());
    let answered = batch().await.expect("some items");
    let answer: Value = serde_json::from_slice(&answered.body).expect("JSON");
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    let (some, left) = (count(&answer["Responses"]["app"]), count(&answer["UnprocessedKeys"]["app"]["Keys"]));
    assert!(some > 0 && some < 25 && some + left == 25, "{some} and {left}");
    assert_eq!(pool.used(), answered.body.len());
    let refused = batch().await.expect_err("no room");
    assert_eq!(refused.exception(), "ProvisionedThroughputExceededException");
    drop(answered);
    assert_eq!(pool.used(), 0);
    drop(service);
    broker.stop().await;
}

/// A transaction over the two tables of an application that adds one to a counter in each.
fn count_in_both(token: &str) -> Value {
    let add = |table: &str| {
        json!({"Update": {
            "TableName": table, "Key": {"leaseKey": {"S": "shard"}}, "UpdateExpression": "ADD leaseCounter :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }})
    };
    json!({"TransactItems": [add("app"), add("app-CoordinatorState")], "ClientRequestToken": token})
}

async fn counter_in(service: &Service, table: &str) -> u64 {
    let get = json!({"TableName": table, "Key": {"leaseKey": {"S": "shard"}}});
    let found = ok(service, "GetItem", get).await;
    found["Item"]["leaseCounter"]["N"].as_str().map_or(0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_two_tables_is_done_once_though_a_leader_dies() {
    const TRANSACTIONS: u64 = 40;
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader(group_of(&owner(), "app")).await;
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let service = cluster.node(others[0]).service();
    let made = async move {
        ok(&service, "CreateTable", create("app")).await;
        ok(&service, "CreateTable", create("app-CoordinatorState")).await;
    };
    cluster.spawn(others[0], made).await.expect("tables");
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (at, service) = (others[worker % 2], cluster.node(others[worker % 2]).service());
            let counting = async move {
                for number in 0..TRANSACTIONS {
                    let body = count_in_both(&format!("{worker}-{number}"));
                    let began = Instant::now();
                    // A client sends a transaction again, with its token, until it has an answer.
                    while call(&service, "TransactWriteItems", body.clone()).await.0 != 200 {
                        assert!(began.elapsed() < PATIENCE, "transaction {number} is never done");
                    }
                }
            };
            cluster.spawn(at, counting)
        })
        .collect();
    let began = Instant::now();
    loop {
        let service = cluster.node(others[1]).service();
        let seen = cluster.spawn(others[1], async move { counter_in(&service, "app").await });
        if seen.await.expect("no panic") > TRANSACTIONS {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the counter does not move");
    }
    cluster.kill(leader).await;
    for worker in workers {
        worker.await.expect("no panic");
    }
    for table in ["app", "app-CoordinatorState"] {
        let service = cluster.node(others[0]).service();
        let seen = cluster.spawn(others[0], async move { counter_in(&service, table).await });
        assert_eq!(seen.await.expect("no panic"), 4 * TRANSACTIONS, "{table}");
    }
    cluster.end().await;
}

/// The renewals of one worker: values that it was told to have set, and values of renewals whose outcome it was not
/// told.
async fn renew(service: Arc<Service>) -> (Vec<u64>, Vec<u64>) {
    let (mut set, mut unknown) = (Vec::new(), Vec::new());
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "the counter never reaches {RENEWALS}");
        let Some(value) = counter(&service).await else { continue };
        if value >= RENEWALS {
            return (set, unknown);
        }
        match call(&service, "UpdateItem", renewal(value)).await {
            (200, _) => set.push(value + 1),
            (400, refused) => assert_eq!(refused["message"], "The conditional request failed"),
            (_, _) => unknown.push(value + 1),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_counter_has_one_winner_though_the_leader_dies() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader(group_of(&owner(), "app")).await;
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let service = cluster.node(others[0]).service();
    let made = async move {
        ok(&service, "CreateTable", create("app")).await;
        ok(&service, "PutItem", json!({"TableName": "app", "Item": lease(0)})).await;
    };
    cluster.spawn(others[0], made).await.expect("a table");
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let at = others[worker % others.len()];
            cluster.spawn(at, renew(cluster.node(at).service()))
        })
        .collect();
    let began = Instant::now();
    loop {
        let service = cluster.node(others[1]).service();
        let seen = cluster.spawn(others[1], async move { counter(&service).await }).await.expect("no panic");
        if seen.is_some_and(|value| value > RENEWALS / 3) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the counter does not move");
    }
    cluster.kill(leader).await;
    let mut winners: BTreeMap<u64, u32> = BTreeMap::new();
    let mut unknown = Vec::new();
    for worker in workers {
        let (set, without_answer) = worker.await.expect("no panic");
        unknown.extend(without_answer);
        for value in set {
            *winners.entry(value).or_default() += 1;
        }
    }
    for value in 1..=RENEWALS {
        match winners.get(&value) {
            Some(count) => assert_eq!(*count, 1, "{value} has one winner"),
            None => assert!(unknown.contains(&value), "{value} was set by a renewal without an answer"),
        }
    }
    cluster.end().await;
}
