//! TransactWriteItems: all or nothing, over the tables of one application.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::new();
    endpoint.create("app", &[("leaseKey", "S")]);
    endpoint.create("app-CoordinatorState", &[("key", "S")]);
    endpoint.put("app-CoordinatorState", json!({"key": {"S": "Leader"}, "ownerName": {"S": "one"}}));
    endpoint
}

fn move_lock(owner: &str) -> Value {
    json!({"TransactItems": [
        {"ConditionCheck": {
            "TableName": "app-CoordinatorState", "Key": {"key": {"S": "Leader"}},
            "ConditionExpression": "ownerName = :owner", "ExpressionAttributeValues": {":owner": {"S": owner}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }},
        {"Put": {
            "TableName": "app", "Item": {"leaseKey": {"S": "Migration3.0"}},
            "ConditionExpression": "attribute_not_exists(leaseKey)",
        }},
        {"Delete": {"TableName": "app-CoordinatorState", "Key": {"key": {"S": "Migration3.0"}}}},
        {"Update": {
            "TableName": "app", "Key": {"leaseKey": {"S": "counter"}}, "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }},
    ]})
}

#[test]
fn all_parts_are_done() {
    let mut endpoint = endpoint();
    assert_eq!(endpoint.ok("TransactWriteItems", move_lock("one")), json!({}));
    let key = |name: &str| json!({"leaseKey": {"S": name}});
    assert_eq!(endpoint.get("app", key("Migration3.0")), key("Migration3.0"));
    assert_eq!(endpoint.get("app", key("counter"))["n"], json!({"N": "1"}));
}

#[test]
fn none_is_done_when_one_fails() {
    let mut endpoint = endpoint();
    let failed = endpoint.call("TransactWriteItems", move_lock("two")).unwrap_err();
    let expected = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, None, None, None]",
        "CancellationReasons": [
            {
                "Code": "ConditionalCheckFailed", "Message": "The conditional request failed",
                "Item": {"key": {"S": "Leader"}, "ownerName": {"S": "one"}},
            },
            {"Code": "None"}, {"Code": "None"}, {"Code": "None"},
        ],
    });
    assert_eq!(failed, expected);
    assert_eq!(endpoint.get("app", json!({"leaseKey": {"S": "counter"}})), Value::Null);
}

#[test]
fn a_part_that_breaks_a_rule_cancels() {
    let mut endpoint = endpoint();
    endpoint.put("app", json!({"leaseKey": {"S": "counter"}, "n": {"S": "text"}}));
    let failed = endpoint.call("TransactWriteItems", move_lock("one")).unwrap_err();
    assert_eq!(failed["CancellationReasons"][3]["Code"], "ValidationError");
    let sentence = "An operand in the update expression has an incorrect data type";
    assert_eq!(failed["CancellationReasons"][3]["Message"], sentence);
    assert_eq!(endpoint.get("app", json!({"leaseKey": {"S": "Migration3.0"}})), Value::Null);
}

#[test]
fn bad_transactions_are_refused() {
    let put = |table: &str, key: &str| json!({"Put": {"TableName": table, "Item": {"leaseKey": {"S": key}, "key": {"S": key}}}});
    let constraint = "1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length ";
    let many: Vec<_> = (0..101).map(|n| put("app", &n.to_string())).collect();
    for (items, sentence) in [
        (json!([]), format!("{constraint}greater than or equal to 1")),
        (many.into(), format!("{constraint}less than or equal to 100")),
        (
            json!([put("app", "a"), put("app", "a")]),
            "Transaction request cannot include multiple operations on one item".into(),
        ),
        (json!([{}]), "TransactItems can only contain one of Check, Put, Update or Delete".into()),
        (
            json!([{"Put": put("app", "a")["Put"], "Delete": {"TableName": "app", "Key": {"leaseKey": {"S": "a"}}}}]),
            "TransactItems can only contain one of Check, Put, Update or Delete".into(),
        ),
        (
            json!([put("app", "a"), put("other", "a")]),
            "Tidelog keeps lease tables, not a database: no transaction over tables of several applications"
                .into(),
        ),
    ] {
        assert_eq!(endpoint().invalid("TransactWriteItems", json!({"TransactItems": items})), sentence);
    }
    let body = json!({"TransactItems": [put("app", "a"), put("app-WorkerMetricStats", "a")]});
    assert_eq!(endpoint().refused("TransactWriteItems", body).0, "ResourceNotFoundException");
    let most: Vec<_> = (0..100).map(|n| put("app", &n.to_string())).collect();
    endpoint().ok("TransactWriteItems", json!({"TransactItems": most, "ClientRequestToken": "token"}));
}
