//! Changes of all tables of an application: a refused one leaves every table, its bytes and its tokens as they were.

use serde_json::json;
use tidelog_tables::request::{ApplicationChange, CreateTable};
use tidelog_tables::{Item, Request, Write};

use crate::endpoint::Endpoint;

fn create(endpoint: &Endpoint, table: &str) -> CreateTable {
    let body = json!({
        "TableName": table, "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    });
    match Request::parse("CreateTable", body.to_string().as_bytes(), &endpoint.owner) {
        Ok(Request::Write(Write::CreateTable(create))) => create,
        other => panic!("{other:?}"),
    }
}

fn apply(endpoint: &mut Endpoint, change: ApplicationChange) -> Result<Vec<u8>, String> {
    // The endpoint checks that a refused command has changed nothing, and that the bytes are those of the snapshot.
    endpoint.apply(Write::Application(Box::new(change))).map_err(|fault| fault.to_string())
}

#[test]
fn a_table_that_came_meanwhile_stays_when_an_import_is_refused() {
    let mut endpoint = Endpoint::with_leases();
    let created = Some(create(&endpoint, "leases"));
    let change = ApplicationChange { application: "leases".into(), created, ..ApplicationChange::default() };
    assert_eq!(apply(&mut endpoint, change), Err("Table already exists: leases".into()));
    endpoint.put("leases", json!({"leaseKey": {"S": "a"}}));
}

#[test]
fn a_replacement_without_room_leaves_the_tables_and_tokens_as_they_were() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.ok(
        "TransactWriteItems",
        json!({"ClientRequestToken": "token", "TransactItems": [{"Put": {
            "TableName": "leases", "Item": {"leaseKey": {"S": "a"}},
        }}]}),
    );
    endpoint.bounds.group_bytes = 100_000;
    let item = |key: usize| json!({"leaseKey": {"S": key.to_string()}, "v": {"S": "x".repeat(10_000)}});
    let items = (0..20).map(|key| Item::from_json(item(key).to_string().as_bytes()).expect("an item"));
    let change = ApplicationChange {
        application: "leases".into(),
        item_count: 1,
        dropped: vec!["leases".into()],
        created: Some(create(&endpoint, "leases")),
        items: items.collect(),
        ..ApplicationChange::default()
    };
    let refused = apply(&mut endpoint, change).expect_err("no room");
    assert!(refused.contains("--lease-table-limits bytes=100000"), "{refused}");
    assert_eq!(endpoint.tables.owners_with_tokens(i64::MAX).count(), 1);
}
