//! Streams come and go by sagas that the metadata group drives: begin → every shard's group → finish.
//!
//! The leader of the metadata group takes the steps ([`self::leading`]). Each may run again: a saga that a crash or
//! a change of leaders interrupted is resumed from the state in which the metadata says it is.

pub mod growth;
pub mod leading;
pub mod reshard;
pub mod settings;
pub mod transitions;

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tidelog_proto::stored::set_retention::Direction;
use tidelog_proto::stored::{self, data_command, meta_command::Command};

use super::{Service, ServiceError, Transitions};
use crate::limits::RECORD_KIB_BY_DEFAULT;
use crate::model::stream::{Catalog, Stream, StreamKey, StreamMode, StreamStatus, Tags};
use crate::replication::{META_GROUP, MetaOutcome, ProposeError, store_key, store_mode};
use crate::shell::{OwnerGone, spawn_short};

/// Pause before a step that found no leader is tried again.
pub(super) const STEP_RETRY: Duration = Duration::from_millis(50);
/// How long a request waits for the end of the saga it began.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// The settings of a stream that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStream {
    /// Shards, at least 1.
    pub shard_count: u32,
    /// Provisioned or on demand.
    pub mode: StreamMode,
    /// KiB of data and key of one record.
    pub max_record_kib: u32,
    /// Tags of the stream.
    pub tags: Tags,
    /// MiB per second asked for ahead of need.
    pub warm_mib_per_second: u32,
    /// Whether records are spread over the shards regardless of their keys.
    pub is_auto_distributed: bool,
}

impl NewStream {
    /// With that many shards, at least 1, and nothing asked for beyond.
    pub fn provisioned(shard_count: u32) -> Self {
        Self {
            shard_count,
            mode: StreamMode::Provisioned,
            max_record_kib: RECORD_KIB_BY_DEFAULT,
            tags: Tags::new(),
            warm_mib_per_second: 0,
            is_auto_distributed: false,
        }
    }
}

impl Service {
    /// Begins a stream: described from now on, ACTIVE as soon as its shards are open.
    pub async fn create_stream(
        self: &Arc<Self>,
        key: &StreamKey,
        settings: NewStream,
    ) -> Result<(), ServiceError> {
        let begin = stored::BeginCreateStream {
            stream: Some(store_key(key)),
            shard_count: settings.shard_count,
            mode: store_mode(settings.mode).into(),
            max_record_kib: settings.max_record_kib,
            tags: settings.tags,
            warm_mib_per_second: settings.warm_mib_per_second,
            is_auto_distributed: settings.is_auto_distributed,
        };
        self.begin(Command::BeginCreateStream(begin)).await
    }

    /// Begins the end of a stream: it takes and gives nothing from now on, and its data goes. With `spares_consumed` a
    /// stream that has consumers stays.
    ///
    /// # Errors
    /// [`ServiceError::Overtaken`] when it has consumers and is to be spared then, [`ServiceError::StreamGone`].
    pub async fn delete_stream(
        self: &Arc<Self>,
        uid: u64,
        spares_consumed: bool,
    ) -> Result<(), ServiceError> {
        self.begin(Command::BeginDeleteStream(stored::BeginDeleteStream { uid, spares_consumed })).await
    }

    /// Sets a stream's retention, 24 to 8,760 hours. Records beyond a shorter one are trimmed soon after.
    ///
    /// # Errors
    /// [`ServiceError::Overtaken`] when that is not the direction any more, [`ServiceError::StreamGone`].
    pub async fn set_retention(
        &self,
        uid: u64,
        hours: u32,
        direction: Direction,
    ) -> Result<(), ServiceError> {
        let direction = direction.into();
        let set = Command::SetRetention(stored::SetRetention { uid, retention_hours: hours, direction });
        changed(self.groups.proposals().propose_meta(self.now_ms(), set).await?)
    }

    /// Resumes every saga that nobody drives.
    pub(super) fn resume_all(self: &Arc<Self>) {
        for stream in self.catalog().streams().values() {
            if is_changing(stream) {
                self.resume(stream.uid);
            }
            self.resume_consumers(stream.uid);
        }
    }

    /// Begins a saga and waits for its end for a moment, unless it is meant to take long: a waiter that asks at once,
    /// and then every ten seconds, finds it settled the first time. The saga goes on when it takes longer, and when the
    /// caller goes away.
    pub(super) async fn begin(self: &Arc<Self>, command: Command) -> Result<(), ServiceError> {
        let service = self.clone();
        let saga = spawn_short(async move {
            let known_uid = match &command {
                Command::BeginDeleteStream(stream) => Some(stream.uid),
                Command::BeginReshard(reshard) => Some(reshard.uid),
                _ => None,
            };
            let outcome = service.groups.proposals().propose_meta(service.now_ms(), command).await?;
            let uid = match outcome {
                MetaOutcome::Created(uid) => uid,
                outcome => {
                    changed(outcome)?;
                    known_uid.expect("a stream is begun, taken or gone")
                }
            };
            service.resume(uid);
            let delay = service.catalog().by_uid(uid).map(|stream| delay(stream, service.transitions()));
            if delay.is_some_and(|delay| delay.is_zero()) {
                let is_settled =
                    |catalog: &Arc<Catalog>| catalog.by_uid(uid).is_none_or(|stream| !is_changing(stream));
                service.settle(is_settled).await;
            }
            Ok(())
        });
        saga.await.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Returns once the catalog is as wanted, or soon: the end of a saga is waited for, not needed.
    pub(super) async fn settle(&self, is_settled: impl FnMut(&Arc<Catalog>) -> bool) {
        // The groups end with the process; there is nothing to wait for then.
        let _ = tokio::time::timeout(SETTLE_WAIT, self.groups.watch_catalog().wait_for(is_settled)).await;
    }

    /// Drives a stream's saga to its end, unless that is being done, as long as this node leads the metadata. It holds
    /// the service only while it takes a step, so that one that finds no leader does not keep a stopping broker alive.
    fn resume(self: &Arc<Self>, uid: u64) {
        if !self.sagas().insert(uid) {
            return;
        }
        let service = Arc::downgrade(self);
        self.groups.shell().spawn_owned("change of a stream", async move {
            let mut delayed = None;
            while let Some(service) = service.upgrade() {
                let stream = {
                    // Decided under the lock, so that a change that begins from now on finds that no task drives
                    // it.
                    let mut sagas = service.sagas();
                    match service.catalog().by_uid(uid) {
                        Some(stream) if is_changing(stream) && service.leads(META_GROUP) => stream.clone(),
                        _ => {
                            sagas.remove(&uid);
                            return OwnerGone;
                        }
                    }
                };
                let delay = delay(&stream, service.transitions());
                if !delay.is_zero() && delayed != Some(stream.status) {
                    delayed = Some(stream.status);
                    linger(service, &stream, delay).await;
                    continue;
                }
                let step = caught(service.take_step(&stream)).await;
                drop(service);
                // Steps are idempotent: an unknown outcome is simply tried again.
                match step {
                    Ok(()) => delayed = None,
                    Err(error) => {
                        crate::log_at_most_once_a_second!(warn, uid, %error, "a stream's change of state is delayed; trying again");
                        tokio::time::sleep(STEP_RETRY).await;
                    }
                }
            }
            OwnerGone
        });
    }

    async fn take_step(&self, stream: &Stream) -> Result<(), ProposeError> {
        match stream.status {
            StreamStatus::Creating => self.open(stream).await,
            StreamStatus::Deleting => self.drop_data(stream).await,
            StreamStatus::Active | StreamStatus::Updating => self.seal_and_open(stream).await,
        }
    }

    pub(super) fn sagas(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.sagas.lock().expect("no code panics while it holds this lock")
    }

    async fn open(&self, stream: &Stream) -> Result<(), ProposeError> {
        let mut by_group: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for shard in &stream.shards {
            by_group.entry(shard.group).or_default().push(shard.index);
        }
        let uid = stream.uid;
        let opening = by_group.into_iter().map(|(group, shards)| {
            self.groups
                .proposals()
                .propose_data(group, data_command::Command::OpenShards(stored::OpenShards { uid, shards }))
        });
        futures_util::future::try_join_all(opening).await?;
        let finish = Command::FinishCreateStream(stored::StreamRef { uid });
        self.groups.proposals().propose_meta(self.now_ms(), finish).await.map(drop)
    }

    async fn drop_data(&self, stream: &Stream) -> Result<(), ProposeError> {
        let uid = stream.uid;
        let coming = stream.reshard.iter().flat_map(|reshard| &reshard.opened);
        let mut groups: Vec<u8> = stream.shards.iter().chain(coming).map(|shard| shard.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let dropping = groups.into_iter().map(|group| {
            self.groups
                .proposals()
                .propose_data(group, data_command::Command::DropStream(stored::StreamRef { uid }))
        });
        futures_util::future::try_join_all(dropping).await?;
        let finish = Command::FinishDeleteStream(stored::StreamRef { uid });
        self.groups.proposals().propose_meta(self.now_ms(), finish).await.map(drop)
    }
}

/// A step that panics is one that failed: it is tried again, and its saga stays somebody's.
pub(super) async fn caught<T>(
    step: impl Future<Output = Result<T, ProposeError>>,
) -> Result<T, ProposeError> {
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or(Err(ProposeError::Unknown))
}

/// Whether a saga is under way.
fn is_changing(stream: &Stream) -> bool {
    match stream.status {
        StreamStatus::Creating | StreamStatus::Deleting => true,
        StreamStatus::Active | StreamStatus::Updating => stream.reshard.is_some(),
    }
}

/// Returns after `delay`, when the stream's state changes, or when the process ends.
async fn linger(service: Arc<Service>, stream: &Stream, delay: Duration) {
    let mut catalogs = service.groups.watch_catalog();
    drop(service);
    let is_over =
        |catalog: &Arc<Catalog>| catalog.by_uid(stream.uid).is_none_or(|now| now.status != stream.status);
    let _ = tokio::time::timeout(delay, catalogs.wait_for(is_over)).await;
}

/// How long the state that the stream is in lasts at least; its steps are taken after that, so that records wait for
/// none of it.
fn delay(stream: &Stream, transitions: &Transitions) -> Duration {
    match (stream.status, &stream.reshard) {
        (StreamStatus::Creating, _) => transitions.create_stream,
        (StreamStatus::Deleting, _) => transitions.delete_stream,
        (_, Some(reshard)) => match (reshard.sealed.len(), reshard.opened.len()) {
            (1, 2) => transitions.split_shard,
            (2, 1) => transitions.merge_shards,
            _ => transitions.update_shard_count,
        },
        (_, None) => Duration::ZERO,
    }
}

/// Converts the metadata group's outcome of a change into a result.
pub(super) fn changed(outcome: MetaOutcome) -> Result<(), ServiceError> {
    match outcome {
        MetaOutcome::Done | MetaOutcome::Created(_) => Ok(()),
        MetaOutcome::NameTaken => Err(ServiceError::NameTaken),
        MetaOutcome::NoSuchStream => Err(ServiceError::StreamGone),
        MetaOutcome::NoSuchConsumer => Err(ServiceError::ConsumerGone),
        MetaOutcome::NotActive(status) => Err(ServiceError::NotActive(status)),
        MetaOutcome::NoSuchShard(shard) => Err(ServiceError::ShardClosed(shard)),
        MetaOutcome::QuotaExceeded(exceeded) => Err(ServiceError::QuotaExceeded(exceeded)),
        MetaOutcome::Overtaken => Err(ServiceError::Overtaken),
        MetaOutcome::Full(full) => Err(ServiceError::MetadataFull(full)),
        outcome @ (MetaOutcome::GroupRefused(_) | MetaOutcome::LeasesLost(_) | MetaOutcome::LifeRefused) => {
            Err(ServiceError::Internal(format!(
                "a change of no consumer group was answered with {outcome:?}"
            )))
        }
    }
}
