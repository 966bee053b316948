//! The lives of this node and of its peers (`model/life.rs`), as calls and connections are judged by them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use tokio::sync::watch;

use super::Peers;
use crate::model::life::{Life, Lives};

/// Knowledge of the processes and lives of peers. Clones share it, so that a dial under way can look.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The process that was found at each peer last.
    processes: Arc<Mutex<BTreeMap<u64, u64>>>,
    /// The newest life of each node by the applied metadata.
    kept: Arc<RwLock<BTreeMap<u64, Life>>>,
    /// Whether a peer has said that this node's lives do not follow the one that the cluster keeps.
    pub(super) superseded: watch::Sender<bool>,
}

impl Known {
    pub(super) fn processes(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.processes.lock().expect("no code panics while it holds this lock")
    }

    /// Whether a node with these lives may be the one that the cluster knows. A message that names no lives has
    /// none.
    pub(super) fn may_follow(&self, node: u64, lives: &str) -> bool {
        let kept = self.kept.read().expect("no code panics while it holds this lock").get(&node).copied();
        lives.parse::<Lives>().unwrap_or_default().may_follow(kept)
    }
}

impl Peers {
    /// From now on this node says that these are its lives.
    pub fn set_lives(&self, lives: Lives) {
        *self.lives.write().expect("no code panics while it holds this lock") = lives;
    }

    /// The lives of this node.
    pub fn lives(&self) -> Lives {
        self.lives.read().expect("no code panics while it holds this lock").clone()
    }

    /// Takes note of the newest life of each node, by the metadata that is applied here.
    pub fn keep_lives(&self, kept: BTreeMap<u64, Life>) {
        *self.known.kept.write().expect("no code panics while it holds this lock") = kept;
    }

    /// Whether a node with these lives may be the one that the cluster knows.
    pub fn may_follow(&self, node: u64, lives: &str) -> bool {
        self.known.may_follow(node, lives)
    }

    /// Returns once a peer has said that this node's lives do not follow the one that the cluster keeps.
    pub async fn superseded(&self) {
        let mut superseded = self.known.superseded.subscribe();
        // The sender lives as long as these peers.
        let _ = superseded.wait_for(|is_superseded| *is_superseded).await;
    }
}

/// The refusal of a node whose data directory does not follow the life that the cluster keeps of it.
pub fn superseded(node: u64) -> String {
    format!(
        "node {node} has lived on since this data directory was its own: this is an older copy of it, or another process \
         runs on a copy. Such a node must not take part, because it does not know all that it has voted for and \
         acknowledged: start the node with its own directory, or with an empty one under an id that was never used and \
         run `tidelog cluster replace {node} NEW_ID=HOST:PORT`"
    )
}
