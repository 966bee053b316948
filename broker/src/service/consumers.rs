//! Consumers come and go as streams do: begin → finish, both in the metadata group.
//!
//! Nothing has to be opened for a consumer and nothing dropped with it; the states between are there because clients
//! wait for them. Each step may run again: what a crash cut short is resumed at the next start.

use std::sync::Arc;

use tidelog_proto::stored::{self, meta_command::Command};

use super::streams::{STEP_RETRY, changed};
use super::{Service, ServiceError};
use crate::model::stream::{Catalog, Consumer, ConsumerStatus, Tags};
use crate::replication::{MetaOutcome, ProposeError};

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
        let saga = tokio::spawn(async move {
            match service.groups.propose_meta(now_ms, Command::BeginRegisterConsumer(begin)).await? {
                MetaOutcome::Created(uid) => {
                    service.finish_consumer(stream_uid, uid).await;
                    Ok(uid)
                }
                outcome => {
                    changed(outcome)?;
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
        let saga = tokio::spawn(async move {
            let end = Command::BeginDeregisterConsumer(stored::ConsumerRef { stream_uid, uid });
            changed(service.groups.propose_meta(service.now_ms(), end).await?)?;
            service.finish_consumer(stream_uid, uid).await;
            Ok(())
        });
        saga.await.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Resumes what is under way with a stream's consumers.
    pub(super) fn resume_consumers(self: &Arc<Self>, stream_uid: u64) {
        let catalog = self.catalog();
        for consumer in catalog.by_uid(stream_uid).iter().flat_map(|stream| &stream.consumers) {
            if consumer.status != ConsumerStatus::Active {
                self.resume_consumer(stream_uid, consumer.uid);
            }
        }
    }

    /// Drives a consumer to the end of its change and waits for that for a moment, as for a stream's.
    async fn finish_consumer(self: &Arc<Self>, stream_uid: u64, uid: u64) {
        self.resume_consumer(stream_uid, uid);
        let is_settled = |catalog: &Arc<Catalog>| next_step(catalog, stream_uid, uid).is_none();
        self.settle(is_settled).await;
    }

    /// As for a stream: it holds the service only while it takes a step.
    fn resume_consumer(self: &Arc<Self>, stream_uid: u64, uid: u64) {
        if !self.sagas().insert(uid) {
            return;
        }
        let service = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(service) = service.upgrade() {
                let step = {
                    // Under the lock, so that what begins from now on finds that nobody drives it.
                    let mut sagas = service.sagas();
                    match next_step(&service.catalog(), stream_uid, uid) {
                        Some(step) => step,
                        None => {
                            sagas.remove(&uid);
                            return;
                        }
                    }
                };
                let taken: Result<MetaOutcome, ProposeError> =
                    service.groups.propose_meta(service.now_ms(), step).await;
                drop(service);
                if let Err(error) = taken {
                    tracing::warn!(uid, %error, "a consumer's change of state waits");
                    tokio::time::sleep(STEP_RETRY).await;
                }
            }
        });
    }
}

/// What finishes a consumer's change; `None` when it is ACTIVE or gone.
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
