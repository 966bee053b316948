//! CreateStream: begins a stream; it takes records once it is ACTIVE.
//!
//! Without ShardCount a stream is ON_DEMAND with 4 shards. (What AWS answers was recorded without the mode; the
//! broker does not yet change the number of an on-demand stream's shards.)
//!
//! Limits: 20,000 open shards per account and region. Errors: ResourceInUse when the name exists, LimitExceeded,
//! Validation for a ShardCount with ON_DEMAND.

use std::sync::Arc;

use crate::limits::{RECORD_KIB_BY_DEFAULT, SHARDS_BY_DEFAULT};
use crate::model::stream::{StreamMode, Tags};
use crate::ops::input::Input;
use crate::ops::{Call, Fault, Reply, quota, target};
use crate::service::{NewStream, Service};

/// Begins the stream.
pub async fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let key = target::key(call, input)?;
    let catalog = service.catalog();
    if catalog.streams().contains_key(&key) {
        return Err(Fault::name_taken(&key));
    }
    let plan = plan(input)?;
    quota::check_shards(service.control_limits(), &catalog, &key, plan.shard_count)?;
    let created = service.create_stream(&key, plan).await;
    created.map(|()| Reply::EMPTY).map_err(|error| Fault::of_stream(error, &key))
}

fn plan(input: &Input) -> Result<NewStream, Fault> {
    refuse_what_is_missing(input)?;
    let named_mode = input.structure("StreamModeDetails").map(|details| details.required_text("StreamMode"));
    let shard_count = whole(input, "ShardCount");
    let mode = match (named_mode, shard_count) {
        (Some("ON_DEMAND"), Some(_)) => {
            let text = "ShardCount is not expected when StreamMode=ON_DEMAND";
            return Err(Fault::Validation(text.to_owned()));
        }
        (Some("ON_DEMAND") | None, None) => StreamMode::OnDemand,
        _ => StreamMode::Provisioned,
    };
    if mode == StreamMode::Provisioned && input.text("RecordDistributionStrategy") == Some("AUTO") {
        let text = "RecordDistributionStrategy AUTO is only available for streams with StreamMode=ON_DEMAND";
        return Err(Fault::InvalidArgument(text.to_owned()));
    }
    Ok(NewStream {
        tags: Tags::new(),
        warm_mib_per_second: 0,
        is_auto_distributed: false,
        shard_count: shard_count.unwrap_or(SHARDS_BY_DEFAULT),
        mode,
        max_record_kib: whole(input, "MaxRecordSizeInKiB").unwrap_or(RECORD_KIB_BY_DEFAULT),
    })
}

/// Parts of the operation that the broker does not have yet: refused, because ignoring them would be a lie.
fn refuse_what_is_missing(input: &Input) -> Result<(), Fault> {
    let is_on_demand = input.structure("StreamModeDetails").and_then(|details| details.text("StreamMode"))
        == Some("ON_DEMAND");
    let missing = if input.get("Tags").is_some() {
        "tags"
    } else if input.integer("WarmThroughputMiBps").is_some_and(|throughput| throughput > 0) {
        "warm throughput"
    } else if is_on_demand && input.text("RecordDistributionStrategy") == Some("AUTO") {
        "the record distribution strategy AUTO"
    } else {
        return Ok(());
    };
    Err(Fault::NotBuilt(format!("Tidelog does not have {missing} yet; the stream was not created.")))
}

/// A member that the table bounds below by zero or more.
fn whole(input: &Input, name: &str) -> Option<u32> {
    input.integer(name).map(|value| u32::try_from(value).expect("the table's bounds are not negative"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    fn planned(body: &str) -> Result<NewStream, Fault> {
        plan(&cases::input("CreateStream", body)?)
    }

    #[test]
    fn shards_and_mode_follow_from_the_request() {
        let on_demand = NewStream {
            shard_count: 4,
            mode: StreamMode::OnDemand,
            max_record_kib: 1_024,
            tags: Tags::new(),
            warm_mib_per_second: 0,
            is_auto_distributed: false,
        };
        let provisioned =
            |shard_count| NewStream { shard_count, mode: StreamMode::Provisioned, ..on_demand.clone() };
        for (body, expected) in [
            (r#"{"StreamName":"a","ShardCount":3}"#, provisioned(3)),
            (r#"{"StreamName":"a","ShardCount":3.9,"Unknown":[1]}"#, provisioned(3)),
            (r#"{"StreamName":"a","ShardCount":100000000000}"#, provisioned(2_147_483_647)),
            (r#"{"StreamName":"a","StreamModeDetails":{"StreamMode":"PROVISIONED"}}"#, provisioned(4)),
            (r#"{"StreamName":"a","ShardCount":2,"StreamModeDetails":null}"#, provisioned(2)),
            (
                r#"{"StreamName":"a","ShardCount":2,"MaxRecordSizeInKiB":10240}"#,
                NewStream { max_record_kib: 10_240, ..provisioned(2) },
            ),
            (r#"{"StreamName":"a","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}"#, on_demand.clone()),
        ] {
            assert_eq!(planned(body), Ok(expected), "{body}");
        }
        assert_eq!(planned(r#"{"StreamName":"a"}"#).unwrap().mode, StreamMode::OnDemand);
    }

    #[test]
    fn bounds_are_told_in_aws_words() {
        let long = "a".repeat(129);
        for (body, expected) in [
            ("{}".to_owned(), vec![("null", "streamName", "Member must not be null")]),
            (
                r#"{"StreamName":"","ShardCount":0}"#.to_owned(),
                vec![
                    ("", "streamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
                    ("", "streamName", "Member must have length greater than or equal to 1"),
                    ("0", "shardCount", "Member must have value greater than or equal to 1"),
                ],
            ),
            (
                format!(r#"{{"StreamName":"{long}","MaxRecordSizeInKiB":10241}}"#),
                vec![
                    (&long, "streamName", "Member must have length less than or equal to 128"),
                    ("10241", "maxRecordSizeInKiB", "Member must have value less than or equal to 10240"),
                ],
            ),
            (
                r#"{"StreamName":"a","StreamModeDetails":{}}"#.to_owned(),
                vec![("null", "streamModeDetails.streamMode", "Member must not be null")],
            ),
            (
                r#"{"StreamName":"a","StreamModeDetails":{"StreamMode":"x"}}"#.to_owned(),
                vec![(
                    "x",
                    "streamModeDetails.streamMode",
                    "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
                )],
            ),
            (
                r#"{"StreamName":"a","Tags":{}}"#.to_owned(),
                vec![("{}", "tags", "Member must have length greater than or equal to 1")],
            ),
        ] {
            let fault = planned(&body).unwrap_err();
            assert_eq!(cases::violations(&fault), cases::expected(&expected), "{body}");
        }
    }

    #[test]
    fn wrong_types_are_told_before_bounds() {
        for (body, expected) in [
            (r#"{"ShardCount":"1"}"#, "class java.lang.String can not be converted to an Integer"),
            (r#"{"StreamName":[],"ShardCount":0}"#, "Start of list found where not expected"),
            (r#"{"StreamName":{}}"#, "Start of structure or map found where not expected."),
            (r#"{"StreamName":true}"#, "class java.lang.Boolean can not be converted to an String"),
            (r#"{"StreamName":1.5}"#, "class java.lang.Double can not be converted to an String"),
        ] {
            let expected = Fault::Serialization { message: Some(expected.to_owned()) };
            assert_eq!(planned(body), Err(expected), "{body}");
        }
    }

    #[test]
    fn on_demand_counts_its_own_shards() {
        let body = r#"{"StreamName":"a","ShardCount":2,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}"#;
        let text = "ShardCount is not expected when StreamMode=ON_DEMAND";
        assert_eq!(planned(body), Err(Fault::Validation(text.to_owned())));
    }

    #[test]
    fn what_is_not_there_yet_is_refused() {
        for part in [r#""Tags":{"a":"b"}"#, r#""WarmThroughputMiBps":1"#] {
            let body = format!(r#"{{"StreamName":"a","ShardCount":1,{part}}}"#);
            assert!(matches!(planned(&body), Err(Fault::NotBuilt(_))), "{body}");
        }
    }
}
