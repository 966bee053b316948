//! Steps that both changes of a stream's shard-level metrics share. `ALL` stands for the seven.

use std::sync::Arc;

use super::check_active;
use crate::model::stream::{ShardLevelMetrics, Stream};
use crate::ops::api::{EnhancedMonitoringOutput, MetricsName, Targets};
use crate::ops::stream::description;
use crate::ops::{Call, Fault, target};
use crate::service::{Service, StreamChange};

/// The direction of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Metrics come.
    Enable,
    /// Metrics go.
    Disable,
}

/// Enables or disables metrics; a metric that has the wanted state already keeps it.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    targets: &dyn Targets,
    names: &[MetricsName],
    direction: Direction,
) -> Result<EnhancedMonitoringOutput, Fault> {
    let stream = target::stream(&service.catalog(), call, targets)?;
    check_active(&stream)?;
    let (current, asked) = (stream.shard_level_metrics, read(names));
    let desired = match direction {
        Direction::Enable => current.with(asked),
        Direction::Disable => current.without(asked),
    };
    if desired != current {
        let change = match direction {
            Direction::Enable => StreamChange { enabled_metrics: asked, ..StreamChange::default() },
            Direction::Disable => StreamChange { disabled_metrics: asked, ..StreamChange::default() },
        };
        let changed = service.change_stream(stream.uid, change).await;
        changed.map_err(|error| Fault::of_stream(error, &stream.key))?;
    }
    Ok(answer(&stream, desired))
}

fn read(names: &[MetricsName]) -> ShardLevelMetrics {
    let named = names.iter().copied().map(description::metrics_named);
    named.fold(ShardLevelMetrics::default(), ShardLevelMetrics::with)
}

fn answer(before: &Stream, desired: ShardLevelMetrics) -> EnhancedMonitoringOutput {
    EnhancedMonitoringOutput {
        stream_name: Some(before.key.name.to_string()),
        current_shard_level_metrics: Some(description::metric_names(before.shard_level_metrics)),
        desired_shard_level_metrics: Some(description::metric_names(desired)),
        stream_arn: Some(before.key.arn()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::{DisableEnhancedMonitoringInput, EnableEnhancedMonitoringInput};
    use crate::ops::cases;

    fn asked(names: &str) -> ShardLevelMetrics {
        let body = format!(r#"{{"StreamName":"a","ShardLevelMetrics":[{names}]}}"#);
        read(&cases::input::<EnableEnhancedMonitoringInput>(&body).unwrap().shard_level_metrics)
    }

    #[test]
    fn names_stand_for_metrics_and_all_for_seven() {
        assert_eq!(asked(r#""IncomingBytes""#), ShardLevelMetrics(1));
        assert_eq!(
            asked(r#""IncomingBytes","IteratorAgeMilliseconds","IncomingBytes""#),
            ShardLevelMetrics(65)
        );
        assert_eq!(asked(r#""OutgoingBytes","ALL""#), ShardLevelMetrics(127));
    }

    #[test]
    fn the_answer_has_the_old_and_the_new_metrics() {
        let mut stream = cases::stream("a", 1);
        stream.shard_level_metrics = asked(r#""OutgoingRecords","IncomingRecords""#);
        let desired = stream.shard_level_metrics.without(asked(r#""IncomingRecords","IncomingBytes""#));
        let expected = serde_json::json!({
            "StreamName": "a",
            "CurrentShardLevelMetrics": ["IncomingRecords", "OutgoingRecords"],
            "DesiredShardLevelMetrics": ["OutgoingRecords"],
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
        });
        assert_eq!(cases::json(&answer(&stream, desired)), expected);
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let enable = |body: &str| cases::input::<EnableEnhancedMonitoringInput>(body).unwrap_err();
        let disable = |body: &str| cases::input::<DisableEnhancedMonitoringInput>(body).unwrap_err();
        for refused in [enable, disable] {
            let fault = refused(r#"{"ShardLevelMetrics":[]}"#);
            let expected =
                [("[]", "shardLevelMetrics", "Member must have length greater than or equal to 1")];
            assert_eq!(cases::violations(&fault), cases::expected(&expected));
            let fault = refused(r#"{"ShardLevelMetrics":["all"]}"#);
            let violations = cases::violations(&fault);
            assert!(
                violations.iter().all(|text| text.contains("'shardLevelMetrics.1.member'")),
                "{violations:?}"
            );
        }
    }
}
