//! The operations that describe streams, create, change and delete them, and those of the account.

use super::Failure;
use super::documents::{list, member, metrics, mode, named, seconds, shard};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{
    EncryptionType, EnhancedMetrics, MetricsName, MinimumThroughputBillingCommitmentInput,
    MinimumThroughputBillingCommitmentOutput, RecordDistributionStrategy, StreamDescription,
    StreamDescriptionSummary, WarmThroughputObject,
};
use serde_json::{Value, json};

/// Describes and lists.
pub(super) async fn descriptions(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    Ok(match operation {
        "DescribeStreamSummary" => {
            let described = send_to_stream!(client.describe_stream_summary(), input);
            json!({"StreamDescriptionSummary": described.stream_description_summary().map(summary)})
        }
        "DescribeStream" => {
            let described = send_to_stream!(client.describe_stream(), input, set_limit member "Limit");
            json!({"StreamDescription": described.stream_description().map(description)})
        }
        "DescribeLimits" => {
            let limits = send!(client.describe_limits(), input);
            json!({"ShardLimit": limits.shard_limit(), "OpenShardCount": limits.open_shard_count(),
                "OnDemandStreamCount": limits.on_demand_stream_count(),
                "OnDemandStreamCountLimit": limits.on_demand_stream_count_limit()})
        }
        "DescribeAccountSettings" => {
            let settings = send!(client.describe_account_settings(), input);
            json!({"MinimumThroughputBillingCommitment":
                settings.minimum_throughput_billing_commitment().map(commitment)})
        }
        "ListStreams" => {
            let listed = send!(client.list_streams(), input, set_limit member "Limit");
            let summaries = list(
                listed.stream_summaries(),
                |it| json!({"StreamName": it.stream_name(), "StreamStatus": it.stream_status().as_str()}),
            );
            json!({"StreamNames": listed.stream_names(), "HasMoreStreams": listed.has_more_streams(),
                "StreamSummaries": summaries})
        }
        _ => return Err(Failure::of_input(operation)),
    })
}

/// Creates, changes and deletes.
pub(super) async fn changes(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    match operation {
        "CreateStream" => {
            send!(client.create_stream(), input, set_stream_name member "StreamName",
                set_shard_count member "ShardCount");
        }
        "DeleteStream" => {
            send_to_stream!(client.delete_stream(), input,
                set_enforce_consumer_deletion member "EnforceConsumerDeletion");
        }
        "SplitShard" => {
            send_to_stream!(client.split_shard(), input, set_shard_to_split member "ShardToSplit",
                set_new_starting_hash_key member "NewStartingHashKey");
        }
        "MergeShards" => {
            send_to_stream!(client.merge_shards(), input, set_shard_to_merge member "ShardToMerge",
                set_adjacent_shard_to_merge member "AdjacentShardToMerge");
        }
        "IncreaseStreamRetentionPeriod" => {
            send_to_stream!(client.increase_stream_retention_period(), input,
                set_retention_period_hours member "RetentionPeriodHours");
        }
        "DecreaseStreamRetentionPeriod" => {
            send_to_stream!(client.decrease_stream_retention_period(), input,
                set_retention_period_hours member "RetentionPeriodHours");
        }
        "StartStreamEncryption" => {
            send_to_stream!(client.start_stream_encryption(), input,
                set_encryption_type named "EncryptionType", set_key_id member "KeyId");
        }
        "StopStreamEncryption" => {
            send_to_stream!(client.stop_stream_encryption(), input,
                set_encryption_type named "EncryptionType", set_key_id member "KeyId");
        }
        "UpdateMaxRecordSize" => {
            send!(client.update_max_record_size(), input, set_stream_arn member "StreamARN",
                set_max_record_size_in_kib member "MaxRecordSizeInKiB");
        }
        "UpdateStreamMode" => {
            send!(client.update_stream_mode(), input, set_stream_arn member "StreamARN",
                set_stream_mode_details mode "StreamModeDetails");
        }
        "UpdateStreamRecordDistributionStrategy" => {
            send!(client.update_stream_record_distribution_strategy(), input, set_stream_arn member "StreamARN",
                set_record_distribution_strategy named "RecordDistributionStrategy");
        }
        _ => return answered_changes(client, operation, input).await,
    }
    Ok(json!({}))
}

/// Changes that answer with the new state of the stream.
async fn answered_changes(client: &Client, operation: &str, input: &Value) -> Result<Value, Failure> {
    Ok(match operation {
        "UpdateShardCount" => {
            let scaled = send_to_stream!(client.update_shard_count(), input,
                set_target_shard_count member "TargetShardCount", set_scaling_type named "ScalingType");
            json!({"StreamName": scaled.stream_name(), "StreamARN": scaled.stream_arn(),
                "CurrentShardCount": scaled.current_shard_count(), "TargetShardCount": scaled.target_shard_count()})
        }
        "EnableEnhancedMonitoring" => {
            let changed = send_to_stream!(client.enable_enhanced_monitoring(), input,
                set_shard_level_metrics metrics "ShardLevelMetrics");
            json!({"StreamName": changed.stream_name(),
                "CurrentShardLevelMetrics": list(changed.current_shard_level_metrics(), metric),
                "DesiredShardLevelMetrics": list(changed.desired_shard_level_metrics(), metric)})
        }
        "DisableEnhancedMonitoring" => {
            let changed = send_to_stream!(client.disable_enhanced_monitoring(), input,
                set_shard_level_metrics metrics "ShardLevelMetrics");
            json!({"StreamName": changed.stream_name(),
                "CurrentShardLevelMetrics": list(changed.current_shard_level_metrics(), metric),
                "DesiredShardLevelMetrics": list(changed.desired_shard_level_metrics(), metric)})
        }
        "UpdateStreamWarmThroughput" => {
            let warmed = send_to_stream!(client.update_stream_warm_throughput(), input,
                set_warm_throughput_mibps member "WarmThroughputMiBps");
            json!({"StreamName": warmed.stream_name(), "StreamARN": warmed.stream_arn(),
                "WarmThroughput": warmed.warm_throughput().map(throughput)})
        }
        "UpdateAccountSettings" => {
            let wanted = named(&input["MinimumThroughputBillingCommitment"], "Status")?;
            let wanted = MinimumThroughputBillingCommitmentInput::builder().set_status(wanted).build();
            let request = client.update_account_settings();
            let request = request.minimum_throughput_billing_commitment(wanted.map_err(Failure::of_input)?);
            let settings = request.send().await?;
            json!({"MinimumThroughputBillingCommitment":
                settings.minimum_throughput_billing_commitment().map(commitment)})
        }
        _ => return Err(Failure::of_input(operation)),
    })
}

fn summary(summary: &StreamDescriptionSummary) -> Value {
    json!({
        "StreamName": summary.stream_name(),
        "StreamARN": summary.stream_arn(),
        "StreamStatus": summary.stream_status().as_str(),
        "StreamModeDetails": {"StreamMode": summary.stream_mode_details().map(|it| it.stream_mode().as_str())},
        "RetentionPeriodHours": summary.retention_period_hours(),
        "StreamCreationTimestamp": seconds(Some(summary.stream_creation_timestamp())),
        "EnhancedMonitoring": list(summary.enhanced_monitoring(), monitoring),
        "EncryptionType": summary.encryption_type().map(EncryptionType::as_str),
        "OpenShardCount": summary.open_shard_count(),
        "ConsumerCount": summary.consumer_count(),
        "MaxRecordSizeInKiB": summary.max_record_size_in_kib(),
        "WarmThroughput": summary.warm_throughput().map(throughput),
        "RecordDistributionStrategy": summary.record_distribution_strategy().map(RecordDistributionStrategy::as_str),
    })
}

fn description(description: &StreamDescription) -> Value {
    json!({
        "StreamName": description.stream_name(),
        "StreamStatus": description.stream_status().as_str(),
        "HasMoreShards": description.has_more_shards(),
        "Shards": list(description.shards(), shard),
    })
}

fn monitoring(metrics: &EnhancedMetrics) -> Value {
    json!({"ShardLevelMetrics": list(metrics.shard_level_metrics(), metric)})
}

fn metric(metric: &MetricsName) -> Value {
    json!(metric.as_str())
}

fn throughput(throughput: &WarmThroughputObject) -> Value {
    json!({"TargetMiBps": throughput.target_mibps(), "CurrentMiBps": throughput.current_mibps()})
}

fn commitment(commitment: &MinimumThroughputBillingCommitmentOutput) -> Value {
    json!({"Status": commitment.status().as_str(), "StartedAt": seconds(commitment.started_at())})
}
