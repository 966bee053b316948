//! Bounds of tables, items and bytes, each refused in words.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;

fn item(key: &str, bytes: usize) -> Value {
    json!({"leaseKey": {"S": key}, "v": {"S": "x".repeat(bytes)}})
}

fn put(key: &str, bytes: usize) -> Value {
    json!({"TableName": "leases", "Item": item(key, bytes)})
}

#[test]
fn tables_of_an_account() {
    let mut endpoint = Endpoint::new();
    endpoint.bounds.tables = 256;
    for number in 0..255 {
        endpoint.create(&format!("table{number}"), &[("k", "S")]);
    }
    endpoint.tables_elsewhere = 1;
    let create = json!({
        "TableName": "last", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    });
    let expected = (
        "LimitExceededException".to_owned(),
        "Subscriber limit exceeded: There is a limit of 256 tables per subscriber".to_owned(),
    );
    assert_eq!(endpoint.refused("CreateTable", create.clone()), expected);
    endpoint.tables_elsewhere = 0;
    endpoint.ok("CreateTable", create);
}

#[test]
fn items_of_a_table() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.items = 3;
    let sentence = "Tidelog keeps lease tables, not a database: table leases has 3 items, its bound";
    for key in ["a", "b", "c"] {
        endpoint.ok("PutItem", put(key, 1));
    }
    assert_eq!(endpoint.invalid("PutItem", put("d", 1)), sentence);
    endpoint.ok("PutItem", put("c", 2));
    let batch = |puts: &[&str], deletes: &[&str]| {
        let puts = puts.iter().map(|key| json!({"PutRequest": {"Item": item(key, 1)}}));
        let deletes = deletes.iter().map(|key| json!({"DeleteRequest": {"Key": {"leaseKey": {"S": key}}}}));
        json!({"RequestItems": {"leases": puts.chain(deletes).collect::<Vec<_>>()}})
    };
    assert_eq!(endpoint.invalid("BatchWriteItem", batch(&["d", "e"], &["a"])), sentence);
    endpoint.ok("BatchWriteItem", batch(&["d"], &["a"]));
    let update = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "new"}}});
    assert_eq!(endpoint.invalid("UpdateItem", update), sentence);
}

#[test]
fn bytes_of_an_item() {
    let mut endpoint = Endpoint::with_leases();
    // The names and the key take ten bytes: leaseKey, k, v.
    let fits = 400 * 1024 - 10;
    endpoint.ok("PutItem", put("k", fits));
    assert_eq!(
        endpoint.invalid("PutItem", put("k", fits + 1)),
        "Item size has exceeded the maximum allowed size"
    );
    let update = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "k"}}, "UpdateExpression": "SET a = :a",
        "ExpressionAttributeValues": {":a": {"S": ""}},
    });
    assert_eq!(
        endpoint.invalid("UpdateItem", update),
        "Item size to update has exceeded the maximum allowed size"
    );
}

#[test]
fn bytes_of_a_group() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.group_bytes = endpoint.tables.bytes() + 2_100;
    endpoint.ok("PutItem", put("a", 1_000));
    endpoint.ok("PutItem", put("b", 1_000));
    let full = endpoint.invalid("PutItem", put("c", 1_000));
    let bound = endpoint.bounds.group_bytes;
    assert_eq!(
        full,
        format!(
            "Tidelog keeps lease tables, not a database: the tables of this group would take more than {bound} bytes, their bound"
        )
    );
    let create = json!({
        "TableName": "next", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "k".repeat(200), "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k".repeat(200), "AttributeType": "S"}],
    });
    assert_eq!(endpoint.invalid("CreateTable", create), full);
    let tag = json!({
        "ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/leases",
        "Tags": [{"Key": "k", "Value": "v".repeat(200)}],
    });
    assert_eq!(endpoint.invalid("TagResource", tag), full);
    // Whatever shrinks goes on, even above a bound that was lowered.
    endpoint.bounds.group_bytes = 10;
    endpoint.ok("PutItem", put("a", 900));
    endpoint.ok("DeleteItem", json!({"TableName": "leases", "Key": {"leaseKey": {"S": "b"}}}));
    assert_eq!(endpoint.invalid("PutItem", put("a", 901)).split(':').next(), full.split(':').next());
}
