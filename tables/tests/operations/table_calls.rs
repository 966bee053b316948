//! CreateTable, DescribeTable, UpdateTable, DeleteTable and ListTables.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

fn definition(name: &str, kind: &str) -> Value {
    json!({"AttributeName": name, "AttributeType": kind})
}

fn element(name: &str, kind: &str) -> Value {
    json!({"AttributeName": name, "KeyType": kind})
}

fn create() -> Value {
    json!({
        "TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [element("leaseKey", "HASH")], "AttributeDefinitions": [definition("leaseKey", "S")],
    })
}

fn index(name: &str, hash: &str) -> Value {
    json!({"IndexName": name, "KeySchema": [element(hash, "HASH")], "Projection": {"ProjectionType": "ALL"}})
}

#[test]
fn a_table_is_active_at_once() {
    let mut endpoint = Endpoint::new();
    let created = endpoint.ok("CreateTable", create());
    let described = endpoint.ok("DescribeTable", json!({"TableName": "leases"}));
    assert_eq!(created["TableDescription"], described["Table"]);
    let id = described["Table"]["TableId"].clone();
    let expected = json!({
        "TableName": "leases", "TableStatus": "ACTIVE", "TableId": id,
        "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/leases",
        "CreationDateTime": 1_764_500_000.123, "ItemCount": 0, "TableSizeBytes": 0,
        "DeletionProtectionEnabled": false,
        "KeySchema": [element("leaseKey", "HASH")], "AttributeDefinitions": [definition("leaseKey", "S")],
        "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": 1_764_500_000.123},
    });
    assert_eq!(described["Table"], expected);
    let id = id.as_str().expect("a UUID");
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
}

#[test]
fn the_second_creator_is_told_that_the_table_exists() {
    let mut endpoint = Endpoint::new();
    endpoint.ok("CreateTable", create());
    let expected = ("ResourceInUseException".to_owned(), "Table already exists: leases".to_owned());
    assert_eq!(endpoint.refused("CreateTable", create()), expected);
}

#[test]
fn provisioned_tables_show_their_units() {
    let mut endpoint = Endpoint::new();
    let mut body = create();
    body.as_object_mut().expect("a body").remove("BillingMode");
    body["ProvisionedThroughput"] = json!({"ReadCapacityUnits": 10, "WriteCapacityUnits": 5});
    body["SSESpecification"] = json!({"Enabled": true});
    body["StreamSpecification"] = json!({"StreamEnabled": false});
    let description = endpoint.ok("CreateTable", body)["TableDescription"].clone();
    assert_eq!(description.get("BillingModeSummary"), None);
    let units = json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 10, "WriteCapacityUnits": 5});
    assert_eq!(description["ProvisionedThroughput"], units);
    let create_index = |more: Value| {
        json!({
            "TableName": "leases", "AttributeDefinitions": [definition("o", "S")],
            "GlobalSecondaryIndexUpdates": [{"Create": with(&index("by-owner", "o"), more)}],
        })
    };
    assert_eq!(
        endpoint.invalid("UpdateTable", create_index(json!({}))),
        "One or more parameter values were invalid: ProvisionedThroughput is not specified for index: by-owner"
    );
    let units = json!({"ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}});
    let description = endpoint.ok("UpdateTable", create_index(units))["TableDescription"].clone();
    assert_eq!(description["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"], 3);
}

#[test]
fn composite_keys_and_indexes_are_described() {
    let mut endpoint = Endpoint::new();
    let body = json!({
        "TableName": "positions", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [element("StreamID", "HASH"), element("ShardID", "RANGE")],
        "AttributeDefinitions": [definition("StreamID", "S"), definition("ShardID", "N"), definition("owner", "B")],
        "GlobalSecondaryIndexes": [with(&index("by-owner", "owner"), json!({"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]}}))],
        "Tags": [{"Key": "team", "Value": "blue"}], "DeletionProtectionEnabled": true,
    });
    endpoint.ok("CreateTable", body);
    endpoint.put("positions", json!({"StreamID": {"S": "s"}, "ShardID": {"N": "1"}, "owner": {"B": "AA=="}}));
    let table = endpoint.ok("DescribeTable", json!({"TableName": "positions"}))["Table"].clone();
    assert_eq!(table["KeySchema"], json!([element("StreamID", "HASH"), element("ShardID", "RANGE")]));
    let definitions =
        json!([definition("ShardID", "N"), definition("StreamID", "S"), definition("owner", "B")]);
    assert_eq!(table["AttributeDefinitions"], definitions);
    assert_eq!(table["ItemCount"], 1);
    assert!(table["TableSizeBytes"].as_u64().expect("bytes") > 10);
    let index = &table["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexArn"], "arn:aws:dynamodb:us-east-1:000000000000:table/positions/index/by-owner");
    assert_eq!(index["Projection"], json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]}));
    assert_eq!(index["ItemCount"], 1);
    let message = endpoint.invalid("DeleteTable", json!({"TableName": "positions"}));
    assert!(
        message.starts_with("Resource cannot be deleted as it is currently protected against deletion."),
        "{message}"
    );
    endpoint.ok("UpdateTable", json!({"TableName": "positions", "DeletionProtectionEnabled": false}));
    let deleted = endpoint.ok("DeleteTable", json!({"TableName": "positions"}));
    assert_eq!(deleted["TableDescription"]["TableStatus"], "DELETING");
    assert_eq!(
        endpoint.refused("DescribeTable", json!({"TableName": "positions"})).0,
        "ResourceNotFoundException"
    );
    assert!(endpoint.tables.is_empty());
}

#[test]
fn bad_tables_are_refused() {
    let invalid = |sentence: &str| format!("One or more parameter values were invalid: {sentence}");
    let missing = |member: &str| {
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        )
    };
    for (more, sentence) in [
        (json!({"TableName": null}), missing("tableName")),
        (json!({"KeySchema": null}), missing("keySchema")),
        (json!({"AttributeDefinitions": null}), missing("attributeDefinitions")),
        (
            json!({"KeySchema": [element("leaseKey", "RANGE")]}),
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type".into(),
        ),
        (
            json!({"KeySchema": [element("leaseKey", "HASH"), element("x", "HASH")]}),
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type".into(),
        ),
        (
            json!({"KeySchema": [element("leaseKey", "HASH"), element("leaseKey", "RANGE")]}),
            "Both the Hash Key and the Range Key element in the KeySchema have the same name".into(),
        ),
        (
            json!({"KeySchema": [element("other", "HASH")]}),
            invalid("Some index key attributes are not defined in AttributeDefinitions. Keys: [other], AttributeDefinitions: [leaseKey]"),
        ),
        (
            json!({"AttributeDefinitions": [definition("leaseKey", "S"), definition("x", "S")]}),
            invalid("Some AttributeDefinitions are not used. AttributeDefinitions: [leaseKey, x], keys used: [leaseKey]"),
        ),
        (
            json!({"AttributeDefinitions": [definition("leaseKey", "S"), definition("leaseKey", "N")]}),
            invalid("Duplicate AttributeName in AttributeDefinitions: leaseKey"),
        ),
        (
            json!({"AttributeDefinitions": [definition("leaseKey", "BOOL")]}),
            "1 validation error detected: Value 'BOOL' at 'attributeDefinitions.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]".into(),
        ),
        (
            json!({"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
            invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"),
        ),
        (
            json!({"BillingMode": "PROVISIONED"}),
            invalid("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"),
        ),
        (
            json!({"GlobalSecondaryIndexes": [index("one", "leaseKey"), index("one", "leaseKey")]}),
            invalid("Duplicate index name: one"),
        ),
        (
            json!({"GlobalSecondaryIndexes": (0..21).map(|n| index(&format!("i{n:02}"), "leaseKey")).collect::<Vec<_>>()}),
            invalid("GlobalSecondaryIndex count exceeds the per-table limit of 20"),
        ),
        (
            json!({"GlobalSecondaryIndexes": [with(&index("one", "leaseKey"), json!({"Projection": {"ProjectionType": "INCLUDE"}}))]}),
            invalid("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"),
        ),
        (json!({"LocalSecondaryIndexes": [{}]}), "Tidelog keeps lease tables, not a database: no local indexes".into()),
        (
            json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}}),
            "Tidelog keeps lease tables, not a database: no streams".into(),
        ),
        (json!({"Surprise": 1}), "Tidelog keeps lease tables, not a database: no member Surprise".into()),
        (
            json!({"Tags": (0..51).map(|n| json!({"Key": n.to_string(), "Value": ""})).collect::<Vec<_>>()}),
            invalid("Too many tags: a table has 50 at most"),
        ),
    ] {
        assert_eq!(Endpoint::new().invalid("CreateTable", with(&create(), more.clone())), sentence, "{more}");
    }
}

#[test]
fn updates_of_tables() {
    let mut endpoint = Endpoint::with_leases();
    let update = |more: Value| with(&json!({"TableName": "leases"}), more);
    let add = update(json!({
        "AttributeDefinitions": [definition("o", "S")], "GlobalSecondaryIndexUpdates": [{"Create": index("by-owner", "o")}],
    }));
    endpoint.ok("UpdateTable", add.clone());
    for (more, sentence) in [
        (
            json!({}),
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
        ),
        (add.clone(), "Attempting to create an index which already exists"),
        (
            json!({"GlobalSecondaryIndexUpdates": [{"Create": index("other", "unknown")}]}),
            "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [unknown], AttributeDefinitions: [leaseKey, o]",
        ),
        (
            json!({
                "AttributeDefinitions": [definition("o", "N")],
                "GlobalSecondaryIndexUpdates": [{"Create": index("other", "o")}],
            }),
            "One or more parameter values were invalid: Attribute o is defined with another type already",
        ),
        (
            json!({"BillingMode": "PROVISIONED"}),
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            json!({"GlobalSecondaryIndexUpdates": [{}]}),
            "One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate Update, Create or Delete must be specified",
        ),
        (json!({"ReplicaUpdates": []}), "Tidelog keeps lease tables, not a database: no global tables"),
    ] {
        assert_eq!(endpoint.invalid("UpdateTable", update(more.clone())), sentence, "{more}");
    }
    let absent = update(json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "absent"}}]}));
    let expected = ("ResourceNotFoundException".to_owned(), "Requested resource not found".to_owned());
    assert_eq!(endpoint.refused("UpdateTable", absent), expected);
    // A refused part leaves the others undone.
    let half = update(json!({
        "DeletionProtectionEnabled": true, "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "absent"}}],
    }));
    endpoint.refused("UpdateTable", half);
    let drop = update(json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-owner"}}]}));
    let description = endpoint.ok("UpdateTable", drop)["TableDescription"].clone();
    assert_eq!(description.get("GlobalSecondaryIndexes"), None);
    assert_eq!(description["DeletionProtectionEnabled"], false);
    let provisioned = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 3}});
    let description = endpoint.ok("UpdateTable", update(provisioned))["TableDescription"].clone();
    assert_eq!(description["ProvisionedThroughput"]["WriteCapacityUnits"], 3);
}

#[test]
fn tables_are_listed_page_by_page() {
    let mut endpoint = Endpoint::new();
    for name in ["ccc", "aaa", "bbb"] {
        endpoint.create(name, &[("k", "S")]);
    }
    assert_eq!(endpoint.ok("ListTables", json!({})), json!({"TableNames": ["aaa", "bbb", "ccc"]}));
    let page = endpoint.ok("ListTables", json!({"Limit": 2}));
    assert_eq!(page, json!({"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}));
    let page = endpoint.ok("ListTables", json!({"ExclusiveStartTableName": "bbb"}));
    assert_eq!(page, json!({"TableNames": ["ccc"]}));
    let refused = endpoint.invalid("ListTables", json!({"Limit": 101}));
    assert!(refused.ends_with(
        "at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100"
    ));
}

#[test]
fn tables_of_owners_are_apart() {
    let mut endpoint = Endpoint::with_leases();
    endpoint.owner.region = "eu-west-1".into();
    assert_eq!(endpoint.ok("ListTables", json!({})), json!({"TableNames": []}));
    assert_eq!(
        endpoint.refused("DescribeTable", json!({"TableName": "leases"})).0,
        "ResourceNotFoundException"
    );
    endpoint.create("leases", &[("k", "S")]);
    endpoint.ok("DeleteTable", json!({"TableName": "leases"}));
    endpoint.owner.region = "us-east-1".into();
    assert_eq!(endpoint.ok("ListTables", json!({})), json!({"TableNames": ["leases"]}));
}
