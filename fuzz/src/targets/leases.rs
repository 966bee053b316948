//! Lease tables: requests of clients, and bytes of commands and snapshots.

use tidelog_tables::{Bounds, Command, Owner, Read, Request, Stamp, Tables, Write};

const NOW_MS: i64 = 1_764_500_000_000;

fn owner() -> Owner {
    Owner::new("000000000000", "us-east-1")
}

fn command(write: Write) -> Command {
    let bounds = Bounds { tables: 8, items: 8, item_bytes: 4_096, group_bytes: 32_768, ..Bounds::default() };
    Command { stamp: Stamp { now_ms: NOW_MS, bounds, tables_elsewhere: 0 }, owner: owner(), write }
}

/// A state with one table, which has an index and items.
fn tables() -> Tables {
    let mut tables = Tables::new();
    for (operation, body) in [
        (
            "CreateTable",
            r#"{"TableName":"leases","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}],
            "AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"},{"AttributeName":"leaseOwner","AttributeType":"S"}],
            "GlobalSecondaryIndexes":[{"IndexName":"by-owner","KeySchema":[{"AttributeName":"leaseOwner","KeyType":"HASH"},
            {"AttributeName":"leaseKey","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}"#,
        ),
        (
            "PutItem",
            r#"{"TableName":"leases","Item":{"leaseKey":{"S":"a"},"leaseOwner":{"S":"one"},"leaseCounter":{"N":"7"}}}"#,
        ),
        (
            "PutItem",
            r#"{"TableName":"leases","Item":{"leaseKey":{"S":"b"},"set":{"SS":["x","y"]},"m":{"M":{"l":{"L":[]}}}}}"#,
        ),
    ] {
        let Ok(Request::Write(write)) = Request::parse(operation, body.as_bytes(), &owner()) else {
            panic!("a write")
        };
        tables.apply(&command(write)).expect("done");
    }
    tables
}

fn is_json(body: &[u8]) {
    assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok(), "{}", String::from_utf8_lossy(body));
}

fn check(tables: &Tables) {
    let snapshot = tables.snapshot();
    assert_eq!(snapshot.len() as u64, tables.bytes());
    assert_eq!(Tables::read_snapshot(&snapshot).as_ref(), Ok(tables));
}

fn apply(tables: &mut Tables, write: Write) {
    let command = command(write);
    let bytes = command.encode();
    assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
    let before = tables.snapshot();
    match tables.apply(&command) {
        Ok(outcome) => is_json(&outcome.into_body()),
        Err(fault) => {
            is_json(&fault.body());
            assert_eq!(tables.snapshot(), before, "a refused command has changed something");
        }
    }
    check(tables);
}

fn read(tables: &Tables, read: &Read) {
    match tables.read(&owner(), read, NOW_MS) {
        Ok(body) => is_json(&body),
        Err(fault) => is_json(&fault.body()),
    }
}

/// An operation's name and, on the next lines, its body: whatever is read becomes the same command again, leaves a
/// state that its snapshot gives again, and is answered with JSON.
///
/// # Panics
/// When one of that does not hold.
pub fn lease_call(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let operation = String::from_utf8_lossy(&data[..at]);
    let body = data.get(at + 1..).unwrap_or_default();
    let mut tables = tables();
    match Request::parse(&operation, body, &owner()) {
        Ok(Request::Write(write)) => apply(&mut tables, write),
        Ok(Request::BatchWrite(writes)) => writes.into_iter().for_each(|write| apply(&mut tables, write)),
        Ok(Request::Read(one)) => read(&tables, &one),
        Ok(Request::BatchGet(reads)) => reads.iter().for_each(|one| read(&tables, one)),
        Ok(Request::ListTables(_) | Request::DescribeLimits) => {}
        Err(fault) => is_json(&fault.body()),
    }
}

/// Bytes of a command or of a snapshot: those that are read are written as they were, and leave a whole state.
///
/// # Panics
/// When one of that does not hold.
pub fn lease_bytes(data: &[u8]) {
    if let Ok(tables) = Tables::read_snapshot(data) {
        assert_eq!(tables.snapshot(), data);
    }
    if let Ok(command) = Command::decode(data) {
        assert_eq!(command.encode(), data);
        let mut tables = tables();
        _ = tables.apply(&command);
        check(&tables);
    }
}
