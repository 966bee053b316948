//! Consumers come and go as streams do: begin → finish, both in the metadata group.
//!
//! Nothing has to be opened for a consumer and nothing dropped with it; the states between are there because
//! clients wait for them. The leader of the metadata group takes the steps. Each may run again: a change that a
//! crash or a change of leaders interrupted is resumed.

pub mod groups;

use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::stored::{self, meta_command::Command};

use super::streams::{STEP_RETRY, caught, changed};
use super::{Service, ServiceError};
use crate::model::stream::{Catalog, Consumer, ConsumerStatus, Tags};
use crate::replication::{META_GROUP, MetaOutcome};
use crate::shell::{OwnerGone, spawn_short};

impl Service {
    /// Registers a consumer, which is answered as it begins: CREATING. It is ACTIVE soon after.
    ///
    /// # Errors
    /// [`ServiceError::NameTaken`] when the stream has a consumer of that name, [`ServiceError::StreamGone`].
    pub async fn register_consumer(
        self: &Arc<Self>,
        stream_uid: u64,
        name: &str,
        tags: Tags,
    ) -> Result<Consumer, ServiceError> {
        let service = self.clone();
        let begin = stored::BeginRegisterConsumer { stream_uid, name: name.to_owned(), tags: tags.clone() };
        let now_ms = self.now_ms();
        let saga = spawn_short(async move {
            match service
                .groups
                .proposals()
                .propose_meta(now_ms, Command::BeginRegisterConsumer(begin))
                .await?
            {
                MetaOutcome::Created(uid) => {
                    service.finish_consumer(stream_uid, uid).await;
                    Ok(uid)
                }
                outcome => {
                    changed(outcome.clone())?;
                    Err(ServiceError::Internal(format!("a consumer was begun with {outcome:?}")))
                }
            }
        });
        let uid = saga.await.map_err(|error| ServiceError::Internal(error.to_string()))??;
        let (status, created_ms) = (ConsumerStatus::Creating, now_ms);
        Ok(Consumer { uid, name: name.into(), status, created_ms, tags, policy: None })
    }

    /// Begins the end of a consumer: its subscriptions end, and then it is gone. One that ends already is left to
    /// itself.
    ///
    /// # Errors
    /// [`ServiceError::ConsumerGone`], [`ServiceError::StreamGone`].
    pub async fn deregister_consumer(
        self: &Arc<Self>,
        stream_uid: u64,
        uid: u64,
    ) -> Result<(), ServiceError> {
        let service = self.clone();
        let saga = spawn_short(async move {
            let end = Command::BeginDeregisterConsumer(stored::ConsumerRef { stream_uid, uid });
            changed(service.groups.proposals().propose_meta(service.now_ms(), end).await?)?;
            service.finish_consumer(stream_uid, uid).await;
            Ok(())
        });
        saga.await.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Resumes the changes of a stream's consumers that are under way.
    pub(super) fn resume_consumers(self: &Arc<Self>, stream_uid: u64) {
        let catalog = self.catalog();
        for consumer in catalog.by_uid(stream_uid).iter().flat_map(|stream| &stream.consumers) {
            if consumer.status != ConsumerStatus::Active {
                self.resume_consumer(stream_uid, consumer.uid);
            }
        }
    }

    /// Drives a consumer to the end of its change and waits for that for a moment, unless it is meant to take long.
    async fn finish_consumer(self: &Arc<Self>, stream_uid: u64, uid: u64) {
        self.resume_consumer(stream_uid, uid);
        let next = next_step(&self.catalog(), stream_uid, uid);
        if next.is_some_and(|step| self.delay_before(&step).is_zero()) {
            self.settle(|catalog| next_step(catalog, stream_uid, uid).is_none()).await;
        }
    }

    /// Resumes the change of a consumer in a task that holds the service only while it takes a step.
    fn resume_consumer(self: &Arc<Self>, stream_uid: u64, uid: u64) {
        if !self.sagas().insert(uid) {
            return;
        }
        let weak = Arc::downgrade(self);
        self.groups.shell().spawn_owned("change of a consumer", async move {
            let next = |service: &Self| {
                // Decided under the lock, so that a change that begins from now on finds that no task drives it.
                let mut sagas = service.sagas();
                let step = next_step(&service.catalog(), stream_uid, uid);
                let step = step.filter(|_| service.leads(META_GROUP));
                if step.is_none() {
                    sagas.remove(&uid);
                }
                step.map(|step| (service.delay_before(&step), step))
            };
            while let Some((delay, step)) = weak.upgrade().and_then(|service| next(&service)) {
                tokio::time::sleep(delay).await;
                let Some(service) = weak.upgrade() else { break };
                let taken = caught(service.groups.proposals().propose_meta(service.now_ms(), step)).await;
                drop(service);
                if let Err(error) = taken {
                    crate::log_at_most_once_a_second!(warn, uid, %error, "a consumer's change of state is delayed; trying again");
                    tokio::time::sleep(STEP_RETRY).await;
                }
            }
            OwnerGone
        });
    }

    fn delay_before(&self, step: &Command) -> Duration {
        match step {
            Command::FinishRegisterConsumer(_) => self.transitions().register_consumer,
            _ => self.transitions().deregister_consumer,
        }
    }
}

/// Returns the command that finishes a consumer's change; `None` when the consumer is ACTIVE or gone.
fn next_step(catalog: &Catalog, stream_uid: u64, uid: u64) -> Option<Command> {
    let stream = catalog.by_uid(stream_uid)?;
    let consumer = stream.consumers.iter().find(|consumer| consumer.uid == uid)?;
    let of = stored::ConsumerRef { stream_uid, uid };
    match consumer.status {
        ConsumerStatus::Creating => Some(Command::FinishRegisterConsumer(of)),
        ConsumerStatus::Deleting => Some(Command::FinishDeregisterConsumer(of)),
        ConsumerStatus::Active => None,
    }
}
