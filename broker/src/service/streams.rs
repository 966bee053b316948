//! Streams come and go by sagas that the metadata group drives: begin → every shard's group → finish.
//!
//! Each step may run again: a saga that a crash cut short is resumed at the next start from the state in which
//! the metadata says it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::stored::{self, data_command, meta_command::Command};

use super::{Service, ServiceError};
use tokio::task::JoinHandle;

use crate::model::stream::{Stream, StreamKey, StreamMode, StreamStatus};
use crate::replication::{MetaOutcome, ProposeError, store_key, store_mode};

/// Pause before a step that found no leader is tried again.
const STEP_RETRY: Duration = Duration::from_millis(50);
/// How long a request waits for the end of the saga it began.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

impl Service {
    /// Begins a stream: described from now on, ACTIVE as soon as its shards are open.
    pub async fn create_stream(
        self: &Arc<Self>,
        key: StreamKey,
        shard_count: u32,
        mode: StreamMode,
        max_record_kib: u32,
    ) -> Result<(), ServiceError> {
        let begin = stored::BeginCreateStream {
            stream: Some(store_key(&key)),
            shard_count,
            mode: store_mode(mode).into(),
            max_record_kib,
        };
        self.begin(Command::BeginCreateStream(begin)).await
    }

    /// Begins the end of a stream: it takes and gives nothing from now on, and its data goes.
    pub async fn delete_stream(self: &Arc<Self>, uid: u64) -> Result<(), ServiceError> {
        self.begin(Command::BeginDeleteStream(stored::StreamRef { uid })).await
    }

    /// Sets a stream's retention, 24 to 8,760 hours. Records beyond a shorter one are trimmed soon after.
    pub async fn set_retention(&self, uid: u64, hours: u32) -> Result<(), ServiceError> {
        let set = Command::SetRetention(stored::SetRetention { uid, retention_hours: hours });
        changed(self.groups.propose_meta(self.now_ms(), set).await?)
    }

    /// Resumes every saga that was under way when the process ended.
    pub(super) fn resume_all(self: &Arc<Self>) {
        for stream in self.catalog().streams().values() {
            drop(self.resume(stream.uid));
        }
    }

    /// Begins a saga and waits for its end for a moment: a waiter that asks at once, and then every ten seconds,
    /// finds it settled the first time. The saga goes on when it takes longer, and when the caller goes away.
    async fn begin(self: &Arc<Self>, command: Command) -> Result<(), ServiceError> {
        let service = self.clone();
        let saga = tokio::spawn(async move {
            let known_uid = match &command {
                Command::BeginDeleteStream(stream) => Some(stream.uid),
                _ => None,
            };
            let outcome = service.groups.propose_meta(service.now_ms(), command).await?;
            let uid = match (outcome, known_uid) {
                (MetaOutcome::Created(uid), _) | (MetaOutcome::Done, Some(uid)) => uid,
                (MetaOutcome::NameTaken, _) => return Err(ServiceError::NameTaken),
                (MetaOutcome::NoSuchStream, _) => return Err(ServiceError::StreamGone),
                (MetaOutcome::Done, None) => unreachable!("a stream is begun, taken or gone"),
            };
            // Its end is waited for, not needed.
            let _ = tokio::time::timeout(SETTLE_WAIT, service.resume(uid)).await;
            Ok(())
        });
        saga.await.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Drives a stream's saga to its end. It holds the service only while it takes a step, so that one that finds no
    /// leader does not keep a stopping broker alive.
    fn resume(self: &Arc<Self>, uid: u64) -> JoinHandle<()> {
        let service = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(service) = service.upgrade() {
                let Some(stream) = service.catalog().by_uid(uid).cloned() else { return };
                let step = match stream.status {
                    StreamStatus::Creating => service.open(&stream).await,
                    StreamStatus::Deleting => service.drop_data(&stream).await,
                    StreamStatus::Active | StreamStatus::Updating => return,
                };
                drop(service);
                // Steps are idempotent: an unknown outcome is simply tried again.
                if let Err(error) = step {
                    tracing::warn!(uid, %error, "a stream's change of state waits");
                    tokio::time::sleep(STEP_RETRY).await;
                }
            }
        })
    }

    async fn open(&self, stream: &Stream) -> Result<(), ProposeError> {
        let mut by_group: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for shard in &stream.shards {
            by_group.entry(shard.group).or_default().push(shard.index);
        }
        let uid = stream.uid;
        let opening = by_group.into_iter().map(|(group, shards)| {
            self.groups
                .propose_data(group, data_command::Command::OpenShards(stored::OpenShards { uid, shards }))
        });
        futures_util::future::try_join_all(opening).await?;
        let finish = Command::FinishCreateStream(stored::StreamRef { uid });
        self.groups.propose_meta(self.now_ms(), finish).await.map(drop)
    }

    async fn drop_data(&self, stream: &Stream) -> Result<(), ProposeError> {
        let uid = stream.uid;
        let mut groups: Vec<u8> = stream.shards.iter().map(|shard| shard.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let dropping = groups.into_iter().map(|group| {
            self.groups.propose_data(group, data_command::Command::DropStream(stored::StreamRef { uid }))
        });
        futures_util::future::try_join_all(dropping).await?;
        let finish = Command::FinishDeleteStream(stored::StreamRef { uid });
        self.groups.propose_meta(self.now_ms(), finish).await.map(drop)
    }
}

fn changed(outcome: MetaOutcome) -> Result<(), ServiceError> {
    match outcome {
        MetaOutcome::NoSuchStream => Err(ServiceError::StreamGone),
        _ => Ok(()),
    }
}
