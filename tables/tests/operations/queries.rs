//! Query: key conditions, ranges, directions, and indexes that are current at once.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

fn pairs() -> Endpoint {
    let mut endpoint = Endpoint::new();
    endpoint.create("pairs", &[("h", "S"), ("r", "N")]);
    for number in ["-2", "-1.5", "0", "1", "2", "10"] {
        endpoint.put("pairs", json!({"h": {"S": "a"}, "r": {"N": number}, "v": {"N": number}}));
        endpoint.put("pairs", json!({"h": {"S": "b"}, "r": {"N": number}}));
    }
    endpoint
}

fn query(text: &str, values: Value) -> Value {
    let all = with(&json!({":h": {"S": "a"}}), values);
    json!({"TableName": "pairs", "KeyConditionExpression": text, "ExpressionAttributeValues": all})
}

fn ranges(page: &Value) -> Vec<String> {
    let items = page["Items"].as_array().expect("items").iter();
    items.map(|item| item["r"]["N"].as_str().expect("a number").to_owned()).collect()
}

#[test]
fn conditions_of_the_range_key() {
    let number = |text: &str| json!({":n": {"N": text}});
    for (text, values, expected) in [
        ("h = :h", json!({}), vec!["-2", "-1.5", "0", "1", "2", "10"]),
        ("h = :h AND r = :n", number("1.0"), vec!["1"]),
        ("h = :h AND r < :n", number("1"), vec!["-2", "-1.5", "0"]),
        ("h = :h AND r <= :n", number("1"), vec!["-2", "-1.5", "0", "1"]),
        ("r > :n AND h = :h", number("1"), vec!["2", "10"]),
        ("(h = :h) AND (r >= :n)", number("1"), vec!["1", "2", "10"]),
        (
            "h = :h AND r BETWEEN :n AND :m",
            json!({":n": {"N": "-1.5"}, ":m": {"N": "1"}}),
            vec!["-1.5", "0", "1"],
        ),
        ("h = :h AND r = :n", number("5"), vec![]),
    ] {
        assert_eq!(ranges(&pairs().ok("Query", query(text, values))), expected, "{text}");
    }
    let mut backward =
        ranges(&pairs().ok("Query", with(&query("h = :h", json!({})), json!({"ScanIndexForward": false}))));
    backward.reverse();
    assert_eq!(backward, ["-2", "-1.5", "0", "1", "2", "10"]);
}

#[test]
fn prefixes_of_texts() {
    let mut endpoint = Endpoint::new();
    endpoint.create("pairs", &[("h", "S"), ("r", "S")]);
    for range in ["a", "ab", "ab\u{0}", "abc", "ac", "b", "\u{10ffff}", "\u{10ffff}x"] {
        endpoint.put("pairs", json!({"h": {"S": "a"}, "r": {"S": range}}));
    }
    for (prefix, count) in [("a", 5), ("ab", 3), ("ab\u{0}", 1), ("x", 0), ("\u{10ffff}", 2)] {
        let body = query("h = :h AND begins_with(r, :p)", json!({":p": {"S": prefix}}));
        assert_eq!(endpoint.ok("Query", body)["Count"], count, "{prefix:?}");
    }
}

#[test]
fn pages_go_both_ways() {
    for forward in [true, false] {
        let mut endpoint = pairs();
        let mut body = with(&query("h = :h AND r > :n", json!({":n": {"N": "-2"}})), json!({"Limit": 2}));
        body["ScanIndexForward"] = forward.into();
        let mut found = Vec::new();
        loop {
            let page = endpoint.ok("Query", body.clone());
            found.extend(ranges(&page));
            let Some(last) = page.get("LastEvaluatedKey") else { break };
            assert_eq!(last.as_object().expect("a key").len(), 2);
            body["ExclusiveStartKey"] = last.clone();
        }
        let mut expected = vec!["-1.5", "0", "1", "2", "10"];
        if !forward {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn bad_queries_are_refused() {
    let invalid = |sentence: &str| format!("Invalid KeyConditionExpression: {sentence}");
    let number = json!({":n": {"N": "1"}});
    for (text, values, sentence) in [
        (
            "h = :x",
            json!({}),
            invalid("An expression attribute value used in expression is not defined; attribute value: :x"),
        ),
        ("h = :h AND x = :n", number.clone(), "Query condition missed key schema element: r".into()),
        ("r = :n", json!({":n": {"N": "1"}}), "Query condition missed key schema element: h".into()),
        ("h > :h", json!({}), "Query key condition not supported".into()),
        ("h = :h OR r = :n", number.clone(), "Invalid operator used in KeyConditionExpression: OR".into()),
        (
            "h = :h AND NOT r = :n",
            number.clone(),
            "Invalid operator used in KeyConditionExpression: NOT".into(),
        ),
        ("h = :h AND r <> :n", number.clone(), "Invalid operator used in KeyConditionExpression: <>".into()),
        (
            "h = :h AND r IN (:n)",
            number.clone(),
            "Invalid operator used in KeyConditionExpression: IN".into(),
        ),
        (
            "h = :h AND attribute_exists(r)",
            json!({}),
            "Invalid operator used in KeyConditionExpression: attribute_exists".into(),
        ),
        (
            "h = :h AND r > :n AND r < :n",
            number.clone(),
            "KeyConditionExpressions must only contain one condition per key".into(),
        ),
        (
            "h = :h AND r = :n",
            json!({":n": {"S": "1"}}),
            "One or more parameter values were invalid: Condition parameter type does not match schema type"
                .into(),
        ),
        (
            "h = :h AND r = h",
            json!({}),
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
                .into(),
        ),
    ] {
        let mut body = query(text, values);
        if !text.contains(":h") {
            body["ExpressionAttributeValues"].as_object_mut().expect("values").remove(":h");
        }
        if body["ExpressionAttributeValues"] == json!({}) {
            body.as_object_mut().expect("a body").remove("ExpressionAttributeValues");
        }
        assert_eq!(pairs().invalid("Query", body), sentence, "{text}");
    }
    for (more, sentence) in [
        (
            json!({"FilterExpression": "r = :h"}),
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: r",
        ),
        (
            json!({"KeyConditions": {"h": {}}}),
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {KeyConditions} Expression parameters: {KeyConditionExpression}",
        ),
        (
            json!({"ExclusiveStartKey": {"h": {"S": "b"}, "r": {"N": "1"}}}),
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
    ] {
        assert_eq!(pairs().invalid("Query", with(&query("h = :h", json!({})), more)), sentence);
    }
    assert_eq!(
        pairs().invalid("Query", json!({"TableName": "pairs"})),
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
    );
    assert_eq!(
        pairs().invalid("Query", json!({"TableName": "pairs", "KeyConditions": {}})),
        "Tidelog keeps lease tables, not a database: no KeyConditions"
    );
}

/// The index that KCL 3 adds to the table of its leases.
fn add_index(endpoint: &mut Endpoint, projection: Value) {
    let update = json!({
        "TableName": "leases",
        "AttributeDefinitions": [
            {"AttributeName": "leaseOwner", "AttributeType": "S"}, {"AttributeName": "leaseKey", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "LeaseOwnerToLeaseKeyIndex", "Projection": projection,
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"}, {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
        }}],
    });
    let description = endpoint.ok("UpdateTable", update)["TableDescription"].clone();
    let index = &description["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexName"], "LeaseOwnerToLeaseKeyIndex");
    assert_eq!(index["IndexStatus"], "ACTIVE");
}

fn of_owner(owner: &str) -> Value {
    json!({
        "TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeyConditionExpression": "leaseOwner = :leaseOwner",
        "ExpressionAttributeValues": {":leaseOwner": {"S": owner}},
    })
}

fn lease(key: &str, owner: &str) -> Value {
    json!({"leaseKey": {"S": key}, "leaseOwner": {"S": owner}, "n": {"N": "1"}, "x": {"S": "x"}})
}

#[test]
fn the_index_of_owners_is_current_at_once() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.put("leases", lease("s1", "one"));
    add_index(&mut endpoint, json!({"ProjectionType": "KEYS_ONLY"}));
    endpoint.put("leases", lease("s2", "two"));
    endpoint.put("leases", json!({"leaseKey": {"S": "Leader"}}));
    let keys = |key: &str, owner: &str| json!({"leaseKey": {"S": key}, "leaseOwner": {"S": owner}});
    let items = |endpoint: &mut Endpoint, owner: &str| endpoint.ok("Query", of_owner(owner))["Items"].clone();
    assert_eq!(items(&mut endpoint, "one"), json!([keys("s1", "one")]));
    assert_eq!(items(&mut endpoint, "two"), json!([keys("s2", "two")]));
    let take = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "s1"}},
        "AttributeUpdates": {"leaseOwner": {"Value": {"S": "two"}}},
    });
    endpoint.ok("UpdateItem", take);
    assert_eq!(items(&mut endpoint, "one"), json!([]));
    assert_eq!(items(&mut endpoint, "two"), json!([keys("s1", "two"), keys("s2", "two")]));
    endpoint.ok("DeleteItem", json!({"TableName": "leases", "Key": {"leaseKey": {"S": "s1"}}}));
    let leave = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "s2"}}, "AttributeUpdates": {"leaseOwner": {"Action": "DELETE"}},
    });
    endpoint.ok("UpdateItem", leave);
    assert_eq!(items(&mut endpoint, "two"), json!([]));
}

#[test]
fn pages_of_an_index() {
    let mut endpoint = Endpoint::with_leases();
    add_index(&mut endpoint, json!({"ProjectionType": "ALL"}));
    for number in 0..5 {
        endpoint.put("leases", lease(&format!("s{number}"), "one"));
    }
    let mut body = with(&of_owner("one"), json!({"Limit": 2}));
    let mut count = 0;
    loop {
        let page = endpoint.ok("Query", body.clone());
        count += page["Count"].as_u64().expect("a number");
        let Some(last) = page.get("LastEvaluatedKey") else { break };
        assert_eq!(last.as_object().expect("a key").len(), 2);
        body["ExclusiveStartKey"] = last.clone();
    }
    assert_eq!(count, 5);
    let scan = json!({"TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex", "Limit": 3});
    let page = endpoint.ok("Scan", scan);
    assert_eq!(page["Count"], 3);
    assert!(page.get("LastEvaluatedKey").is_some());
}

#[test]
fn an_index_shows_what_it_projects() {
    let mut endpoint = Endpoint::with_leases();
    add_index(&mut endpoint, json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}));
    endpoint.put("leases", lease("s1", "one"));
    let page = endpoint.ok("Query", of_owner("one"));
    assert_eq!(
        page["Items"],
        json!([{"leaseKey": {"S": "s1"}, "leaseOwner": {"S": "one"}, "n": {"N": "1"}}])
    );
    let filtered = with(&of_owner("one"), json!({"FilterExpression": "attribute_exists(x)"}));
    assert_eq!(endpoint.ok("Query", filtered)["Count"], 0, "a filter sees the attributes of the index alone");
    for (more, sentence) in [
        (
            json!({"ProjectionExpression": "n, x"}),
            "One or more parameter values were invalid: Global secondary index LeaseOwnerToLeaseKeyIndex does not project [x]",
        ),
        (
            json!({"Select": "ALL_ATTRIBUTES"}),
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index LeaseOwnerToLeaseKeyIndex because its projection type is not ALL",
        ),
        (json!({"ConsistentRead": true}), "Consistent reads are not supported on global secondary indexes"),
        (json!({"IndexName": "other"}), "The table does not have the specified index: other"),
    ] {
        assert_eq!(endpoint.invalid("Query", with(&of_owner("one"), more)), sentence);
    }
}

#[test]
fn attributes_of_an_index_have_its_types() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.put("leases", json!({"leaseKey": {"S": "old"}, "leaseOwner": {"N": "1"}}));
    add_index(&mut endpoint, json!({"ProjectionType": "KEYS_ONLY"}));
    let put =
        |owner: Value| json!({"TableName": "leases", "Item": {"leaseKey": {"S": "s"}, "leaseOwner": owner}});
    assert_eq!(
        endpoint.invalid("PutItem", put(json!({"N": "1"}))),
        "One or more parameter values were invalid: Type mismatch for Index Key leaseOwner Expected: S Actual: N IndexName: LeaseOwnerToLeaseKeyIndex"
    );
    assert_eq!(
        endpoint.invalid("PutItem", put(json!({"S": ""}))),
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: LeaseOwnerToLeaseKeyIndex, IndexKey: leaseOwner"
    );
    let scan = json!({"TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex"});
    assert_eq!(endpoint.ok("Scan", scan)["Count"], 0, "an older item of another type is not in the index");
}
