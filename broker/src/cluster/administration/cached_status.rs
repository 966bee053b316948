//! The cluster's status as it was a moment ago, for callers whom nobody has checked: a status asks every other
//! node, and a caller that asks again within [`KEPT`] gets the last one.
//!
//! Callers that ask at the same time wait for one status, made in a task of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use tidelog_proto::cluster::StatusResponse;
use tokio::time::Instant;

use super::Administration;
use crate::replication::Groups;
use crate::service::OwnTask;

/// How old a status may be.
const KEPT: Duration = Duration::from_secs(1);

type Asked = Shared<OwnTask<Arc<StatusResponse>>>;

/// The status of the cluster, for callers that nobody has checked; made once for all that ask within a moment.
#[derive(Default)]
pub struct CachedStatus(Mutex<Option<(Instant, Asked)>>);

impl CachedStatus {
    /// The status of now, or of less than [`KEPT`] ago.
    pub async fn get(&self, groups: &Arc<Groups>) -> Arc<StatusResponse> {
        self.asked(|| {
            let administration = Administration::new(groups.clone());
            OwnTask::start(async move { Arc::new(administration.status().await) })
        })
        .await
    }

    fn asked(&self, ask: impl FnOnce() -> OwnTask<Arc<StatusResponse>>) -> Asked {
        let mut kept = self.0.lock().expect("no code panics while it holds this lock");
        match &*kept {
            Some((at, asked)) if at.elapsed() < KEPT => asked.clone(),
            _ => {
                let asked = ask().shared();
                *kept = Some((Instant::now(), asked.clone()));
                asked
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_askers_of_a_second_ask_the_cluster_once() {
        let (kept, mut asked) = (CachedStatus::default(), 0);
        for second in 1..4 {
            for _ in 0..1_000 {
                let ask = || {
                    asked += 1;
                    let status = StatusResponse { node: asked, ..StatusResponse::default() };
                    OwnTask::start(async move { Arc::new(status) })
                };
                assert_eq!(kept.asked(ask).await.node, second);
            }
            tokio::time::sleep(KEPT).await;
        }
        assert_eq!(asked, 3);
    }
}
