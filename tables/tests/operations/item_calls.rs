//! PutItem, GetItem, UpdateItem and DeleteItem, as the clients of the contract make them.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

fn key() -> Value {
    json!({"leaseKey": {"S": "shard"}})
}

#[test]
fn an_item_is_put_got_and_deleted() {
    let mut endpoint = Endpoint::with_leases();
    assert_eq!(endpoint.get("leases", key()), Value::Null);
    let item =
        json!({"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "1.50"}, "parents": {"SS": ["b", "a"]}});
    endpoint.put("leases", item);
    let stored =
        json!({"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "1.5"}, "parents": {"SS": ["a", "b"]}});
    assert_eq!(endpoint.get("leases", key()), stored);
    let delete = json!({"TableName": "leases", "Key": key(), "ReturnValues": "ALL_OLD"});
    assert_eq!(endpoint.ok("DeleteItem", delete.clone()), json!({"Attributes": stored}));
    assert_eq!(endpoint.ok("DeleteItem", delete), json!({}));
    assert_eq!(endpoint.get("leases", key()), Value::Null);
}

#[test]
fn a_get_gives_chosen_attributes() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.put("leases", json!({"leaseKey": {"S": "shard"}, "a": {"N": "1"}, "b": {"N": "2"}}));
    let get = json!({"TableName": "leases", "Key": key(), "ConsistentRead": true});
    let expected = json!({"Item": {"a": {"N": "1"}}});
    let by_name = json!({"ProjectionExpression": "#a, absent", "ExpressionAttributeNames": {"#a": "a"}});
    assert_eq!(endpoint.ok("GetItem", with(&get, by_name)), expected);
    assert_eq!(endpoint.ok("GetItem", with(&get, json!({"AttributesToGet": ["a", "absent"]}))), expected);
    let none = endpoint.ok("GetItem", with(&get, json!({"ProjectionExpression": "absent"})));
    assert_eq!(none, json!({"Item": {}}));
}

#[test]
fn the_kinds_of_returned_attributes() {
    for (returns, expected) in [
        ("NONE", json!({})),
        ("ALL_OLD", json!({"Attributes": {"leaseKey": {"S": "shard"}, "a": {"N": "1"}, "b": {"S": "x"}}})),
        ("ALL_NEW", json!({"Attributes": {"leaseKey": {"S": "shard"}, "a": {"N": "2"}, "c": {"S": "y"}}})),
        ("UPDATED_OLD", json!({"Attributes": {"a": {"N": "1"}, "b": {"S": "x"}}})),
        ("UPDATED_NEW", json!({"Attributes": {"a": {"N": "2"}, "c": {"S": "y"}}})),
    ] {
        let mut endpoint = Endpoint::with_leases();
        endpoint.put("leases", json!({"leaseKey": {"S": "shard"}, "a": {"N": "1"}, "b": {"S": "x"}}));
        let update = json!({
            "TableName": "leases", "Key": key(), "ReturnValues": returns,
            "UpdateExpression": "ADD a :one REMOVE b SET c = :c",
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":c": {"S": "y"}},
        });
        assert_eq!(endpoint.ok("UpdateItem", update), expected, "{returns}");
    }
    let mut endpoint = Endpoint::with_leases();
    for operation in ["PutItem", "DeleteItem"] {
        let body = json!({"TableName": "leases", "Item": key(), "Key": key(), "ReturnValues": "ALL_NEW"});
        assert_eq!(endpoint.invalid(operation, body), "ReturnValues can only be ALL_OLD or NONE");
    }
    let body = json!({"TableName": "leases", "Key": key(), "ReturnValues": "SOME"});
    assert_eq!(
        endpoint.invalid("UpdateItem", body),
        "1 validation error detected: Value 'SOME' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"
    );
}

#[test]
fn an_update_of_an_absent_item_creates_it() {
    let mut endpoint = Endpoint::with_leases();
    let update = json!({"TableName": "leases", "Key": key()});
    endpoint.ok("UpdateItem", update.clone());
    assert_eq!(endpoint.get("leases", key()), key());
    let mut endpoint = Endpoint::with_leases();
    endpoint.ok("UpdateItem", with(&update, json!({"AttributeUpdates": {"gone": {"Action": "DELETE"}}})));
    assert_eq!(endpoint.get("leases", key()), key());
}

#[test]
fn a_failed_condition_shows_the_item_that_is_there() {
    let mut endpoint = Endpoint::with_leases();
    let put = json!({
        "TableName": "leases", "Item": {"leaseKey": {"S": "shard"}, "n": {"N": "1"}},
        "ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": {"#pk": "leaseKey"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    endpoint.ok("PutItem", put.clone());
    let failed = endpoint.call("PutItem", put.clone()).unwrap_err();
    let expected = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"leaseKey": {"S": "shard"}, "n": {"N": "1"}},
    });
    assert_eq!(failed, expected);
    let without = with(&put, json!({"ReturnValuesOnConditionCheckFailure": "NONE"}));
    assert_eq!(endpoint.call("PutItem", without).unwrap_err().get("Item"), None);
    let absent = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "other"}}, "ConditionExpression": "attribute_exists(leaseKey)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    assert_eq!(endpoint.call("DeleteItem", absent).unwrap_err().get("Item"), None);
}

#[test]
fn keys_fit_the_table() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.create("pairs", &[("h", "N"), ("r", "B")]);
    let mismatch = "The provided key element does not match the schema";
    for key in [json!({}), json!({"leaseKey": {"S": "a"}, "other": {"S": "a"}})] {
        let message = endpoint.invalid("GetItem", json!({"TableName": "leases", "Key": key}));
        assert_eq!(message, "The number of conditions on the keys is invalid");
    }
    for key in [json!({"other": {"S": "a"}}), json!({"leaseKey": {"N": "1"}})] {
        for operation in ["GetItem", "UpdateItem", "DeleteItem"] {
            assert_eq!(
                endpoint.invalid(operation, json!({"TableName": "leases", "Key": key})),
                mismatch,
                "{key}"
            );
        }
    }
    let prefix = "One or more parameter values were invalid: ";
    let mut put = |table: &str, item| endpoint.invalid("PutItem", json!({"TableName": table, "Item": item}));
    assert_eq!(
        put("leases", json!({"a": {"S": "x"}})),
        format!("{prefix}Missing the key leaseKey in the item")
    );
    let wrong = put("leases", json!({"leaseKey": {"N": "1"}}));
    assert_eq!(wrong, format!("{prefix}Type mismatch for key leaseKey expected: S actual: N"));
    assert_eq!(
        put("leases", json!({"leaseKey": {"S": ""}})),
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: leaseKey"
    );
    let long = put("leases", json!({"leaseKey": {"S": "x".repeat(2_049)}}));
    assert_eq!(long, format!("{prefix}Size of hashkey has exceeded the maximum size limit of2048 bytes"));
    let missing = put("pairs", json!({"h": {"N": "1"}}));
    assert_eq!(missing, format!("{prefix}Missing the key r in the item"));
    endpoint.put("pairs", json!({"h": {"N": "1.0"}, "r": {"B": "AAE="}}));
    let same = json!({"h": {"N": "1"}, "r": {"B": "AAE="}});
    assert_eq!(endpoint.get("pairs", same.clone()), same);
}

#[test]
fn a_key_is_never_updated() {
    let mut endpoint = Endpoint::with_leases();
    let sentence = "One or more parameter values were invalid: Cannot update attribute leaseKey. This attribute is part of the key";
    for update in [
        json!({"AttributeUpdates": {"leaseKey": {"Value": {"S": "other"}}}}),
        json!({"UpdateExpression": "REMOVE leaseKey"}),
        json!({"UpdateExpression": "SET leaseKey = :v", "ExpressionAttributeValues": {":v": {"S": "shard"}}}),
    ] {
        let body = with(&json!({"TableName": "leases", "Key": key()}), update);
        assert_eq!(endpoint.invalid("UpdateItem", body), sentence);
    }
}

#[test]
fn tables_that_are_not_there_are_told() {
    let mut endpoint = Endpoint::with_leases();
    let absent =
        json!({"TableName": "absent", "Key": key(), "Item": key(), "KeyConditionExpression": "a = :a"});
    for (operation, members) in [
        ("GetItem", vec!["Key"]),
        ("PutItem", vec!["Item"]),
        ("UpdateItem", vec!["Key"]),
        ("DeleteItem", vec!["Key"]),
        ("Scan", vec![]),
        ("DescribeTable", vec![]),
        ("DeleteTable", vec![]),
        ("DescribeTimeToLive", vec![]),
        ("DescribeContinuousBackups", vec![]),
    ] {
        let mut body = absent.clone();
        let taken = |name: &str| name == "TableName" || members.contains(&name);
        body.as_object_mut().expect("a structure").retain(|name, _| taken(name));
        let expected = (
            "ResourceNotFoundException".to_owned(),
            "Requested resource not found: Table: absent not found".to_owned(),
        );
        assert_eq!(endpoint.refused(operation, body), expected, "{operation}");
    }
}

#[test]
fn the_table_may_be_named_by_its_arn() {
    let mut endpoint = Endpoint::with_leases();
    let put = |arn: &str| json!({"TableName": arn, "Item": key()});
    endpoint.ok("PutItem", put("arn:aws:dynamodb:us-east-1:000000000000:table/leases"));
    assert_eq!(endpoint.get("leases", key()), key());
    let other = "arn:aws:dynamodb:us-east-1:999999999999:table/leases";
    let (exception, message) = endpoint.refused("PutItem", put(other));
    assert_eq!(exception, "AccessDeniedException");
    assert!(
        message.ends_with(&format!("is not authorized to perform: dynamodb:PutItem on resource: {other}"))
    );
}

#[test]
fn an_absent_item_has_its_key_in_an_update() {
    let mut endpoint = Endpoint::with_leases();
    let update = json!({
        "TableName": "leases", "Key": key(), "UpdateExpression": "SET a = leaseKey, b = if_not_exists(leaseKey, :b)",
        "ExpressionAttributeValues": {":b": {"S": "none"}},
    });
    let absent = json!({"ConditionExpression": "attribute_exists(leaseKey)"});
    assert_eq!(endpoint.refused("UpdateItem", with(&update, absent)).0, "ConditionalCheckFailedException");
    endpoint.ok("UpdateItem", update);
    let expected = json!({"leaseKey": {"S": "shard"}, "a": {"S": "shard"}, "b": {"S": "shard"}});
    assert_eq!(endpoint.get("leases", key()), expected);
}

#[test]
fn empty_legacy_members_beside_expressions_count_as_absent() {
    let mut endpoint = Endpoint::with_leases();
    let update = json!({
        "TableName": "leases", "Key": key(), "AttributeUpdates": {}, "Expected": {},
        "UpdateExpression": "SET a = leaseKey", "ConditionExpression": "attribute_not_exists(leaseKey)",
    });
    endpoint.ok("UpdateItem", update.clone());
    assert_eq!(endpoint.refused("UpdateItem", update).0, "ConditionalCheckFailedException");
}
