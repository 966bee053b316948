//! BatchGetItem and BatchWriteItem.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;

fn key(name: &str) -> Value {
    json!({"leaseKey": {"S": name}})
}

#[test]
fn items_of_several_tables() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.create("other", &[("leaseKey", "S")]);
    let write = json!({"RequestItems": {
        "leases": [{"PutRequest": {"Item": key("a")}}, {"PutRequest": {"Item": key("b")}}],
        "other": [{"PutRequest": {"Item": key("c")}}, {"DeleteRequest": {"Key": key("d")}}],
    }});
    assert_eq!(endpoint.ok("BatchWriteItem", write), json!({"UnprocessedItems": {}}));
    let get = json!({"RequestItems": {
        "leases": {"Keys": [key("b"), key("absent"), key("a")], "ConsistentRead": true},
        "other": {"Keys": [key("c")], "ProjectionExpression": "absent"},
    }});
    let expected =
        json!({"Responses": {"leases": [key("b"), key("a")], "other": [{}]}, "UnprocessedKeys": {}});
    assert_eq!(endpoint.ok("BatchGetItem", get), expected);
}

#[test]
fn bad_batches_are_refused() {
    let mut endpoint = Endpoint::with_leases();
    let puts = |count: usize| {
        (0..count).map(|n| json!({"PutRequest": {"Item": key(&n.to_string())}})).collect::<Vec<_>>()
    };
    let keys = |count: usize| (0..count).map(|n| key(&n.to_string())).collect::<Vec<_>>();
    let mut write =
        |requests: Value| endpoint.invalid("BatchWriteItem", json!({"RequestItems": {"leases": requests}}));
    assert_eq!(write(puts(26).into()), "Too many items requested for the BatchWriteItem call");
    assert_eq!(write(json!([])), "The batch write request list for a table cannot be null or empty");
    let twice = json!([{"PutRequest": {"Item": key("a")}}, {"DeleteRequest": {"Key": key("a")}}]);
    assert_eq!(write(twice), "Provided list of item keys contains duplicates");
    assert_eq!(
        write(json!([{"DeleteRequest": {"Key": {"x": {"S": "a"}}}}])),
        "The provided key element does not match the schema"
    );
    let mut get =
        |keys: Value| endpoint.invalid("BatchGetItem", json!({"RequestItems": {"leases": {"Keys": keys}}}));
    assert_eq!(get(keys(101).into()), "Too many items requested for the BatchGetItem call");
    assert_eq!(get(json!([key("a"), key("a")])), "Provided list of item keys contains duplicates");
    assert!(get(json!([])).contains("Member must have length greater than or equal to 1"));
    let absent = json!({"RequestItems": {"absent": {"Keys": [key("a")]}}});
    assert_eq!(endpoint.refused("BatchGetItem", absent).0, "ResourceNotFoundException");
    endpoint.ok("BatchWriteItem", json!({"RequestItems": {"leases": puts(25)}}));
}
