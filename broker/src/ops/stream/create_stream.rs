//! CreateStream: begins a stream; it takes records once it is ACTIVE.
//!
//! Without ShardCount a stream is ON_DEMAND with 4 shards, or as many as its warm throughput needs. (That there are 4
//! shards is recorded, the mode is not.)
//!
//! Limits: 20,000 open shards, 5 streams CREATING and 50 on demand per account and region, 50 tags. Errors:
//! ResourceInUse when the name exists, LimitExceeded, Validation for a ShardCount with ON_DEMAND, InvalidArgument for
//! tags, and for AUTO or warm throughput where there can be none.

use std::sync::Arc;

use crate::limits::{RECORD_KIB_BY_DEFAULT, SHARDS_BY_DEFAULT};
use crate::model::stream::{StreamMode, Tags};
use crate::ops::api::StreamMode::OnDemand;
use crate::ops::api::{CreateStreamInput, RecordDistributionStrategy};
use crate::ops::fault::{ResourceName, Validation};
use crate::ops::settings::{update_stream_record_distribution_strategy as strategy, warm_throughput};
use crate::ops::tag::rules;
use crate::ops::{Call, Fault, target};
use crate::service::{NewStream, Service};

/// Begins the stream.
pub async fn run(service: &Arc<Service>, call: &Call, input: &CreateStreamInput) -> Result<(), Fault> {
    let key = target::key(call, input)?;
    let catalog = service.catalog();
    if catalog.streams().contains_key(&key) {
        return Err(Fault::name_taken(&key));
    }
    let plan = plan(input, catalog.has_commitment(&key, service.now_ms()))?;
    rules::check_added(&ResourceName::Stream(key.clone()), &Tags::new(), &plan.tags)?;
    let created = service.create_stream(&key, plan).await;
    created.map_err(|error| Fault::of_stream(error, &key))
}

fn plan(input: &CreateStreamInput, is_committed: bool) -> Result<NewStream, Fault> {
    let named_mode = input.stream_mode_details.as_ref().map(|details| details.stream_mode);
    let shard_count = input.shard_count;
    let mode = match (named_mode, shard_count) {
        (Some(OnDemand), Some(_)) => {
            return Err(Fault::Validation(Validation::OnDemandShardCount));
        }
        (Some(OnDemand) | None, None) => StreamMode::OnDemand,
        _ => StreamMode::Provisioned,
    };
    let is_auto_distributed = input.record_distribution_strategy == Some(RecordDistributionStrategy::Auto);
    if is_auto_distributed {
        strategy::check_mode(mode)?;
    }
    let warm_mib_per_second = input.warm_throughput_mibps.unwrap_or_default();
    if warm_mib_per_second > 0 {
        warm_throughput::check(mode, is_committed, warm_mib_per_second)?;
    }
    Ok(NewStream {
        tags: rules::read(input.tags.as_ref()),
        warm_mib_per_second,
        is_auto_distributed,
        shard_count: shard_count.unwrap_or_else(|| SHARDS_BY_DEFAULT.max(warm_mib_per_second)),
        mode,
        max_record_kib: input.max_record_size_in_kib.unwrap_or(RECORD_KIB_BY_DEFAULT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    fn planned(body: &str) -> Result<NewStream, Fault> {
        plan(&cases::input::<CreateStreamInput>(body)?, true)
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
    fn bounds_are_named_in_aws_words() {
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
    fn wrong_types_are_reported_before_bounds() {
        for (body, expected) in [
            (r#"{"ShardCount":"1"}"#, "class java.lang.String can not be converted to an Integer"),
            (r#"{"StreamName":[],"ShardCount":0}"#, "Start of list found where not expected"),
            (r#"{"StreamName":{}}"#, "Start of structure or map found where not expected."),
            (r#"{"StreamName":true}"#, "class java.lang.Boolean can not be converted to an String"),
            (
                r#"{"StreamName":1.5}"#,
                "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String",
            ),
        ] {
            let expected = ("SerializationException", expected.to_owned());
            assert_eq!(cases::said(planned(body)), expected, "{body}");
        }
    }

    #[test]
    fn on_demand_counts_its_own_shards() {
        let body = r#"{"StreamName":"a","ShardCount":2,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}"#;
        let text = "ShardCount is not expected when StreamMode=ON_DEMAND";
        assert_eq!(cases::said(planned(body)), ("ValidationException", text.to_owned()));
    }

    #[test]
    fn an_on_demand_stream_can_have_more() {
        let members =
            r#""Tags":{"b":"2","a":"1"},"RecordDistributionStrategy":"AUTO","WarmThroughputMiBps":9"#;
        let body = format!(r#"{{"StreamName":"a",{members}}}"#);
        let expected = NewStream {
            shard_count: 9,
            mode: StreamMode::OnDemand,
            max_record_kib: 1_024,
            tags: [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            warm_mib_per_second: 9,
            is_auto_distributed: true,
        };
        assert_eq!(planned(&body), Ok(expected));
        let uncommitted = plan(&cases::input::<CreateStreamInput>(&body).unwrap(), false);
        assert!(matches!(uncommitted, Err(Fault::InvalidArgument(_))), "{uncommitted:?}");
    }

    #[test]
    fn a_provisioned_stream_cannot() {
        for part in [r#""RecordDistributionStrategy":"AUTO""#, r#""WarmThroughputMiBps":1"#] {
            let found = planned(&format!(r#"{{"StreamName":"a","ShardCount":1,{part}}}"#));
            assert!(matches!(found, Err(Fault::InvalidArgument(_))), "{part}: {found:?}");
        }
        let body = r#"{"StreamName":"a","ShardCount":1,"RecordDistributionStrategy":"USER_PARTITION_KEY","WarmThroughputMiBps":0}"#;
        assert!(planned(body).is_ok());
    }
}
