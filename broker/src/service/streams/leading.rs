//! The duties of the metadata group's leader: the key of the cluster's tokens, and every saga that is under
//! way.
//!
//! A new leader takes over the sagas that the leader before has begun; a former leader leaves them at their
//! next step.

use std::sync::Arc;

use rand::Rng;
use tidelog_proto::stored::{self, meta_command::Command};
use tokio::time::sleep;

use super::STEP_RETRY;
use crate::replication::META_GROUP;
use crate::service::Service;
use crate::shell::OwnerGone;

impl Service {
    /// Looks after that, until it is dropped or the groups have stopped.
    pub(in crate::service) async fn keep_leading(self: Arc<Self>) -> OwnerGone {
        let (mut leaders, mut catalogs) =
            (self.groups.leadership().watch_leaders(), self.groups.watch_catalog());
        loop {
            if self.leads(META_GROUP) {
                if !self.has_key().await {
                    sleep(STEP_RETRY).await;
                    continue;
                }
                self.resume_all();
            }
            let changed = tokio::select! {
                changed = leaders.changed() => changed,
                changed = catalogs.changed() => changed,
            };
            if changed.is_err() {
                return OwnerGone;
            }
        }
    }

    /// Whether the cluster has its key, which is made if need be. The first one that is proposed stays.
    async fn has_key(&self) -> bool {
        if self.catalog().sealing_key.is_some() {
            return true;
        }
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let bootstrap = stored::Bootstrap { sealing_key: key.to_vec().into() };
        self.groups.proposals().propose_meta(self.now_ms(), Command::Bootstrap(bootstrap)).await.is_ok()
    }
}
