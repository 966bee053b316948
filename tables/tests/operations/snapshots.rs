//! Snapshots and commands as bytes: golden ones, and damaged ones.

use proptest::prelude::*;
use serde_json::json;
use tidelog_tables::request::ApplicationChange;
use tidelog_tables::{Bounds, Command, Owner, Request, Shares, Stamp, Tables, Write};

use crate::endpoint::{Endpoint, NOW_MS};

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    endpoint.create("pairs", &[("h", "N"), ("r", "B")]);
    endpoint.ok(
        "UpdateTable",
        json!({
            "TableName": "leases", "AttributeDefinitions": [{"AttributeName": "leaseOwner", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [{"Create": {
                "IndexName": "by-owner", "KeySchema": [{"AttributeName": "leaseOwner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }}],
        }),
    );
    endpoint.put("leases", json!({"leaseKey": {"S": "a"}, "leaseOwner": {"S": "one"}, "n": {"N": "-12.5"}}));
    endpoint.put("pairs", json!({"h": {"N": "1"}, "r": {"B": "AA=="}, "all": {"L": [{"NULL": true}, {"M": {}}, {"NS": ["1"]}]}}));
    endpoint
}

/// An update with all parts of the grammar.
fn command(endpoint: &Endpoint) -> Command {
    let body = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "a"}}, "ReturnValues": "ALL_NEW",
        "ConditionExpression": "(a = :n OR NOT b <> :n) AND c BETWEEN :n AND :n AND d IN (:n, e) AND attribute_exists(f) AND attribute_not_exists(g) AND begins_with(h, :s)",
        "UpdateExpression": "SET a = b + if_not_exists(c, :n), d = e - :n, i = :s REMOVE f ADD n :n DELETE g :set",
        "ExpressionAttributeValues": {":n": {"N": "1"}, ":s": {"S": "x"}, ":set": {"SS": ["x"]}},
    });
    let Ok(Request::Write(write)) =
        Request::parse("UpdateItem", body.to_string().as_bytes(), &endpoint.owner)
    else {
        panic!("a write");
    };
    let bounds = Bounds { shares: Shares::None, ..endpoint.bounds };
    let stamp = Stamp { now_ms: NOW_MS, bounds, tables_elsewhere: 3 };
    Command { stamp, owner: endpoint.owner.clone(), write }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A state with tokens of transactions.
fn endpoint_with_tokens() -> Endpoint {
    let mut endpoint = endpoint();
    for token in ["one", "two"] {
        endpoint.ok("TransactWriteItems", transaction(token));
    }
    endpoint
}

fn transaction(token: &str) -> serde_json::Value {
    let put = json!({"Put": {"TableName": "leases", "Item": {"leaseKey": {"S": token}}}});
    json!({"TransactItems": [put], "ClientRequestToken": token})
}

/// A transaction with a token.
fn command_with_token(endpoint: &Endpoint) -> Command {
    let body = transaction("three").to_string();
    let Ok(Request::Write(write)) = Request::parse("TransactWriteItems", body.as_bytes(), &endpoint.owner)
    else {
        panic!("a write");
    };
    let stamp = Stamp { now_ms: NOW_MS, bounds: endpoint.bounds, tables_elsewhere: 0 };
    Command { stamp, owner: endpoint.owner.clone(), write }
}

/// A change of an application that drops two of its tables if a lease is as it was read.
fn command_that_drops(endpoint: &Endpoint) -> Command {
    let Write::TransactionOnce { writes, .. } = command_with_token(endpoint).write else {
        panic!("a transaction with a token");
    };
    let change = ApplicationChange {
        application: "app".into(),
        item_count: 3,
        writes,
        dropped: vec!["app".into(), "app-CoordinatorState".into()],
        created: None,
        items: Vec::new(),
    };
    let stamp = Stamp { now_ms: NOW_MS, bounds: endpoint.bounds, tables_elsewhere: 0 };
    Command { stamp, owner: endpoint.owner.clone(), write: Write::Application(Box::new(change)) }
}

fn assert_golden(version: u8, endpoint: &Endpoint, commands: &[Command]) {
    let mut found = format!("{}\n", hex(&endpoint.tables.snapshot()));
    for command in commands {
        found += &format!("{}\n", hex(&command.encode()));
    }
    let path = format!("{}/tests/golden/version_{version}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TIDELOG_RECORD").is_some() {
        std::fs::write(&path, &found).expect("a golden file");
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file");
    assert_eq!(
        found, expected,
        "bytes of version {version} are on disks: a change of them is a new version (tables/FORMAT.md)"
    );
}

#[test]
fn golden_bytes() {
    let endpoint = endpoint();
    assert_golden(1, &endpoint, &[command(&endpoint)]);
    let mut endpoint = endpoint_with_tokens();
    let current = command_with_token(&endpoint);
    endpoint.bounds.shares = Shares::Free;
    let owner = endpoint.owner.clone();
    let stamp = Stamp { now_ms: NOW_MS, bounds: endpoint.bounds, tables_elsewhere: 0 };
    let forget = Command { stamp, owner, write: Write::ForgetTokens { before_ms: NOW_MS } };
    assert_golden(2, &endpoint, &[command_with_token(&endpoint), forget, command_that_drops(&endpoint)]);
    assert_golden(3, &endpoint, &[current]);
}

#[test]
fn shortened_bytes_are_refused() {
    for with_token in [false, true] {
        let endpoint = if with_token { endpoint_with_tokens() } else { endpoint() };
        let command = if with_token { command_with_token(&endpoint) } else { command(&endpoint) };
        assert_refused_when_shortened(&endpoint.tables.snapshot(), &command.encode());
    }
}

fn assert_refused_when_shortened(snapshot: &[u8], command: &[u8]) {
    for length in 0..snapshot.len() {
        assert!(Tables::read_snapshot(&snapshot[..length]).is_err(), "{length}");
    }
    for length in 0..command.len() {
        assert!(Command::decode(&command[..length]).is_err(), "{length}");
    }
    let changed = |bytes: &[u8], version: u8| [&[version], &bytes[1..]].concat();
    for (of_snapshot, of_command) in [(0, 0), (3, 4), (255, 255)] {
        assert!(Tables::read_snapshot(&changed(snapshot, of_snapshot)).is_err());
        assert!(Command::decode(&changed(command, of_command)).is_err());
    }
}

#[test]
fn an_empty_state_is_a_snapshot() {
    let tables = Tables::new();
    assert_eq!(tables.snapshot().len() as u64, tables.bytes());
    assert_eq!(Tables::read_snapshot(&tables.snapshot()), Ok(tables));
}

#[test]
fn lengths_that_promise_too_much_allocate_nothing() {
    let long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for at in 1..40 {
        let endpoint = endpoint();
        for mut bytes in [endpoint.tables.snapshot(), command(&endpoint).encode()] {
            bytes.splice(at..=at, long);
            _ = Tables::read_snapshot(&bytes);
            _ = Command::decode(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_are_refused_or_whole(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        with_token: bool,
    ) {
        let endpoint = if with_token { endpoint_with_tokens() } else { endpoint() };
        let command = if with_token { command_with_token(&endpoint) } else { command(&endpoint) };
        let (mut snapshot, mut command) = (endpoint.tables.snapshot(), command.encode());
        for (at, byte) in changes {
            let (one, other) = (at.index(snapshot.len()), at.index(command.len()));
            snapshot[one] = byte;
            command[other] = byte;
        }
        if let Ok(tables) = Tables::read_snapshot(&snapshot) {
            prop_assert_eq!(tables.snapshot(), snapshot);
        }
        if let Ok(decoded) = Command::decode(&command) {
            prop_assert_eq!(decoded.encode(), command);
            let mut tables = endpoint.tables.clone();
            _ = tables.apply(&decoded);
            prop_assert_eq!(tables.snapshot().len() as u64, tables.bytes());
        }
    }
}

#[test]
fn an_application_is_that_of_the_table() {
    let write = Write::DeleteTable("app-WorkerMetricStats".into());
    assert_eq!(write.application(), "app");
    let owner = Owner::new("1", "2");
    let Ok(Request::Read(read)) =
        Request::parse("DescribeTable", br#"{"TableName": "app-CoordinatorState"}"#, &owner)
    else {
        panic!("a read");
    };
    assert_eq!(read.application(), "app");
}
