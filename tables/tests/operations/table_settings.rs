//! Tags, TimeToLive and continuous backups.

use serde_json::json;

use crate::endpoint::Endpoint;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/leases";

#[test]
fn tags_are_kept() {
    let mut endpoint = Endpoint::with_leases();
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    assert_eq!(
        endpoint.ok("TagResource", json!({"ResourceArn": ARN, "Tags": [tag("b", "1"), tag("a", "2")]})),
        json!({})
    );
    endpoint.ok("TagResource", json!({"ResourceArn": ARN, "Tags": [tag("b", "3")]}));
    let tags = endpoint.ok("ListTagsOfResource", json!({"ResourceArn": ARN}));
    assert_eq!(tags, json!({"Tags": [tag("a", "2"), tag("b", "3")]}));
    endpoint.ok("UntagResource", json!({"ResourceArn": ARN, "TagKeys": ["a", "absent"]}));
    assert_eq!(
        endpoint.ok("ListTagsOfResource", json!({"ResourceArn": ARN})),
        json!({"Tags": [tag("b", "3")]})
    );
    let many: Vec<_> = (0..50).map(|n| tag(&format!("k{n}"), "")).collect();
    assert_eq!(
        endpoint.invalid("TagResource", json!({"ResourceArn": ARN, "Tags": many})),
        "One or more parameter values were invalid: Too many tags: a table has 50 at most"
    );
}

#[test]
fn resources_that_are_not_there_are_told() {
    let mut endpoint = Endpoint::with_leases();
    let absent = "arn:aws:dynamodb:us-east-1:000000000000:table/absent";
    let expected = (
        "ResourceNotFoundException".to_owned(),
        format!("Requested resource not found: ResourcArn: {absent} not found"),
    );
    let body = json!({"ResourceArn": absent, "Tags": [{"Key": "a", "Value": "b"}]});
    assert_eq!(endpoint.refused("TagResource", body), expected);
    assert_eq!(endpoint.refused("UntagResource", json!({"ResourceArn": absent, "TagKeys": ["a"]})), expected);
    assert_eq!(endpoint.refused("ListTagsOfResource", json!({"ResourceArn": absent})), expected);
    let bad = endpoint.invalid("ListTagsOfResource", json!({"ResourceArn": "leases"}));
    assert_eq!(bad, "Invalid TableArn: Invalid ResourceArn provided as input leases");
    assert_eq!(
        endpoint.invalid("TagResource", json!({"ResourceArn": ARN, "Tags": []})),
        "Atleast one Tag needs to be provided as Input."
    );
}

#[test]
fn continuous_backups_are_a_flag() {
    let mut endpoint = Endpoint::with_leases();
    let answer = |status: &str| {
        json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": status},
        }})
    };
    let describe = json!({"TableName": "leases"});
    assert_eq!(endpoint.ok("DescribeContinuousBackups", describe.clone()), answer("DISABLED"));
    let update = json!({
        "TableName": "leases", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
    });
    assert_eq!(endpoint.ok("UpdateContinuousBackups", update), answer("ENABLED"));
    assert_eq!(endpoint.ok("DescribeContinuousBackups", describe), answer("ENABLED"));
}

#[test]
fn time_to_live_is_switched() {
    let mut endpoint = Endpoint::with_leases();
    let specification =
        |attribute: &str, enabled: bool| json!({"AttributeName": attribute, "Enabled": enabled});
    let update = |attribute: &str, enabled: bool| json!({"TableName": "leases", "TimeToLiveSpecification": specification(attribute, enabled)});
    let describe = json!({"TableName": "leases"});
    let off = json!({"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}});
    assert_eq!(endpoint.ok("DescribeTimeToLive", describe.clone()), off);
    assert_eq!(endpoint.invalid("UpdateTimeToLive", update("t", false)), "TimeToLive is already disabled");
    let answer = endpoint.ok("UpdateTimeToLive", update("t", true));
    assert_eq!(answer, json!({"TimeToLiveSpecification": specification("t", true)}));
    let on = json!({"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "t"}});
    assert_eq!(endpoint.ok("DescribeTimeToLive", describe.clone()), on);
    assert_eq!(endpoint.invalid("UpdateTimeToLive", update("t", true)), "TimeToLive is already enabled");
    assert_eq!(
        endpoint.invalid("UpdateTimeToLive", update("other", false)),
        "TimeToLive is active on a different AttributeName: current AttributeName is t"
    );
    endpoint.ok("UpdateTimeToLive", update("t", false));
    assert_eq!(endpoint.ok("DescribeTimeToLive", describe), off);
}
