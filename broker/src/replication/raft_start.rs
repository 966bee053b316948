//! How a group's Raft is configured, started and watched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::impls::BasicNode;
use openraft::{Config, Raft, SnapshotPolicy};

use super::groups::{GroupError, NODE_ID, raft_error};
use super::log_store::LogStore;
use super::machine::Machine;
use super::network::NoPeers;
use super::raft_types::TypeConfig;

/// Starts a group on its log and its machine.
pub async fn start_raft(
    group: u8,
    log: LogStore,
    machine: Machine,
) -> Result<Raft<TypeConfig, Machine>, GroupError> {
    let config = Config {
        cluster_name: format!("group {group}"),
        heartbeat_interval: 500,
        election_timeout_min: 1_500,
        election_timeout_max: 3_000,
        enable_pre_vote: Some(true),
        // Checkpoints are this node's to time, and the log is purged up to them and no further.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        purge_batch_size: 1,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| raft_error(group, &error))?;
    let raft = Raft::new(NODE_ID, Arc::new(config), NoPeers, log, machine)
        .await
        .map_err(|error| raft_error(group, &error))?;
    abort_when_broken(group, &raft);
    Ok(raft)
}

/// Forms the group if it is new, and waits until it leads and has applied what its log held.
pub async fn ready(group: u8, raft: &Raft<TypeConfig, Machine>) -> Result<(), GroupError> {
    if !raft.is_initialized().await.map_err(|error| raft_error(group, &error))? {
        let members = BTreeMap::from([(NODE_ID, BasicNode::new(""))]);
        raft.initialize(members).await.map_err(|error| raft_error(group, &error))?;
    }
    raft.wait_for_recovery(None).await.map_err(|error| raft_error(group, &error))?;
    Ok(())
}

/// A group that stops by itself has met an error that no later answer could be trusted after.
fn abort_when_broken(group: u8, raft: &Raft<TypeConfig, Machine>) {
    let mut metrics = raft.server_metrics();
    let raft = raft.clone();
    tokio::spawn(async move {
        loop {
            if metrics.changed().await.is_ok() {
                continue;
            }
            // The sender is gone: the core has ended. A planned stop says `Stopped`.
            let state = raft.metrics().borrow_watched().running_state.clone();
            if let Err(fatal) = state
                && !matches!(fatal, openraft::errors::Fatal::Stopped)
            {
                tracing::error!(group, %fatal, "replication failed; the process ends at once");
                eprintln!("tidelog: replication of group {group} failed: {fatal}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                std::process::abort();
            }
            return;
        }
    });
}
