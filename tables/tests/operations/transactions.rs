//! TransactWriteItems: all or nothing, over the tables of one application.

use serde_json::{Value, json};
use tidelog_tables::{Owner, Write};

use crate::endpoint::{Endpoint, NOW_MS, with};

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

/// A transaction with a token that adds one to a counter.
fn count(token: &str, by: &str) -> Value {
    json!({"ClientRequestToken": token, "TransactItems": [{"Update": {
        "TableName": "app", "Key": {"leaseKey": {"S": "counter"}}, "UpdateExpression": "ADD n :n",
        "ExpressionAttributeValues": {":n": {"N": by}},
    }}]})
}

fn counter(endpoint: &mut Endpoint) -> Value {
    endpoint.get("app", json!({"leaseKey": {"S": "counter"}}))["n"]["N"].clone()
}

#[test]
fn a_transaction_that_is_sent_again_is_done_once() {
    let mut endpoint = endpoint();
    for _ in 0..3 {
        assert_eq!(endpoint.ok("TransactWriteItems", count("one", "1")), json!({}));
    }
    assert_eq!(counter(&mut endpoint), "1");
    endpoint.ok("TransactWriteItems", count("two", "1"));
    assert_eq!(counter(&mut endpoint), "2");
    let (exception, message) = endpoint.refused("TransactWriteItems", count("one", "2"));
    assert_eq!(exception, "IdempotentParameterMismatchException");
    assert!(message.starts_with("Request rejected because the ClientRequestToken was used"), "{message}");
    // Tokens belong to an account and a region.
    let own = endpoint.owner.clone();
    endpoint.owner = Owner::new("111111111111", "us-east-1");
    endpoint.create("app", &[("leaseKey", "S")]);
    endpoint.ok("TransactWriteItems", count("one", "5"));
    assert_eq!(counter(&mut endpoint), "5");
    endpoint.owner = own;
    // A restart keeps them.
    endpoint.restart();
    endpoint.ok("TransactWriteItems", count("one", "1"));
    assert_eq!(counter(&mut endpoint), "2");
}

#[test]
fn a_cancelled_transaction_is_judged_anew_when_it_is_sent_again() {
    let mut endpoint = endpoint();
    let body = with(&move_lock("two"), json!({"ClientRequestToken": "token"}));
    endpoint.call("TransactWriteItems", body.clone()).unwrap_err();
    endpoint.put("app-CoordinatorState", json!({"key": {"S": "Leader"}, "ownerName": {"S": "two"}}));
    endpoint.ok("TransactWriteItems", body.clone());
    endpoint.ok("TransactWriteItems", body);
}

#[test]
fn tokens_are_forgotten_in_time_and_with_the_last_table() {
    let mut endpoint = endpoint();
    let empty = endpoint.tables.memory_bytes();
    endpoint.ok("TransactWriteItems", count("one", "1"));
    endpoint.now_ms += 60_000;
    endpoint.ok("TransactWriteItems", count("two", "1"));
    let owners = |endpoint: &Endpoint, before_ms| endpoint.tables.owners_with_tokens(before_ms).count();
    assert_eq!((owners(&endpoint, NOW_MS), owners(&endpoint, NOW_MS + 1)), (0, 1));
    endpoint.apply(Write::ForgetTokens { before_ms: NOW_MS + 1 }).expect("forgotten");
    assert_eq!(owners(&endpoint, NOW_MS + 1), 0);
    endpoint.ok("TransactWriteItems", count("one", "1"));
    endpoint.ok("TransactWriteItems", count("two", "1"));
    assert_eq!(counter(&mut endpoint), "3");
    for table in ["app", "app-CoordinatorState"] {
        endpoint.ok("DeleteTable", json!({"TableName": table}));
    }
    assert!(endpoint.tables.is_empty() && endpoint.tables.memory_bytes() == 0, "{empty}");
}

#[test]
fn an_owner_has_a_thousand_tokens() {
    let mut endpoint = endpoint();
    for number in 0..1_001 {
        endpoint.now_ms += 1;
        endpoint.apply_quietly("TransactWriteItems", count(&number.to_string(), "1"));
    }
    endpoint.ok("TransactWriteItems", count("1", "1"));
    endpoint.ok("TransactWriteItems", count("1000", "1"));
    assert_eq!(counter(&mut endpoint), "1001");
    // The oldest gave way.
    endpoint.ok("TransactWriteItems", count("0", "1"));
    assert_eq!(counter(&mut endpoint), "1002");
}

#[test]
fn a_token_has_36_characters_at_most() {
    let sentence = |value: &str, rule: &str| {
        format!(
            "1 validation error detected: Value '{value}' at 'clientRequestToken' failed to satisfy constraint: Member must have length {rule}"
        )
    };
    assert_eq!(
        endpoint().invalid("TransactWriteItems", count("", "1")),
        sentence("", "greater than or equal to 1")
    );
    let long = "x".repeat(37);
    assert_eq!(
        endpoint().invalid("TransactWriteItems", count(&long, "1")),
        sentence(&long, "less than or equal to 36")
    );
    endpoint().ok("TransactWriteItems", count(&long[..36], "1"));
}
