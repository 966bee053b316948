//! Operations and members that lease tables do not have, and those that they ignore.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;

#[test]
fn operations_that_are_not_there_are_refused_in_words() {
    let mut endpoint = Endpoint::new();
    for (operation, what) in [
        ("ExecuteStatement", "PartiQL"),
        ("BatchExecuteStatement", "PartiQL"),
        ("ExecuteTransaction", "PartiQL"),
        ("CreateGlobalTable", "global tables"),
        ("DescribeTableReplicaAutoScaling", "global tables"),
        ("CreateBackup", "backups and restores"),
        ("ListBackups", "backups and restores"),
        ("RestoreTableToPointInTime", "backups and restores"),
        ("ExportTableToPointInTime", "exports and imports"),
        ("ImportTable", "exports and imports"),
        ("EnableKinesisStreamingDestination", "Kinesis destinations"),
        ("PutResourcePolicy", "resource policies"),
        ("TransactGetItems", "transactions that read"),
        ("DescribeEndpoints", "operation DescribeEndpoints"),
        ("getItem", "operation getItem"),
        ("", "operation "),
    ] {
        let expected = (
            "UnknownOperationException".to_owned(),
            format!("Tidelog keeps lease tables, not a database: no {what}"),
        );
        assert_eq!(endpoint.refused(operation, json!({})), expected);
    }
}

#[test]
fn some_members_are_ignored() {
    let mut endpoint = Endpoint::with_leases();
    let get = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "a"}}, "ReturnConsumedCapacity": "TOTAL", "AttributesToGet": null,
    });
    assert_eq!(endpoint.ok("GetItem", get), json!({}));
    let put = json!({"TableName": "leases", "Item": {"leaseKey": {"S": "a"}}, "ReturnItemCollectionMetrics": "SIZE"});
    endpoint.ok("PutItem", put);
}

#[test]
fn every_operation_refuses_other_members() {
    let sentence = "Tidelog keeps lease tables, not a database: no member Surprise";
    let mut endpoint = Endpoint::with_leases();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/leases";
    let key = json!({"leaseKey": {"S": "a"}});
    let table = json!({"TableName": "leases"});
    let of_item = json!({"TableName": "leases", "Key": key});
    for (operation, body) in [
        ("BatchGetItem", json!({"RequestItems": {}})),
        ("BatchWriteItem", json!({"RequestItems": {}})),
        ("DeleteItem", of_item.clone()),
        ("DeleteTable", table.clone()),
        ("DescribeContinuousBackups", table.clone()),
        ("DescribeLimits", json!({})),
        ("DescribeTable", table.clone()),
        ("DescribeTimeToLive", table.clone()),
        ("GetItem", of_item.clone()),
        ("ListTables", json!({})),
        ("ListTagsOfResource", json!({"ResourceArn": arn})),
        ("PutItem", json!({"TableName": "leases", "Item": key})),
        ("Query", table.clone()),
        ("Scan", table.clone()),
        ("TagResource", json!({"ResourceArn": arn, "Tags": []})),
        ("TransactWriteItems", json!({"TransactItems": []})),
        ("UntagResource", json!({"ResourceArn": arn, "TagKeys": []})),
        ("UpdateContinuousBackups", json!({"TableName": "leases", "PointInTimeRecoverySpecification": {}})),
        ("UpdateItem", of_item),
        ("UpdateTable", table.clone()),
        ("UpdateTimeToLive", json!({"TableName": "leases", "TimeToLiveSpecification": {}})),
    ] {
        let body = crate::endpoint::with(&body, json!({"Surprise": 1}));
        assert_eq!(endpoint.invalid(operation, body), sentence, "{operation}");
    }
}

#[test]
fn limits_are_those_of_dynamodb() {
    let limits = Endpoint::new().ok("DescribeLimits", json!({}));
    assert_eq!(limits["TableMaxReadCapacityUnits"], 40_000);
    assert_eq!(Endpoint::new().call("DescribeLimits", json!([])).unwrap_err().get("Item"), None::<&Value>);
}
