//! Measures the hot calls of lease tables: `cargo run --release -p tidelog-tables --example measure`.
//!
//! One thread, no log and no network: the renewal of a lease from its JSON to its bytes, its application, a full scan
//! of 10,000 leases, memory of an item, snapshot and restart.

use std::time::{Duration, Instant};

use tidelog_tables::{Bounds, Command, Owner, Request, Stamp, Tables};

const ITEMS: usize = 10_000;

fn stamp() -> Stamp {
    Stamp { now_ms: 1_764_500_000_000, bounds: Bounds::default(), tables_elsewhere: 0 }
}

fn command(owner: &Owner, operation: &str, body: &str) -> Command {
    match Request::parse(operation, body.as_bytes(), owner) {
        Ok(Request::Write(write)) => Command { stamp: stamp(), owner: owner.clone(), write },
        other => panic!("{body}: {other:?}"),
    }
}

fn lease(number: usize) -> String {
    format!(
        r#"{{"leaseKey": {{"S": "shardId-{number:012}"}}, "leaseCounter": {{"N": "7"}}, "leaseOwner": {{"S": "worker-{}"}},
        "checkpoint": {{"S": "49590338271490256608559692538361571095921575989136588{number:05}"}},
        "checkpointSubSequenceNumber": {{"N": "0"}}, "ownerSwitchesSinceCheckpoint": {{"N": "0"}},
        "startingHashKey": {{"S": "170141183460469231731687303715884105728"}},
        "endingHashKey": {{"S": "340282366920938463463374607431768211455"}},
        "parentShardId": {{"SS": ["shardId-000000000000"]}}, "throughputKBps": {{"N": "0.238698"}},
        "entityType": {{"S": "LEASE"}}}}"#,
        number % 50
    )
}

fn renewal(number: usize, counter: usize) -> String {
    format!(
        r#"{{"TableName": "leases", "Key": {{"leaseKey": {{"S": "shardId-{number:012}"}}}},
        "AttributeUpdates": {{"leaseCounter": {{"Action": "PUT", "Value": {{"N": "{}"}}}}}},
        "Expected": {{"leaseCounter": {{"Value": {{"N": "{counter}"}}}}}}}}"#,
        counter + 1
    )
}

/// Resident bytes of this process.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

fn timed<T>(what: &str, count: usize, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let elapsed: Duration = start.elapsed();
    let each_us = elapsed.as_secs_f64() * 1e6 / count as f64;
    println!("{what}: {:.2} ms, {each_us:.2} us each", elapsed.as_secs_f64() * 1e3);
    result
}

fn main() {
    let owner = Owner::new("000000000000", "us-east-1");
    let mut tables = Tables::new();
    let create = r#"{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}]}"#;
    tables.apply(&command(&owner, "CreateTable", create)).expect("created");
    let index = r#"{"TableName": "leases", "AttributeDefinitions": [{"AttributeName": "leaseOwner", "AttributeType": "S"}],
        "GlobalSecondaryIndexUpdates": [{"Create": {"IndexName": "LeaseOwnerToLeaseKeyIndex",
        "Projection": {"ProjectionType": "KEYS_ONLY"}, "KeySchema": [{"AttributeName": "leaseOwner", "KeyType": "HASH"},
        {"AttributeName": "leaseKey", "KeyType": "RANGE"}]}}]}"#;
    tables.apply(&command(&owner, "UpdateTable", index)).expect("updated");

    let before = resident_bytes();
    timed("put leases", ITEMS, || {
        for number in 0..ITEMS {
            let body = format!(r#"{{"TableName": "leases", "Item": {}}}"#, lease(number));
            tables.apply(&command(&owner, "PutItem", &body)).expect("put");
        }
    });
    println!("memory of an item: {} bytes", (resident_bytes() - before) / ITEMS as u64);
    println!("snapshot bytes of an item: {}", tables.bytes() / ITEMS as u64);

    let bodies: Vec<String> = (0..ITEMS).map(|number| renewal(number, 7)).collect();
    let commands: Vec<Vec<u8>> = timed("parse and encode renewals", ITEMS, || {
        bodies.iter().map(|body| command(&owner, "UpdateItem", body).encode()).collect()
    });
    println!("bytes of a renewal: {} of JSON, {} in the log", bodies[0].len(), commands[0].len());
    timed("decode and apply renewals", ITEMS, || {
        for bytes in &commands {
            tables.apply(&Command::decode(bytes).expect("a command")).expect("renewed");
        }
    });
    timed("decode and refuse renewals", ITEMS, || {
        for bytes in &commands {
            tables.apply(&Command::decode(bytes).expect("a command")).expect_err("renewed before");
        }
    });

    let mut scan = r#"{"TableName": "leases"}"#.to_owned();
    let pages = timed("scan all leases", ITEMS, || {
        let mut pages = 0;
        loop {
            let Ok(Request::Read(read)) = Request::parse("Scan", scan.as_bytes(), &owner) else {
                panic!("a read")
            };
            let page = tables.read(&owner, &read, stamp().now_ms).expect("a page");
            pages += 1;
            let page = String::from_utf8(page).expect("JSON");
            let Some((_, last)) = page.split_once("\"LastEvaluatedKey\":") else { break pages };
            let last = last.strip_suffix('}').expect("the end");
            scan = format!(r#"{{"TableName": "leases", "ExclusiveStartKey": {last}}}"#);
        }
    });
    println!("pages: {pages}");
    let query = r#"{"TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeyConditionExpression": "leaseOwner = :o", "ExpressionAttributeValues": {":o": {"S": "worker-7"}}}"#;
    timed("query one worker's leases", 1, || {
        let Ok(Request::Read(read)) = Request::parse("Query", query.as_bytes(), &owner) else {
            panic!("a read")
        };
        tables.read(&owner, &read, stamp().now_ms).expect("a page")
    });

    let snapshot = timed("snapshot", ITEMS, || tables.snapshot());
    println!("bytes of the snapshot: {}", snapshot.len());
    let restored =
        timed("read the snapshot", ITEMS, || Tables::read_snapshot(&snapshot).expect("a snapshot"));
    assert_eq!(restored, tables);
}
