//! Expected and AttributeUpdates: the hot calls of KCL 1, 2 and 3, and what is refused of them.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

const FAILED: &str = "ConditionalCheckFailedException";

fn update(more: Value) -> Value {
    with(&json!({"TableName": "leases", "Key": {"leaseKey": {"S": "shard"}}}), more)
}

fn leases() -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    endpoint.put(
        "leases",
        json!({
            "leaseKey": {"S": "shard"}, "leaseCounter": {"N": "7"}, "leaseOwner": {"S": "one"},
            "checkpoint": {"S": "TRIM_HORIZON"}, "children": {"SS": ["a", "b"]},
        }),
    );
    endpoint
}

fn lease(endpoint: &mut Endpoint) -> Value {
    endpoint.get("leases", json!({"leaseKey": {"S": "shard"}}))
}

#[test]
fn a_lease_is_created_once() {
    let mut endpoint = Endpoint::with_leases();
    let put = json!({
        "TableName": "leases", "Item": {"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "0"}},
        "Expected": {"leaseKey": {"Exists": false}},
    });
    endpoint.ok("PutItem", put.clone());
    assert_eq!(endpoint.refused("PutItem", put).0, FAILED);
}

#[test]
fn a_lease_is_renewed_by_one_worker_of_two() {
    let mut endpoint = leases();
    let renew = update(json!({
        "AttributeUpdates": {"leaseCounter": {"Action": "PUT", "Value": {"N": "8"}}},
        "Expected": {"leaseCounter": {"Value": {"N": "7.000"}}},
    }));
    assert_eq!(endpoint.ok("UpdateItem", renew.clone()), json!({}));
    assert_eq!(endpoint.refused("UpdateItem", renew).0, FAILED);
    assert_eq!(lease(&mut endpoint)["leaseCounter"], json!({"N": "8"}));
}

#[test]
fn a_lease_is_assigned_handed_over_and_checkpointed() {
    let mut endpoint = leases();
    let assign = update(json!({
        "AttributeUpdates": {
            "leaseOwner": {"Action": "PUT", "Value": {"S": "two"}},
            "leaseCounter": {"Action": "ADD", "Value": {"N": "1"}},
            "checkpointOwner": {"Action": "DELETE"},
            "ownerSwitchesSinceCheckpoint": {"Action": "ADD", "Value": {"N": "1"}},
        },
        "Expected": {
            "leaseKey": {"Exists": true, "Value": {"S": "shard"}},
            "leaseOwner": {"Value": {"S": "one"}},
            "checkpointOwner": {"Exists": false},
        },
        "ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }));
    let expected = json!({
        "leaseKey": {"S": "shard"}, "leaseCounter": {"N": "8"}, "leaseOwner": {"S": "two"},
        "checkpoint": {"S": "TRIM_HORIZON"}, "children": {"SS": ["a", "b"]}, "ownerSwitchesSinceCheckpoint": {"N": "1"},
    });
    assert_eq!(endpoint.ok("UpdateItem", assign.clone()), json!({"Attributes": expected}));
    assert_eq!(endpoint.call("UpdateItem", assign).unwrap_err()["Item"], expected);
    let checkpoint = update(json!({
        "AttributeUpdates": {
            "checkpoint": {"Value": {"S": "SHARD_END"}},
            "leaseCounter": {"Action": "PUT", "Value": {"N": "9"}},
            "pendingCheckpoint": {"Action": "DELETE"},
        },
        "Expected": {
            "leaseCounter": {"Value": {"N": "8"}},
            "checkpoint": {"ComparisonOperator": "NE", "Value": {"S": "SHARD_END"}},
        },
    }));
    endpoint.ok("UpdateItem", checkpoint.clone());
    assert_eq!(lease(&mut endpoint)["checkpoint"], json!({"S": "SHARD_END"}));
    assert_eq!(endpoint.refused("UpdateItem", checkpoint).0, FAILED);
}

#[test]
fn expectations_and_their_meaning() {
    let value = |value: Value| json!({"Value": value});
    let operator =
        |operator: &str, value: Value| json!({"ComparisonOperator": operator, "AttributeValueList": [value]});
    for (attribute, expectation, holds) in [
        ("leaseCounter", value(json!({"N": "7"})), true),
        ("leaseCounter", value(json!({"S": "7"})), false),
        ("absent", value(json!({"S": "7"})), false),
        ("absent", json!({"Exists": false}), true),
        ("leaseCounter", json!({"Exists": false}), false),
        ("leaseCounter", json!({"Exists": true, "Value": {"N": "7"}}), true),
        ("leaseCounter", operator("EQ", json!({"N": "7"})), true),
        ("leaseCounter", operator("NE", json!({"N": "7"})), false),
        ("absent", operator("NE", json!({"N": "7"})), true),
        ("absent", operator("EQ", json!({"N": "7"})), false),
        ("leaseCounter", operator("LT", json!({"N": "10"})), true),
        ("leaseCounter", operator("LT", json!({"N": "7"})), false),
        ("leaseCounter", operator("LE", json!({"N": "7"})), true),
        ("leaseCounter", operator("GT", json!({"N": "6.9"})), true),
        ("leaseCounter", operator("GE", json!({"N": "7"})), true),
        ("leaseCounter", operator("GE", json!({"S": "7"})), false),
        ("absent", operator("LT", json!({"N": "10"})), false),
        ("absent", json!({"ComparisonOperator": "NULL"}), true),
        ("leaseCounter", json!({"ComparisonOperator": "NULL"}), false),
        ("leaseCounter", json!({"ComparisonOperator": "NOT_NULL"}), true),
        ("children", value(json!({"SS": ["b", "a"]})), true),
    ] {
        let body = update(json!({"Expected": {attribute: expectation}}));
        let outcome = leases().call("UpdateItem", body);
        assert_eq!(outcome.is_ok(), holds, "{attribute} {expectation}: {outcome:?}");
    }
}

#[test]
fn bad_expectations_are_refused() {
    let invalid = "One or more parameter values were invalid: ";
    let value = json!({"N": "1"});
    for (expectation, sentence) in [
        (
            json!({"Exists": false, "Value": value}),
            "Value cannot be used when Exists is false for Attribute: a",
        ),
        (json!({"Exists": true}), "Value must be provided when Exists is true for Attribute: a"),
        (json!({}), "Value must be provided when Exists is null for Attribute: a"),
        (
            json!({"Exists": false, "ComparisonOperator": "NULL"}),
            "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            json!({"ComparisonOperator": "EQ", "Value": value, "AttributeValueList": [value]}),
            "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            json!({"AttributeValueList": [value]}),
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
        ),
        (
            json!({"ComparisonOperator": "EQ"}),
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
        (
            json!({"ComparisonOperator": "EQ", "AttributeValueList": [value, value]}),
            "Invalid number of argument(s) for the EQ ComparisonOperator",
        ),
        (
            json!({"ComparisonOperator": "NULL", "Value": value}),
            "Invalid number of argument(s) for the NULL ComparisonOperator",
        ),
        (
            json!({"ComparisonOperator": "LT", "Value": {"BOOL": true}}),
            "ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
    ] {
        let body = update(json!({"Expected": {"a": expectation}}));
        assert_eq!(leases().invalid("UpdateItem", body), format!("{invalid}{sentence}"), "{expectation}");
    }
    let not_taken = update(json!({"Expected": {"a": {"ComparisonOperator": "CONTAINS", "Value": value}}}));
    assert_eq!(
        leases().invalid("UpdateItem", not_taken),
        "Tidelog keeps lease tables, not a database: no comparison operator CONTAINS"
    );
    let conditional = update(json!({"Expected": {"a": {"Value": value}}, "ConditionalOperator": "OR"}));
    assert_eq!(
        leases().invalid("UpdateItem", conditional),
        "Tidelog keeps lease tables, not a database: no ConditionalOperator"
    );
}

#[test]
fn attribute_updates_and_their_meaning() {
    for (attribute, change, expected) in [
        ("leaseCounter", json!({"Value": {"S": "x"}}), json!({"S": "x"})),
        ("leaseCounter", json!({"Action": "DELETE"}), Value::Null),
        ("leaseCounter", json!({"Action": "ADD", "Value": {"N": "-7.5"}}), json!({"N": "-0.5"})),
        ("absent", json!({"Action": "ADD", "Value": {"N": "2"}}), json!({"N": "2"})),
        ("children", json!({"Action": "ADD", "Value": {"SS": ["c", "a"]}}), json!({"SS": ["a", "b", "c"]})),
        ("absent", json!({"Action": "ADD", "Value": {"NS": ["1"]}}), json!({"NS": ["1"]})),
        ("children", json!({"Action": "DELETE", "Value": {"SS": ["a", "x"]}}), json!({"SS": ["b"]})),
        ("children", json!({"Action": "DELETE", "Value": {"SS": ["a", "b"]}}), Value::Null),
        ("absent", json!({"Action": "DELETE", "Value": {"SS": ["a"]}}), Value::Null),
    ] {
        let mut endpoint = leases();
        endpoint.ok("UpdateItem", update(json!({"AttributeUpdates": {attribute: change}})));
        let found = lease(&mut endpoint).get(attribute).cloned().unwrap_or(Value::Null);
        assert_eq!(found, expected, "{attribute} {change}");
    }
}

#[test]
fn bad_attribute_updates_are_refused() {
    let invalid = "One or more parameter values were invalid: ";
    for (change, sentence) in [
        (json!({}), format!("{invalid}Only DELETE action is allowed when no attribute value is specified")),
        (json!({"Action": "ADD"}), format!("{invalid}Only DELETE action is allowed when no attribute value is specified")),
        (json!({"Action": "ADD", "Value": {"S": "x"}}), format!("{invalid}ADD action is not supported for the type STRING")),
        (
            json!({"Action": "DELETE", "Value": {"N": "1"}}),
            format!("{invalid}DELETE action with value is not supported for the type NUMBER"),
        ),
        (json!({"Action": "ADD", "Value": {"SS": ["x"]}}), "Type mismatch for attribute to update".into()),
        (json!({"Action": "DELETE", "Value": {"NS": ["1"]}}), "Type mismatch for attribute to update".into()),
        (
            json!({"Action": "MOVE", "Value": {"N": "1"}}),
            "1 validation error detected: Value 'MOVE' at 'action' failed to satisfy constraint: Member must satisfy enum value set: [ADD, PUT, DELETE]".into(),
        ),
    ] {
        let body = update(json!({"AttributeUpdates": {"leaseCounter": change}}));
        assert_eq!(leases().invalid("UpdateItem", body), sentence, "{change}");
    }
}

#[test]
fn both_forms_in_one_call_are_refused() {
    let prefix = "Can not use both expression and non-expression parameters in the same request: ";
    let body = update(json!({
        "AttributeUpdates": {"a": {"Action": "DELETE"}}, "Expected": {"a": {"Exists": false}},
        "ConditionExpression": "attribute_exists(a)",
    }));
    assert_eq!(
        leases().invalid("UpdateItem", body),
        format!(
            "{prefix}Non-expression parameters: {{AttributeUpdates, Expected}} Expression parameters: {{ConditionExpression}}"
        )
    );
    let get = update(json!({"AttributesToGet": ["a"], "ProjectionExpression": "a"}));
    assert_eq!(
        leases().invalid("GetItem", get),
        format!(
            "{prefix}Non-expression parameters: {{AttributesToGet}} Expression parameters: {{ProjectionExpression}}"
        )
    );
}
