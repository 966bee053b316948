//! Settings of streams, consumers and accounts that one command of the metadata group changes.

use std::sync::Arc;

use tidelog_proto::stored::{self, meta_command::Command};

use super::changed;
use crate::model::stream::{ShardLevelMetrics, StreamMode, Tags};
use crate::replication::store_mode;
use crate::service::{Service, ServiceError};

/// A stream, or one of its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceId {
    /// The stream.
    pub stream_uid: u64,
    /// The consumer, if it is one.
    pub consumer_uid: Option<u64>,
}

/// New settings of a stream; a setting that is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamChange {
    /// Provisioned or on demand.
    pub mode: Option<StreamMode>,
    /// KiB of data and key of one record.
    pub max_record_kib: Option<u32>,
    /// MiB per second asked for ahead of need.
    pub warm_mib_per_second: Option<u32>,
    /// Whether records are spread over the shards regardless of their keys.
    pub is_auto_distributed: Option<bool>,
    /// Reports of each shard that begin.
    pub enabled_metrics: ShardLevelMetrics,
    /// Reports of each shard that end.
    pub disabled_metrics: ShardLevelMetrics,
}

impl Service {
    /// Changes settings of a stream, all at once.
    ///
    /// # Errors
    /// [`ServiceError::StreamGone`].
    pub async fn change_stream(&self, uid: u64, change: StreamChange) -> Result<(), ServiceError> {
        self.set(Command::ChangeStream(stored::ChangeStream {
            uid,
            mode: change.mode.map(|mode| store_mode(mode).into()),
            max_record_kib: change.max_record_kib,
            warm_mib_per_second: change.warm_mib_per_second,
            is_auto_distributed: change.is_auto_distributed,
            shard_level_metrics: None,
            enabled_metrics: change.enabled_metrics.0.into(),
            disabled_metrics: change.disabled_metrics.0.into(),
        }))
        .await
    }

    /// Removes tags of these keys, then sets others.
    ///
    /// # Errors
    /// [`ServiceError::StreamGone`], [`ServiceError::ConsumerGone`].
    pub async fn change_tags(
        &self,
        resource: ResourceId,
        removed: Vec<String>,
        set: Tags,
    ) -> Result<(), ServiceError> {
        self.set(Command::ChangeTags(stored::ChangeTags { resource: Some(store(resource)), removed, set }))
            .await
    }

    /// Sets a policy, or removes it.
    ///
    /// # Errors
    /// [`ServiceError::StreamGone`], [`ServiceError::ConsumerGone`].
    pub async fn set_policy(&self, resource: ResourceId, policy: Option<&str>) -> Result<(), ServiceError> {
        let policy = policy.map(str::to_owned);
        self.set(Command::SetPolicy(stored::SetPolicy { resource: Some(store(resource)), policy })).await
    }

    /// Enables or disables an account's commitment in a region.
    pub async fn set_commitment(
        &self,
        account: &Arc<str>,
        region: &Arc<str>,
        is_enabled: bool,
    ) -> Result<(), ServiceError> {
        let (account, region) = (account.to_string(), region.to_string());
        self.set(Command::SetCommitment(stored::SetCommitment { account, region, is_enabled })).await
    }

    async fn set(&self, command: Command) -> Result<(), ServiceError> {
        changed(self.groups.proposals().propose_meta(self.now_ms(), command).await?)
    }
}

fn store(resource: ResourceId) -> stored::ResourceRef {
    let ResourceId { stream_uid, consumer_uid } = resource;
    stored::ResourceRef { stream_uid, consumer_uid }
}
