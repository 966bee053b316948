//! This node's life in the cluster: proposed after a start, and noted once the cluster has taken it (`model/life.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::stored::{self, meta_command::Command};
use tidelog_storage::Disk;
use tokio::sync::watch;
use tokio::time::sleep;

use super::metadata::state::MetaOutcome;
use super::metadata::stored::store_life;
use super::proposals::Proposals;
use crate::cluster::lives;
use crate::cluster::peers::{Peers, superseded};
use crate::model::life::{Life, Lives};
use crate::model::stream::Catalog;
use crate::shell::Shell;

/// Pause before a life that was not proposed is proposed again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Keeps this node's life in the cluster.
pub struct LifeKeeper {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    peers: Arc<Peers>,
    catalog: watch::Receiver<Arc<Catalog>>,
    proposals: Arc<Proposals>,
    shell: Shell,
}

impl LifeKeeper {
    /// Notes lives in that data directory.
    pub fn new(
        (disk, directory): (Arc<dyn Disk>, PathBuf),
        peers: Arc<Peers>,
        catalog: watch::Receiver<Arc<Catalog>>,
        proposals: Arc<Proposals>,
        shell: Shell,
    ) -> Self {
        Self { disk, directory, peers, catalog, proposals, shell }
    }

    /// Shows peers the lives that the cluster keeps, and has it take that of this process; ends the process when it has
    /// taken one that does not follow from this directory. To be run as long as the groups run.
    pub async fn keep(&self) {
        tokio::select! {
            () = self.follow_lives() => {}
            () = self.peers.superseded() => self.end_superseded(),
        }
    }

    fn end_superseded(&self) -> ! {
        self.shell.abort(&superseded(self.peers.node()))
    }

    async fn follow_lives(&self) {
        let mut catalogs = self.catalog.clone();
        loop {
            let kept = catalogs.borrow_and_update().lives.clone();
            let own = kept.get(&self.peers.node()).copied();
            self.peers.keep_lives(kept);
            let lives = self.peers.lives();
            if !lives.may_follow(own) {
                self.end_superseded();
            }
            let is_member = self.peers.members().contains_key(&self.peers.node());
            let is_waiting = lives.present().is_some_and(|present| !self.is_taken(&lives, present, own));
            if is_waiting && is_member {
                self.propose_life(&lives).await;
            }
            let again = async {
                match is_waiting {
                    true => sleep(TRY_AGAIN).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = catalogs.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }

    /// Whether the cluster has taken the present life, when its newest one of this node is `kept` as far as known here.
    fn is_taken(&self, lives: &Lives, present: Life, kept: Option<Life>) -> bool {
        let is_new = lives.taken != Some(present) && kept == Some(present);
        if is_new {
            return self.note_lives(&Lives { taken: kept, begun: Vec::new() });
        }
        lives.taken == Some(present)
    }

    fn note_lives(&self, noted: &Lives) -> bool {
        match lives::save(&*self.disk, &self.directory, noted) {
            Ok(()) => {
                self.peers.set_lives(noted.clone());
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write the node's lives; trying again");
                false
            }
        }
    }

    async fn propose_life(&self, lives: &Lives) {
        let Some(present) = lives.present() else { return };
        // On the disk first: a start that does not know the proposed life could not follow it.
        if !self.note_lives(lives) {
            return;
        }
        let after = lives.taken.iter().chain(&lives.begun).map(|life| store_life(*life)).collect();
        let begin = stored::BeginLife { node: self.peers.node(), life: Some(store_life(present)), after };
        // The command has no use for a time.
        if let Ok(MetaOutcome::LifeRefused) = self.proposals.propose_meta(0, Command::BeginLife(begin)).await
        {
            self.end_superseded();
        }
    }
}
