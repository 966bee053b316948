//! BatchGetItem and BatchWriteItem.

use serde_json::{Value, json};
use tidelog_tables::answer::batch_get_body_until;
use tidelog_tables::{Read, Request};

use crate::endpoint::{Endpoint, NOW_MS};

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

#[test]
fn a_batch_is_read_page_by_page_and_the_rest_is_asked_for_again() {
    let mut endpoint = Endpoint::with_leases();
    for name in ["a", "b", "c"] {
        endpoint
            .put("leases", json!({"leaseKey": {"S": name}, "#": {"S": "x".repeat(1_000)}, "n": {"N": "1"}}));
    }
    let keys: Vec<_> = ["a", "absent", "b", "c"].map(key).into();
    let body = json!({"RequestItems": {"leases": {
        "Keys": keys, "ProjectionExpression": "leaseKey, #x", "ExpressionAttributeNames": {"#x": "#"},
    }}});
    let Ok(Request::BatchGet(reads)) =
        Request::parse("BatchGetItem", body.to_string().as_bytes(), &endpoint.owner)
    else {
        panic!("a batch")
    };
    let Read::Batch(part) = &reads[0] else { panic!("a part") };
    let page = |from, bytes_max| {
        endpoint.tables.read_batch(&endpoint.owner, part, (from, bytes_max), NOW_MS).expect("a page")
    };
    let whole = page(0, usize::MAX);
    assert_eq!(whole.next, 4);
    let first = page(0, 1_500);
    assert_eq!(first.next, 3, "an item that ends behind the bound is the last one");
    let rest = page(first.next, 1_500);
    assert_eq!(rest.next, 4);
    assert_eq!([&*first.items, b",", &*rest.items].concat(), whole.items);
    assert_eq!(page(0, 1).next, 1, "one item at least");

    let list = [b"[", &*first.items, b"]"].concat();
    let answer = batch_get_body_until([("leases", list)], [(part, first.next)]);
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let again = json!({"RequestItems": answer["UnprocessedKeys"]});
    let last = json!({"leaseKey": {"S": "c"}, "#": {"S": "x".repeat(1_000)}});
    assert_eq!(endpoint.ok("BatchGetItem", again)["Responses"]["leases"], json!([last]));
}
