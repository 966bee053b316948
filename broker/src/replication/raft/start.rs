//! How a group's Raft is configured, started and watched.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::WaitError;
use openraft::{Config, Raft, SnapshotPolicy};

use super::log_store::LogStore;
use super::machine::Machine;
use super::network::GroupNetwork;
use super::{GroupRaft, Rafts};
use crate::cluster::forming::Founding;
use crate::replication::error::{ReplicationError, raft_error};
use crate::shell::{OwnerGone, Shell, inherited};

/// Milliseconds for which a majority's answer makes a leader; openraft takes proposals as long.
pub const LEASE_MS: u64 = 700;
/// Milliseconds between two heartbeats of a leader. An idle node mostly looks every 13/64 of it, in each group,
/// whether something is due; one may be lost, and come that late, before a lease ends.
const HEARTBEAT_MS: u64 = 252;
const _: () = assert!(2 * (HEARTBEAT_MS + HEARTBEAT_MS * 13 / 64) < LEASE_MS);
/// Milliseconds after the end of a leader's lease when a follower stands for election, drawn between the two. The lease
/// lasts the longer one, so that a killed leader is followed within two seconds.
const ELECTION_MIN_MS: u64 = 300;
const ELECTION_MAX_MS: u64 = LEASE_MS;

/// Starts a group on its log and its machine.
pub async fn start_raft(
    network: GroupNetwork,
    log: LogStore,
    machine: Machine,
    shell: Shell,
) -> Result<GroupRaft, ReplicationError> {
    let (group, node) = (network.group, network.peers.node());
    let config = Config {
        cluster_name: format!("group {group}"),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MIN_MS,
        election_timeout_max: ELECTION_MAX_MS,
        enable_pre_vote: Some(true),
        // Entries go to followers before they are durable here, so that a leader that restarts may have lost
        // entries that they hold: in its old term it would give other entries the same places. It has to be elected
        // again. A node on its own sends nothing, and leads on at once.
        enable_leader_restore: Some(network.peers.configured().is_empty()),
        // A leader without answers falls silent, so that nodes that still hear it elect another one.
        quorum_loss_probe_interval: Some(2 * ELECTION_MAX_MS),
        // Checkpoints are this node's to time, and the log is purged up to them and no further.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        purge_batch_size: 1,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| raft_error(group, &error))?;
    let raft = inherited(shell.clone(), Raft::new(node, Arc::new(config), network, log, machine))
        .await
        .map_err(|error| raft_error(group, &error))?;
    abort_when_broken(group, &raft, &shell);
    Ok(raft)
}

/// Initializes the groups that are new with their first members; `founding` is resolved only if there are any.
pub async fn found(rafts: &Rafts, founding: Founding) -> Result<(), ReplicationError> {
    let mut new = Vec::new();
    for (group, raft) in rafts.iter() {
        if !raft.is_initialized().await.map_err(|error| raft_error(group, &error))? {
            new.push((group, raft));
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let members = founding.await;
    for (group, raft) in new {
        raft.initialize(members.clone()).await.map_err(|error| raft_error(group, &error))?;
    }
    Ok(())
}

/// Waits until the group has applied the entries of its log; false when that takes longer than `deadline`.
pub async fn ready(
    group: u8,
    raft: &GroupRaft,
    deadline: Option<Duration>,
) -> Result<bool, ReplicationError> {
    match raft.wait_for_recovery(deadline).await {
        Ok(_) => Ok(true),
        Err(WaitError::Timeout(..)) => Ok(false),
        Err(error) => Err(raft_error(group, &error)),
    }
}

/// A group that stops by itself has met an error that no later answer could be trusted after.
fn abort_when_broken(group: u8, raft: &GroupRaft, shell: &Shell) {
    let mut metrics = raft.server_metrics();
    let (raft, own) = (raft.clone(), shell.clone());
    shell.spawn_owned(&format!("watch over group {group}"), async move {
        loop {
            if metrics.changed().await.is_ok() {
                continue;
            }
            // The sender is gone: the core has ended. A planned stop says `Stopped`.
            let state = raft.metrics().borrow_watched().running_state.clone();
            if let Err(fatal) = state
                && !matches!(fatal, openraft::errors::Fatal::Stopped)
            {
                own.abort(&format!("replication of group {group} failed: {fatal}"));
            }
            return OwnerGone;
        }
    });
}
