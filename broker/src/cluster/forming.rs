//! How a node forms or joins a cluster.
//!
//! A node without data gets its identity in one of three ways. A node on its own founds a cluster of one. The nodes of
//! one list in the settings greet each other; once all have answered, the node with the lowest id founds the cluster
//! and sends the others their identity (`Adopt`). Any other node waits until an operator adds it to an existing
//! cluster. A cluster is founded once: the founder stores the cluster's id before it sends it, and continues with that
//! id after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidelog_proto::peer;
use tidelog_storage::Disk;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::identity::{self, IdentityError};
use super::peers::{Client, ClusterMember, Identity, Lane, Peers, wrong_incarnation};
use crate::stage::Stage;

/// Pause between two rounds of greetings.
const GREET_EVERY: Duration = Duration::from_millis(300);
/// How often the log says which nodes the start waits for.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Deadline of a greeting.
const GREETING_DEADLINE: Duration = Duration::from_secs(1);
/// Deadline of an adoption; the other node greets its own peers meanwhile.
const ADOPT_DEADLINE: Duration = Duration::from_secs(3);

/// The id of a node on its own.
const ALONE: u64 = 1;

/// Finds out the first members of a cluster.
pub type Founding = BoxFuture<'static, BTreeMap<u64, ClusterMember>>;

/// Why a node neither forms nor joins a cluster.
#[derive(Debug, thiserror::Error)]
pub enum FormingError {
    /// The identity file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The data directory is that of another node, or the cluster knows this one with other data.
    #[error("{0}")]
    Refused(String),
}

/// The identity of a node on its own, and the members of its groups.
///
/// # Errors
/// [`FormingError`]; also for the directory of a node whose settings are missing.
pub fn alone(disk: &dyn Disk, directory: &Path) -> Result<(Identity, Founding), FormingError> {
    let identity = match identity::load(disk, directory)? {
        Some(identity) => identity,
        None => {
            let (cluster, incarnation) = (identity::draw(), identity::draw());
            let identity = Identity { cluster, node: ALONE, incarnation, is_founder: true };
            identity::save(disk, directory, &identity)?;
            identity
        }
    };
    let member = ClusterMember { address: String::new(), incarnation: identity.incarnation.clone() };
    let members = BTreeMap::from([(identity.node, member)]);
    Ok((identity, Box::pin(async move { members })))
}

/// One node that forms or joins a cluster. Meanwhile the cluster port answers greetings.
pub struct Forming {
    disk: Arc<dyn Disk>,
    directory: std::path::PathBuf,
    peers: Arc<Peers>,
    /// The node's incarnation, as long as it has no identity and in the identity.
    incarnation: String,
    /// The identity that the founder, or a leader that adds this node, has sent.
    adopted: watch::Sender<Option<Identity>>,
    /// Where the node's start is.
    stage: Stage,
    /// Locked while an identity is verified and taken, so that two callers cannot set different ones.
    #[expect(clippy::disallowed_types, reason = "greeting the other nodes is a part of taking an identity")]
    adopting: tokio::sync::Mutex<()>,
}

impl Forming {
    /// Begins to form or join a cluster with the node of `peers`, in that directory.
    ///
    /// # Errors
    /// [`FormingError`]: the directory is another node's, or its identity cannot be read.
    pub fn begin(
        disk: Arc<dyn Disk>,
        directory: &Path,
        peers: Arc<Peers>,
        stage: Stage,
    ) -> Result<Arc<Self>, FormingError> {
        let known = identity::load(&*disk, directory)?;
        if let Some(identity) = &known {
            if identity.node != peers.node() {
                return Err(FormingError::Refused(format!(
                    "the data directory {} is that of node {}, and --node-id says {}",
                    directory.display(),
                    identity.node,
                    peers.node()
                )));
            }
            peers.identify(identity.clone());
        }
        let incarnation = known.as_ref().map_or_else(identity::draw, |known| known.incarnation.clone());
        let adopted = watch::Sender::new(known);
        let adopting = Default::default();
        Ok(Arc::new(Self {
            disk,
            directory: directory.to_owned(),
            peers,
            incarnation,
            adopted,
            adopting,
            stage,
        }))
    }

    /// Random for each data directory.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// Takes the identity that the founder or a leader sends, once or repeatedly. Before that this node verifies the
    /// cluster's id with a node of its own settings.
    ///
    /// # Errors
    /// When this node belongs to another cluster, or no node of its settings belongs to that one.
    pub async fn adopt(&self, cluster: &str) -> Result<(), FormingError> {
        let _adopting = self.adopting.lock().await;
        if let Some(own) = self.peers.identity() {
            if own.cluster == cluster {
                return Ok(());
            }
            return Err(FormingError::Refused(format!(
                "node {} belongs to cluster {}, not to {cluster}: give it an empty data directory to take it in here",
                own.node, own.cluster
            )));
        }
        let belongs = |greeted: &Greeted| greeted.answer.as_ref().is_ok_and(|peer| peer.cluster == cluster);
        if cluster.is_empty() || !self.greet_all().await.iter().any(belongs) {
            return Err(FormingError::Refused(format!(
                "none of the other nodes that --cluster names for node {} says that it belongs to cluster {cluster:?}",
                self.peers.node()
            )));
        }
        let identity = Identity {
            cluster: cluster.to_owned(),
            node: self.peers.node(),
            incarnation: self.incarnation.clone(),
            is_founder: false,
        };
        self.take(identity)
    }

    fn take(&self, identity: Identity) -> Result<(), FormingError> {
        identity::save(&*self.disk, &self.directory, &identity)?;
        self.peers.identify(identity.clone());
        self.adopted.send_replace(Some(identity));
        Ok(())
    }

    /// Whether this node founds the cluster of its settings when there is none.
    fn should_found(&self) -> bool {
        self.peers.configured().keys().next() == Some(&self.peers.node())
    }

    /// Returns once the node has an identity.
    ///
    /// # Errors
    /// [`FormingError::Refused`] when the cluster knows the node with other data or has taken it out, or is another
    /// one.
    pub async fn identified(&self) -> Result<(), FormingError> {
        if let Some(own) = self.peers.identity() {
            return self.check_welcome(&own).await;
        }
        let mut adopted = self.adopted.subscribe();
        let mut tell = Waiting::default();
        while self.peers.identity().is_none() {
            let greeted = self.greet_all().await;
            match self.judge(&greeted)? {
                Verdict::Found => {
                    self.take(Identity {
                        cluster: identity::draw(),
                        node: self.peers.node(),
                        incarnation: self.incarnation.clone(),
                        is_founder: true,
                    })?;
                }
                Verdict::Wait(reason) => tell.tell(&reason, &self.stage),
            }
            let _ = timeout(GREET_EVERY, adopted.changed()).await;
        }
        Ok(())
    }

    /// Ends the start if a peer answers that the cluster no longer accepts this node. Does not wait for peers that do
    /// not answer at once.
    ///
    /// # Errors
    /// [`FormingError::Refused`].
    async fn check_welcome(&self, own: &Identity) -> Result<(), FormingError> {
        for Greeted { node, address, answer } in self.greet_all().await {
            let Ok(hello) = answer else { continue };
            if !hello.cluster.is_empty() && hello.cluster != own.cluster {
                return Err(FormingError::Refused(format!(
                    "the data directory {} is of a node of cluster {}, and node {node} at {address} belongs to cluster {}: \
                     correct --cluster or --data",
                    self.directory.display(),
                    own.cluster,
                    hello.cluster
                )));
            }
            if !hello.refusal.is_empty() {
                return Err(FormingError::Refused(hello.refusal));
            }
        }
        Ok(())
    }

    fn judge(&self, greeted: &[Greeted]) -> Result<Verdict, FormingError> {
        let own = self.peers.node();
        for peer in greeted.iter().filter_map(|greeted| greeted.answer.as_ref().ok()) {
            if !peer.refusal.is_empty() {
                return Err(FormingError::Refused(peer.refusal.clone()));
            }
            match peer.members.iter().find(|member| member.node == own) {
                Some(member) if member.incarnation != self.incarnation => {
                    return Err(FormingError::Refused(format!(
                        "the data directory {} is empty: {}",
                        self.directory.display(),
                        wrong_incarnation(own)
                    )));
                }
                _ => {}
            }
            if !peer.members.is_empty() {
                let address = self.peers.address(own).unwrap_or_default();
                return Ok(Verdict::Wait(format!(
                    "waiting to be taken into cluster {}: run `tidelog cluster add {own}={address}`",
                    peer.cluster
                )));
            }
        }
        // A peer that knows its cluster and not yet its members is starting, or waits for the founder.
        let has_cluster =
            |greeted: &&Greeted| greeted.answer.as_ref().is_ok_and(|peer| !peer.cluster.is_empty());
        if let Some(starting) = greeted.iter().find(has_cluster) {
            let Greeted { node, address, .. } = starting;
            return Ok(Verdict::Wait(format!("waiting for node {node} at {address}, which is starting")));
        }
        let founding = founding(self.peers.configured());
        for greeted in greeted {
            let (node, address) = (greeted.node, &greeted.address);
            match &greeted.answer {
                Err(reason) => {
                    return Ok(Verdict::Wait(format!("waiting for node {node} at {address}: {reason}")));
                }
                Ok(peer) if peer.node != node => {
                    return Ok(Verdict::Wait(format!(
                        "{address} is node {}, and --cluster says it is node {node}",
                        peer.node
                    )));
                }
                Ok(peer) if peer.founding != founding => {
                    return Ok(Verdict::Wait(format!(
                        "node {node} was started with --cluster {}, this one with {}: they must agree",
                        peer.founding.join(","),
                        founding.join(",")
                    )));
                }
                Ok(_) => {}
            }
        }
        Ok(match self.should_found() {
            true => Verdict::Found,
            false => Verdict::Wait("waiting for the node with the lowest id to found the cluster".into()),
        })
    }

    /// Sends every node of the settings its identity in the cluster, as the founder; returns the members once all nodes
    /// have theirs.
    pub fn founding(self: Arc<Self>) -> Option<Founding> {
        if !self.peers.identity()?.is_founder {
            return None;
        }
        Some(Box::pin(async move {
            let mut tell = Waiting::default();
            loop {
                match self.adopt_all().await {
                    Ok(members) => return members,
                    Err(reason) => tell.tell(&reason, &self.stage),
                }
                sleep(GREET_EVERY).await;
            }
        }))
    }

    async fn adopt_all(&self) -> Result<BTreeMap<u64, ClusterMember>, String> {
        let own = self.peers.identity().ok_or("the founder has no identity")?;
        let address = self.peers.address(own.node).unwrap_or_default();
        let mut members =
            BTreeMap::from([(own.node, ClusterMember { address, incarnation: own.incarnation.clone() })]);
        for greeted in self.greet_all().await {
            let Greeted { node, address, answer } = greeted;
            let answer =
                answer.map_err(|reason| format!("waiting for node {node} at {address}: {reason}"))?;
            if answer.node != node {
                return Err(format!(
                    "{address} is node {}, and --cluster says it is node {node}",
                    answer.node
                ));
            }
            self.tell_adopt(node, &own.cluster).await.map_err(|reason| format!("node {node}: {reason}"))?;
            members.insert(node, ClusterMember { address, incarnation: answer.incarnation });
        }
        Ok(members)
    }

    async fn tell_adopt(&self, node: u64, cluster: &str) -> Result<(), String> {
        let mut client = self.peers.client(node, Lane::Control).await.map_err(|error| error.to_string())?;
        let message = peer::AdoptRequest { cluster: cluster.to_owned(), members: Vec::new() };
        let told = client.adopt(self.peers.request(node, message, Some(ADOPT_DEADLINE)));
        // The deadline in the request does not bind the other side.
        let told = timeout(ADOPT_DEADLINE, told).await.map_err(|_| "no answer in time".to_owned())?;
        told.map(drop).map_err(|status| status.message().to_owned())
    }

    async fn greet_all(&self) -> Vec<Greeted> {
        let others = self.peers.configured().iter().filter(|(node, _)| **node != self.peers.node());
        let greeting = others.map(|(node, address)| async {
            let answer = timeout(GREETING_DEADLINE, greet(&self.peers, *node)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            Greeted { node: *node, address: address.clone(), answer }
        });
        futures_util::future::join_all(greeting).await
    }
}

/// Greets a node, and returns its answer.
///
/// # Errors
/// The reason why there is no answer.
pub async fn greet(peers: &Peers, node: u64) -> Result<peer::HelloResponse, String> {
    let client = peers.client(node, Lane::Control).await.map_err(|error| error.reason)?;
    hello(peers, node, client).await
}

/// Greets the address at which `node` is expected.
///
/// # Errors
/// The reason why there is no answer.
pub async fn greet_at(peers: &Peers, node: u64, address: &str) -> Result<peer::HelloResponse, String> {
    let client = peers.client_at(node, address).await.map_err(|error| error.reason)?;
    hello(peers, node, client).await
}

async fn hello(peers: &Peers, node: u64, mut client: Client) -> Result<peer::HelloResponse, String> {
    let answer = client.hello(peers.request(node, peers.greeting(), Some(GREETING_DEADLINE))).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// The nodes of the settings, as they are compared.
pub fn founding(configured: &BTreeMap<u64, String>) -> Vec<String> {
    configured.iter().map(|(node, address)| format!("{node}={address}")).collect()
}

struct Greeted {
    node: u64,
    address: String,
    answer: Result<peer::HelloResponse, String>,
}

enum Verdict {
    Found,
    Wait(String),
}

/// Logs which nodes the start waits for: at once when that changes, and repeatedly while it does not.
#[derive(Default)]
struct Waiting {
    logged: Option<(String, Instant)>,
}

impl Waiting {
    fn tell(&mut self, reason: &str, stage: &Stage) {
        stage.enter(format!("The cluster forms: {reason}."));
        let is_new =
            self.logged.as_ref().is_none_or(|(logged, at)| logged != reason || at.elapsed() >= TELL_EVERY);
        if is_new {
            tracing::warn!("{reason}");
            self.logged = Some((reason.to_owned(), Instant::now()));
        }
    }
}
