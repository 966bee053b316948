//! Administration of a cluster: its state, its members and its leaders.
//!
//! Every change is a sequence of steps that each may be repeated: a step whose result is there already is skipped,
//! so an interrupted change goes on when it is asked for again, at any node. Invariants: a node becomes a voter
//! only after it has caught up in every group; a voter is replaced in one change of each group, so that none has
//! fewer voters than before in between; an id that a member once had is never given to another node. One change at
//! a time runs in the cluster, as far as its nodes reach each other. The wire calls this for `tidelog cluster`.

mod cached_status;
mod catching_up;
mod clocks;
mod join;
mod leave;
mod status;
mod transfer;
mod troubles;
mod voters;

pub use cached_status::CachedStatus;
pub use clocks::Clocks;
pub use troubles::troubles;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::forming::greet;
use crate::replication::{GroupStatus, Groups, META_GROUP, MembershipError, ProposeError};

/// How long a node is given to say that it is there.
const GREETING_DEADLINE: Duration = Duration::from_secs(1);

/// Why something was not done. The message is for an operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdministrationError {
    /// The change must not be made.
    #[error("{0}")]
    Refused(String),
    /// The change could not be made now; one that has begun goes on when it is asked for again.
    #[error("{0}")]
    NotNow(String),
}

impl AdministrationError {
    fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    fn not_now(reason: impl Into<String>) -> Self {
        Self::NotNow(reason.into())
    }
}

impl From<MembershipError> for AdministrationError {
    fn from(error: MembershipError) -> Self {
        Self::NotNow(error.to_string())
    }
}

/// Lines for the operator, as long as one listens.
#[derive(Clone, Debug)]
pub struct Teller(mpsc::Sender<String>);

impl Teller {
    /// A teller that sends its lines into this channel.
    pub fn new(lines: mpsc::Sender<String>) -> Self {
        Self(lines)
    }

    async fn tell(&self, line: impl Into<String>) {
        // The operator's call may have ended; a step that is half done goes on all the same.
        drop(self.0.send(line.into()).await);
    }

    /// Whether nobody listens any more: nothing new is begun then.
    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// Administers the cluster from this node.
pub struct Administration {
    groups: Arc<Groups>,
}

impl Administration {
    /// Over the node's groups.
    pub fn new(groups: Arc<Groups>) -> Self {
        Self { groups }
    }

    /// Begins a change of the members, which lasts as long as the returned guard. Two changes at once would each
    /// rely on a state that the other one changes. A change is visible before it looks for others, so that at least
    /// one of two that begin at the same time is refused.
    async fn begin(&self) -> Result<OwnedSemaphorePermit, AdministrationError> {
        let busy = |node: u64| {
            AdministrationError::not_now(format!(
                "node {node} is changing the members already: wait for the end of that"
            ))
        };
        let changing = self.groups.membership().begin_changing().ok_or_else(|| busy(self.groups.node()))?;
        let peers = self.groups.peers();
        let members = peers.members();
        let others = members.keys().filter(|node| **node != self.groups.node());
        let asked = others.map(|node| async {
            let hello = timeout(GREETING_DEADLINE, greet(peers, *node)).await.ok()?.ok()?;
            hello.is_changing_members.then_some(*node)
        });
        match futures_util::future::join_all(asked).await.into_iter().flatten().next() {
            Some(node) => Err(busy(node)),
            None => Ok(changing),
        }
    }

    /// How a group is, everything that was committed before considered.
    async fn current(&self, group: u8) -> Result<GroupStatus, AdministrationError> {
        let no_majority = |_: ProposeError| {
            AdministrationError::not_now(format!(
                "group {group} cannot say what its members are: a majority of its voters must be up"
            ))
        };
        self.groups.proposals().read_index(group).await.map_err(no_majority)?;
        let mut all = self.groups.membership().status();
        Ok(all.swap_remove(usize::from(group)))
    }

    /// The cluster's members, by the metadata group.
    async fn current_members(&self) -> Result<GroupStatus, AdministrationError> {
        self.current(META_GROUP).await
    }

    /// Whether that node answers, under the identity that the cluster knows.
    async fn is_reachable(&self, node: u64) -> bool {
        if node == self.groups.node() {
            return true;
        }
        let peers = self.groups.peers();
        let Ok(Ok(hello)) = timeout(GREETING_DEADLINE, greet(peers, node)).await else { return false };
        let known = peers.members().get(&node).map(|member| member.incarnation.clone()).unwrap_or_default();
        hello.node == node && (known.is_empty() || known == hello.incarnation)
    }

    /// Refuses a change after which fewer than a majority of the voters would answer.
    async fn check_majority(&self, voters: impl IntoIterator<Item = u64>) -> Result<(), AdministrationError> {
        let asked = voters.into_iter().map(|node| async move { (node, self.is_reachable(node).await) });
        let answers = futures_util::future::join_all(asked).await;
        let needed = answers.len() / 2 + 1;
        let up = answers.iter().filter(|(_, is_reachable)| *is_reachable).count();
        if up >= needed {
            return Ok(());
        }
        let silent: Vec<String> =
            answers.iter().filter(|(_, is_up)| !is_up).map(|(node, _)| node.to_string()).collect();
        Err(AdministrationError::refused(format!(
            "{needed} of the {} nodes that would be left have to be up, and {up} are; without an answer: {}. Bring one of \
             them back first",
            answers.len(),
            silent.join(", ")
        )))
    }
}
