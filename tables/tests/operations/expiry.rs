//! TimeToLive: expired items are absent for reads and conditions, and go away when Expire comes.

use serde_json::{Value, json};
use tidelog_tables::{Command, Outcome, Stamp, Write};

use crate::endpoint::{Endpoint, NOW_MS};

const NOW_SECONDS: i64 = NOW_MS / 1_000;

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    let specification = json!({"AttributeName": "expires", "Enabled": true});
    endpoint.ok("UpdateTimeToLive", json!({"TableName": "leases", "TimeToLiveSpecification": specification}));
    for (key, expires) in [
        ("past", json!({"N": NOW_SECONDS.to_string()})),
        ("fraction", json!({"N": format!("{}.9", NOW_SECONDS - 1)})),
        ("future", json!({"N": (NOW_SECONDS + 10).to_string()})),
        ("long-past", json!({"N": "1"})),
        ("text", json!({"S": "1"})),
        ("huge", json!({"N": "1E100"})),
    ] {
        endpoint.put("leases", json!({"leaseKey": {"S": key}, "expires": expires}));
    }
    endpoint
}

fn keys(endpoint: &mut Endpoint) -> Vec<String> {
    let page = endpoint.ok("Scan", json!({"TableName": "leases"}));
    let items = page["Items"].as_array().expect("items").iter();
    let mut keys: Vec<_> =
        items.map(|item| item["leaseKey"]["S"].as_str().expect("a key").to_owned()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn expired_items_are_absent() {
    let mut endpoint = endpoint();
    assert_eq!(keys(&mut endpoint), ["future", "huge", "long-past", "text"]);
    assert_eq!(endpoint.get("leases", json!({"leaseKey": {"S": "past"}})), Value::Null);
    endpoint.now_ms += 10_000;
    assert_eq!(keys(&mut endpoint), ["huge", "long-past", "text"]);
    endpoint.now_ms = NOW_MS - 60_000;
    assert_eq!(keys(&mut endpoint).len(), 6, "nothing was removed");
}

#[test]
fn conditions_see_no_expired_item() {
    let mut endpoint = endpoint();
    let body = |condition: &str| json!({"TableName": "leases", "Item": {"leaseKey": {"S": "past"}}, "ConditionExpression": condition});
    assert_eq!(
        endpoint.refused("PutItem", body("attribute_exists(leaseKey)")).0,
        "ConditionalCheckFailedException"
    );
    endpoint.ok("PutItem", body("attribute_not_exists(leaseKey)"));
    let update = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "fraction"}}, "ReturnValues": "ALL_NEW",
        "UpdateExpression": "SET a = if_not_exists(expires, :a)", "ExpressionAttributeValues": {":a": {"S": "new"}},
    });
    let expected = json!({"Attributes": {"leaseKey": {"S": "fraction"}, "a": {"S": "new"}}});
    assert_eq!(endpoint.ok("UpdateItem", update), expected);
}

#[test]
fn expired_items_are_removed_a_few_at_a_time() {
    let mut endpoint = endpoint();
    let has_expired = |endpoint: &Endpoint, before_ms| {
        endpoint.tables.table(&endpoint.owner, "leases").expect("the table").has_expired(before_ms)
    };
    assert!(has_expired(&endpoint, NOW_MS) && !has_expired(&endpoint, NOW_MS - 60_000));
    let mut expire = |before_ms: i64, items_max: u32| {
        let stamp = Stamp { now_ms: NOW_MS, bounds: endpoint.bounds, tables_elsewhere: 0 };
        let write = Write::Expire { table: "leases".into(), before_ms, items_max };
        let command = Command { stamp, owner: endpoint.owner.clone(), write };
        let command = Command::decode(&command.encode()).expect("just encoded");
        endpoint.tables.apply(&command)
    };
    assert_eq!(expire(NOW_MS - 60_000, 10), Ok(Outcome::Expired(0)));
    assert_eq!(expire(NOW_MS, 1), Ok(Outcome::Expired(1)));
    assert_eq!(expire(NOW_MS, 10), Ok(Outcome::Expired(1)));
    assert_eq!(expire(NOW_MS, 10), Ok(Outcome::Expired(0)));
    let table = endpoint.tables.table(&endpoint.owner, "leases").expect("the table");
    assert_eq!(table.len(), 4);
    assert!(!has_expired(&endpoint, NOW_MS));
    assert_eq!(endpoint.tables.snapshot().len() as u64, endpoint.tables.bytes());
}

#[test]
fn what_expires_first_is_removed_first_whatever_has_changed_before() {
    let mut endpoint = Endpoint::with_leases();
    let put = |endpoint: &mut Endpoint, key: &str, expires: i64| {
        endpoint.put("leases", json!({"leaseKey": {"S": key}, "expires": {"N": expires.to_string()}}));
    };
    for (key, ago) in [("a", 10), ("b", 30), ("c", 20), ("gone", 40), ("later", 50)] {
        put(&mut endpoint, key, NOW_SECONDS - ago);
    }
    let switch = |endpoint: &mut Endpoint, is_enabled: bool| {
        let specification = json!({"AttributeName": "expires", "Enabled": is_enabled});
        let body = json!({"TableName": "leases", "TimeToLiveSpecification": specification});
        endpoint.ok("UpdateTimeToLive", body);
    };
    switch(&mut endpoint, true);
    endpoint.ok("DeleteItem", json!({"TableName": "leases", "Key": {"leaseKey": {"S": "gone"}}}));
    put(&mut endpoint, "later", NOW_SECONDS + 50);
    let expire = |endpoint: &mut Endpoint, items_max| {
        let write = Write::Expire { table: "leases".into(), before_ms: NOW_MS, items_max };
        endpoint.apply(write).expect("expired");
    };
    let keys = |endpoint: &mut Endpoint| {
        let now_ms = std::mem::replace(&mut endpoint.now_ms, 0);
        let keys = keys(endpoint);
        endpoint.now_ms = now_ms;
        keys
    };
    expire(&mut endpoint, 1);
    assert_eq!(keys(&mut endpoint), ["a", "c", "later"]);
    endpoint.restart();
    expire(&mut endpoint, 1);
    assert_eq!(keys(&mut endpoint), ["a", "later"]);
    switch(&mut endpoint, false);
    expire(&mut endpoint, 10);
    assert_eq!(keys(&mut endpoint), ["a", "later"], "nothing expires while it is switched off");
    switch(&mut endpoint, true);
    expire(&mut endpoint, 10);
    assert_eq!(keys(&mut endpoint), ["later"]);
}
