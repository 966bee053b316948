//! Scan: pages, segments, filters, and a table that changes meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

fn key(number: usize) -> Value {
    json!({"leaseKey": {"S": format!("shardId-{number:012}")}})
}

fn endpoint(items: usize) -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    for number in 0..items {
        endpoint.put("leases", with(&key(number), json!({"n": {"N": number.to_string()}})));
    }
    endpoint
}

/// The keys of all items of a scan, page by page; `between` runs after each page.
fn all(endpoint: &mut Endpoint, scan: Value, mut between: impl FnMut(&mut Endpoint)) -> Vec<String> {
    let mut found = Vec::new();
    let mut scan = with(&json!({"TableName": "leases"}), scan);
    loop {
        let page = endpoint.ok("Scan", scan.clone());
        let items = page["Items"].as_array().expect("items");
        assert_eq!(page["Count"], items.len());
        found.extend(items.iter().map(|item| item["leaseKey"]["S"].as_str().expect("a key").to_owned()));
        between(endpoint);
        let Some(last) = page.get("LastEvaluatedKey") else { return found };
        scan["ExclusiveStartKey"] = last.clone();
    }
}

#[test]
fn pages_have_every_item_once() {
    let mut endpoint = endpoint(10);
    for limit in [1, 3, 5, 10, 11] {
        let found = all(&mut endpoint, json!({"Limit": limit}), |_| {});
        assert_eq!(found.len(), 10, "{limit}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 10, "{limit}");
    }
    let last = endpoint.ok("Scan", json!({"TableName": "leases", "Limit": 10}));
    assert_eq!(last.get("LastEvaluatedKey"), None, "nothing is left");
    let empty = Endpoint::with_leases().ok("Scan", json!({"TableName": "leases", "Limit": 1}));
    assert_eq!(empty, json!({"Items": [], "Count": 0, "ScannedCount": 0}));
}

#[test]
fn segments_are_whole_and_stable() {
    let mut endpoint = endpoint(100);
    for segments in [1, 2, 7, 10, 32, 1_000_000] {
        let mut found = Vec::new();
        for segment in if segments > 32 { vec![0, 999_999] } else { (0..segments).collect::<Vec<_>>() } {
            found.extend(all(
                &mut endpoint,
                json!({"Segment": segment, "TotalSegments": segments, "Limit": 4}),
                |_| {},
            ));
        }
        if segments <= 32 {
            assert_eq!(found.len(), 100);
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 100);
        }
    }
}

#[test]
fn a_scan_goes_on_while_items_change() {
    let mut endpoint = endpoint(50);
    let mut round = 0;
    let found = all(&mut endpoint, json!({"Limit": 5}), |endpoint| {
        // The odd ones stay. Others go, come back and come new, those behind which a page ends included.
        for number in (0..50).step_by(2) {
            let body = json!({"TableName": "leases", "Key": key(number)});
            endpoint.ok(if round % 2 == 0 { "DeleteItem" } else { "UpdateItem" }, body);
        }
        endpoint.put("leases", key(1_000 + round));
        round += 1;
    });
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "no item comes twice");
    for number in (1..50).step_by(2) {
        assert!(distinct.contains(&format!("shardId-{number:012}")), "{number}");
    }
}

#[test]
fn a_filter_leaves_what_was_looked_at() {
    let mut endpoint = endpoint(10);
    let scan = json!({
        "TableName": "leases", "FilterExpression": "n >= :n", "ExpressionAttributeValues": {":n": {"N": "7"}},
    });
    let page = endpoint.ok("Scan", scan.clone());
    assert_eq!((&page["Count"], &page["ScannedCount"]), (&json!(3), &json!(10)));
    let count = endpoint.ok("Scan", with(&scan, json!({"Select": "COUNT"})));
    assert_eq!(count, json!({"Count": 3, "ScannedCount": 10}));
    let page = endpoint.ok("Scan", with(&scan, json!({"Limit": 2})));
    assert_eq!(page["ScannedCount"], 2);
    assert!(page.get("LastEvaluatedKey").is_some());
}

#[test]
fn a_projection_chooses_attributes() {
    let mut endpoint = endpoint(1);
    let scan =
        json!({"TableName": "leases", "ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "n"}});
    assert_eq!(endpoint.ok("Scan", scan)["Items"], json!([{"n": {"N": "0"}}]));
    let scan = json!({"TableName": "leases", "AttributesToGet": ["leaseKey"]});
    assert_eq!(endpoint.ok("Scan", scan)["Items"], json!([key(0)]));
}

#[test]
fn pages_end_at_a_mebibyte() {
    let mut endpoint = Endpoint::with_leases();
    for number in 0..5 {
        endpoint.put("leases", with(&key(number), json!({"v": {"S": "x".repeat(300_000)}})));
    }
    let page = endpoint.ok("Scan", json!({"TableName": "leases"}));
    assert_eq!(page["Count"], 3);
    assert!(page.get("LastEvaluatedKey").is_some());
    assert_eq!(all(&mut endpoint, json!({}), |_| {}).len(), 5);
}

#[test]
fn a_page_takes_no_longer_with_a_long_filter() {
    let mut endpoint = endpoint(30);
    let long = json!({
        "FilterExpression": "attribute_exists(leaseKey) AND NOT n = :n",
        "ExpressionAttributeValues": {":n": {"S": "x".repeat(100_000)}},
    });
    let page = endpoint.ok("Scan", with(&json!({"TableName": "leases"}), long.clone()));
    assert_eq!(page["ScannedCount"], 10);
    assert_eq!(all(&mut endpoint, long, |_| {}).len(), 30);
}

#[test]
fn a_page_of_escapes_is_bounded_too() {
    let mut endpoint = Endpoint::with_leases();
    for number in 0..10 {
        endpoint.put("leases", with(&key(number), json!({"v": {"S": "\u{1}".repeat(100_000)}})));
    }
    let page = endpoint.ok("Scan", json!({"TableName": "leases"}));
    // Six characters of JSON stand for each byte.
    assert_eq!(page["Count"], 4);
    assert_eq!(all(&mut endpoint, json!({}), |_| {}).len(), 10);
}

#[test]
fn bad_scans_are_refused() {
    let mut endpoint = endpoint(4);
    let constraint = |value: &str, member: &str, rule: &str| {
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must have value {rule}"
        )
    };
    for (more, sentence) in [
        (
            json!({"Segment": 0}),
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present".to_owned(),
        ),
        (
            json!({"TotalSegments": 2}),
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present".into(),
        ),
        (
            json!({"Segment": 2, "TotalSegments": 2}),
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2".into(),
        ),
        (json!({"Segment": -1, "TotalSegments": 2}), constraint("-1", "segment", "greater than or equal to 0")),
        (json!({"Segment": 0, "TotalSegments": 0}), constraint("0", "totalSegments", "greater than or equal to 1")),
        (
            json!({"Segment": 0, "TotalSegments": 1_000_001}),
            constraint("1000001", "totalSegments", "less than or equal to 1000000"),
        ),
        (json!({"Limit": 0}), constraint("0", "limit", "greater than or equal to 1")),
        (json!({"ExclusiveStartKey": {"other": {"S": "x"}}}), "The provided starting key is invalid".into()),
        (json!({"IndexName": "absent"}), "The table does not have the specified index: absent".into()),
        (
            json!({"Select": "COUNT", "AttributesToGet": ["a"]}),
            "Cannot specify the AttributesToGet when choosing to get only the Count".into(),
        ),
        (json!({"ScanFilter": {}}), "Tidelog keeps lease tables, not a database: no ScanFilter".into()),
        (json!({"AttributesToGet": ["a", "a"]}), "One or more parameter values were invalid: Duplicate value in attribute name: a".into()),
        (
            json!({"ExpressionAttributeValues": {":a": {"N": "1"}}}),
            "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null".into(),
        ),
        (
            json!({"ProjectionExpression": "a, a"}),
            "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]".into(),
        ),
    ] {
        assert_eq!(endpoint.invalid("Scan", with(&json!({"TableName": "leases"}), more.clone())), sentence, "{more}");
    }
    let outside: Vec<String> = [0, 1]
        .into_iter()
        .flat_map(|segment| {
            (0..4).map(move |number| {
                json!({"TableName": "leases", "Segment": segment, "TotalSegments": 2, "ExclusiveStartKey": key(number)})
            })
        })
        .filter_map(|scan| endpoint.call("Scan", scan).err())
        .map(|fault| fault["message"].as_str().expect("a message").to_owned())
        .collect();
    let sentence = "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment.";
    assert_eq!(outside, [sentence; 4], "each key is in one segment of two");
}
