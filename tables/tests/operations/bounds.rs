//! Bounds of tables, items and bytes, each refused in words.

use serde_json::{Value, json};
use tidelog_tables::{Owner, Shares};

use crate::endpoint::{Endpoint, with};

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
        "Subscriber limit exceeded: There is a limit of 256 tables per subscriber. Account 000000000000 has them in region us-east-1; the setting is --lease-table-limits tables=256".to_owned(),
    );
    assert_eq!(endpoint.refused("CreateTable", create.clone()), expected);
    endpoint.tables_elsewhere = 0;
    endpoint.ok("CreateTable", create);
}

#[test]
fn items_of_a_table() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.items = 3;
    let sentence = "Tidelog keeps lease tables, not a database: table leases has 3 items, its bound; the setting is --lease-table-limits items=3";
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

const ONE: &str = "000000000000";
const OTHER: &str = "111111111111";
const THIRD: &str = "222222222222";
const MIB: u64 = 1 << 20;

fn is_full(sentence: &str, bytes: u64) -> bool {
    let setting = format!("; the setting is --lease-table-limits bytes={bytes}");
    sentence.starts_with(
        "Tidelog keeps lease tables, not a database: the tables of all accounts in this data group would take more than",
    ) && sentence.ends_with(&setting)
}

/// The sentence for an account that has its share of a group.
fn share_taken(account: &str, bytes: u64) -> String {
    format!(
        "Tidelog keeps lease tables, not a database: the last eighth of the {bytes} bytes of this data group is \
         for accounts that have less than account {account}; the setting is --lease-table-limits bytes={bytes}"
    )
}

/// Puts items of that many bytes until one is refused; their number, and the sentence.
fn fill(endpoint: &mut Endpoint, bytes: usize) -> (usize, String) {
    let mut count = 0;
    loop {
        match endpoint.call("PutItem", put(&format!("{count:010}"), bytes)) {
            Ok(_) => count += 1,
            Err(fault) => return (count, fault["message"].as_str().expect("a message").to_owned()),
        }
    }
}

fn act_as(endpoint: &mut Endpoint, account: &str, region: &str) {
    endpoint.owner = Owner::new(account, region);
}

#[test]
fn an_account_leaves_an_eighth_of_a_group_for_others() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.group_bytes = MIB;
    let (count, sentence) = fill(&mut endpoint, 10_000);
    assert_eq!(sentence, share_taken(ONE, MIB));
    let own = endpoint.tables.account_bytes(ONE);
    assert!(own <= MIB / 8 * 7 && own + 11_000 > MIB / 8 * 7, "{own} bytes of {count} items");
    // Its other regions are part of its share.
    act_as(&mut endpoint, ONE, "eu-west-1");
    let create = json!({
        "TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "Tags": [{"Key": "k", "Value": "v".repeat(256)}],
    });
    for region in 0..20 {
        act_as(&mut endpoint, ONE, &format!("region-{region}"));
        _ = endpoint.call("CreateTable", create.clone());
    }
    assert_eq!(
        endpoint.invalid("CreateTable", with(&create, json!({"TableName": "next"}))),
        share_taken(ONE, MIB)
    );
    // Other accounts find room, each less than those before.
    act_as(&mut endpoint, OTHER, "us-east-1");
    endpoint.create("leases", &[("leaseKey", "S")]);
    let (of_other, sentence) = fill(&mut endpoint, 1_000);
    assert_eq!(sentence, share_taken(OTHER, MIB));
    assert!((40..count).contains(&of_other), "{of_other} after {count}");
    act_as(&mut endpoint, THIRD, "us-east-1");
    endpoint.create("leases", &[("leaseKey", "S")]);
    let (of_third, sentence) = fill(&mut endpoint, 1_000);
    assert_eq!(sentence, share_taken(THIRD, MIB));
    assert!((20..of_other).contains(&of_third), "{of_third} after {of_other}");
    // What is given back is there for others.
    act_as(&mut endpoint, ONE, "us-east-1");
    endpoint.ok("DeleteTable", json!({"TableName": "leases"}));
    act_as(&mut endpoint, OTHER, "us-east-1");
    endpoint.ok("PutItem", put("next", 10_000));
}

#[test]
fn leases_are_renewed_though_nothing_new_finds_room() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.group_bytes = MIB;
    let (count, _) = fill(&mut endpoint, 1);
    assert!(count > 400, "{count}");
    // As large as KCL's largest, with an owner and an index.
    let lease = |bytes: usize| put("0000000000", bytes);
    endpoint.ok("PutItem", lease(524));
    assert_eq!(endpoint.invalid("PutItem", lease(2_000)), share_taken(ONE, MIB));
    let update = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "0000000001"}}, "UpdateExpression": "SET checkpoint = :c",
        "ExpressionAttributeValues": {":c": {"S": "4".repeat(56)}},
    });
    endpoint.ok("UpdateItem", update);
}

#[test]
fn indexes_and_times_of_expiry_count() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.group_bytes = MIB;
    for number in 0..200 {
        let key = format!("{number:0300}");
        let item =
            json!({"leaseKey": {"S": key}, "one": {"S": key}, "two": {"S": key}, "expires": {"N": "1"}});
        endpoint.put("leases", item);
    }
    let index = |name: &str| {
        json!({"Create": {
            "IndexName": name, "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }})
    };
    let update = |names: &[&str]| {
        let definitions = names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        json!({
            "TableName": "leases", "AttributeDefinitions": definitions.collect::<Vec<_>>(),
            "GlobalSecondaryIndexUpdates": names.iter().map(|name| index(name)).collect::<Vec<_>>(),
        })
    };
    let before = endpoint.tables.memory_bytes();
    endpoint.ok("UpdateTable", update(&["absent"]));
    assert!(endpoint.tables.memory_bytes() < before + 2_000, "no item has the attribute");
    let bound = before + 100_000;
    endpoint.bounds.group_bytes = bound;
    assert!(is_full(&endpoint.invalid("UpdateTable", update(&["one", "two"])), bound));
    endpoint.bounds.group_bytes = 4 * MIB;
    endpoint.ok("UpdateTable", update(&["one", "two"]));
    let with_indexes = endpoint.tables.memory_bytes();
    assert!(with_indexes > before + 200 * 1_000, "{before} and {with_indexes}");
    let specification = json!({"AttributeName": "expires", "Enabled": true});
    endpoint.ok("UpdateTimeToLive", json!({"TableName": "leases", "TimeToLiveSpecification": specification}));
    assert!(endpoint.tables.memory_bytes() > with_indexes + 200 * 300);
    let drop = json!({"TableName": "leases", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "one"}}, {"Delete": {"IndexName": "two"}}]});
    endpoint.ok("UpdateTable", drop);
    assert!(endpoint.tables.memory_bytes() < with_indexes);
}

#[test]
fn bytes_of_a_group() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.group_bytes = MIB;
    endpoint.ok("PutItem", put("a", 300_000));
    // Whatever shrinks goes on, even above a bound that was lowered.
    endpoint.bounds.group_bytes = 100_000;
    endpoint.ok("PutItem", put("a", 200_000));
    assert!(is_full(&endpoint.invalid("PutItem", put("a", 200_001)), 100_000));
    assert!(is_full(&endpoint.invalid("PutItem", put("b", 1)), 100_000));
    let tag = json!({
        "ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/leases",
        "Tags": [{"Key": "k", "Value": "v".repeat(200)}],
    });
    assert!(is_full(&endpoint.invalid("TagResource", tag), 100_000));
    endpoint.ok("DeleteItem", json!({"TableName": "leases", "Key": {"leaseKey": {"S": "a"}}}));
    endpoint.ok("PutItem", put("b", 1));
}

#[test]
fn a_log_from_before_there_were_shares_is_applied_as_it_was() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.bounds.shares = Shares::None;
    endpoint.bounds.group_bytes = endpoint.tables.bytes() + 2_100;
    endpoint.ok("PutItem", put("a", 1_000));
    endpoint.ok("PutItem", put("b", 1_000));
    let bound = endpoint.bounds.group_bytes;
    assert!(is_full(&endpoint.invalid("PutItem", put("c", 1_000)), bound));
    endpoint.bounds.shares = Shares::Free;
    assert!(is_full(&endpoint.invalid("PutItem", put("a", 2_000)), bound));
}
