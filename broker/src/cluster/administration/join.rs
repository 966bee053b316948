//! Taking a node in, and taking one in for another.

use std::collections::BTreeMap;

use tidelog_proto::peer;
use tidelog_storage::wal::GROUPS;
use tokio::time::timeout;

use super::{Administration, AdministrationError, GREETING_DEADLINE, Teller};
use crate::cluster::forming::greet_at;
use crate::cluster::peers::{self, ClusterMember, wrong_incarnation};
use crate::replication::{GroupStatus, MembershipChange};

impl Administration {
    /// Takes a node in; returns the final message for the operator.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn add(&self, id: u64, address: &str, teller: &Teller) -> Result<String, AdministrationError> {
        let _changing = self.begin().await?;
        let members = self.current_members().await?;
        let member = self.welcome(&members, id, address, None).await?;
        self.teach(id, &member, teller).await?;
        self.change_voters(Some(id), None, teller).await?;
        Ok(format!("node {id} at {address} is a voter of all groups"))
    }

    /// Takes a node in for another one, which may be dead.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn replace(
        &self,
        old: u64,
        id: u64,
        address: &str,
        teller: &Teller,
    ) -> Result<String, AdministrationError> {
        let _changing = self.begin().await?;
        self.check_replacement(old, id)?;
        let members = self.current_members().await?;
        if !self.is_member(old) && !members.members.contains_key(&id) {
            return Err(AdministrationError::refused(format!(
                "node {old} is no member of the cluster; to take node {id} in, run `tidelog cluster add {id}={address}`"
            )));
        }
        let member = self.welcome(&members, id, address, Some(old)).await?;
        let left = members.voters.iter().copied().filter(|voter| *voter != old && *voter != id);
        let left: Vec<u64> = left.chain([id]).collect();
        self.check_majority(left.iter().copied()).await?;
        self.teach(id, &member, teller).await?;
        self.check_copies(&left).await?;
        self.change_voters(Some(id), Some(old), teller).await?;
        Ok(format!(
            "node {id} at {address} has taken the place of node {old}, whose id is not used again; stop node {old} if it \
             runs"
        ))
    }

    fn check_replacement(&self, old: u64, id: u64) -> Result<(), AdministrationError> {
        if old == id {
            return Err(AdministrationError::refused(format!(
                "the new node needs an id that was never used: not {old} again"
            )));
        }
        self.check_not_own(old)
    }

    /// Verifies a node that is to join, and sends it the identity of the cluster. Returns the node as a member. It may
    /// have the address of the node that it replaces: calls for that node name its id, and the new one refuses them.
    async fn welcome(
        &self,
        members: &GroupStatus,
        id: u64,
        address: &str,
        replaced: Option<u64>,
    ) -> Result<ClusterMember, AdministrationError> {
        peers::address(address).map_err(AdministrationError::Refused)?;
        let known = members.members.get(&id);
        if id == 0 || known.is_none() && self.groups.catalog().used_nodes.contains(&id) {
            return Err(AdministrationError::refused(format!(
                "{id} was the id of a node that is gone, and ids are not used again: start the node with an empty data \
                 directory under an id that was never used"
            )));
        }
        let namesake = members
            .members
            .iter()
            .find(|(other, member)| **other != id && Some(**other) != replaced && member.address == address);
        if let Some((other, _)) = namesake {
            return Err(AdministrationError::refused(format!("{address} is the address of node {other}")));
        }
        if let Some(elsewhere) = known.filter(|known| known.address != address) {
            return Err(AdministrationError::refused(format!(
                "node {id} is a member already, at {}; to move it, restart the nodes with its new address in --cluster",
                elsewhere.address
            )));
        }
        let peers = self.groups.peers();
        let silent = |reason: String| {
            AdministrationError::not_now(format!(
                "no node answers at {address} ({reason}): start it first, with --node-id {id} and a --cluster that lists it \
                 and nodes that are here"
            ))
        };
        let hello = timeout(GREETING_DEADLINE * 3, greet_at(peers, id, address)).await;
        let hello = hello.unwrap_or_else(|_| Err("no answer in time".into())).map_err(silent)?;
        let own = peers.identity().map(|identity| identity.cluster).unwrap_or_default();
        check_newcomer(&hello, id, address, known, &own)?;
        if hello.cluster.is_empty() {
            self.tell_cluster(id, address, &own).await.map_err(silent)?;
        }
        Ok(ClusterMember { address: address.into(), incarnation: hello.incarnation })
    }

    async fn tell_cluster(&self, id: u64, address: &str, cluster: &str) -> Result<(), String> {
        let peers = self.groups.peers();
        let mut client = peers.client_at(id, address).await.map_err(|error| error.reason)?;
        let message = peer::AdoptRequest { cluster: cluster.into(), members: Vec::new() };
        let answered = client.adopt(peers.request(id, message, Some(GREETING_DEADLINE * 3)));
        let answered =
            timeout(GREETING_DEADLINE * 3, answered).await.map_err(|_| "no answer in time".to_owned())?;
        answered.map(drop).map_err(|status| status.message().to_owned())
    }

    /// Makes every group send its log to the node, and waits until the node has caught up.
    async fn teach(
        &self,
        id: u64,
        member: &ClusterMember,
        teller: &Teller,
    ) -> Result<(), AdministrationError> {
        if self.groups.membership().status().iter().all(|group| group.voters.contains(&id)) {
            return Ok(());
        }
        let learners = BTreeMap::from([(id, member.clone())]);
        let change = MembershipChange { learners, ..MembershipChange::default() };
        // The metadata group goes first: by it the others' leaders know where the node is.
        for group in 0..GROUPS as u8 {
            self.groups.membership().change(group, &change).await?;
        }
        teller.tell(format!("node {id} is a learner of all groups; it copies what it lacks")).await;
        self.caught_up(id, teller).await
    }
}

/// Whether the node that answers can join.
fn check_newcomer(
    hello: &peer::HelloResponse,
    id: u64,
    address: &str,
    known: Option<&ClusterMember>,
    cluster: &str,
) -> Result<(), AdministrationError> {
    let refused = |reason: String| Err(AdministrationError::Refused(reason));
    if hello.node != id {
        return refused(format!("{address} is node {}, not node {id}", hello.node));
    }
    if known.is_some_and(|known| !known.incarnation.is_empty() && known.incarnation != hello.incarnation) {
        return refused(wrong_incarnation(id));
    }
    if !hello.cluster.is_empty() && hello.cluster != cluster {
        return refused(format!(
            "the node at {address} belongs to cluster {}, this is {cluster}: give it an empty data directory",
            hello.cluster
        ));
    }
    if hello.format != peers::FORMAT {
        return refused(format!(
            "the node at {address} runs version {}, which writes another format: run the version of this node there",
            hello.version
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_answers_is_checked_by_its_identity() {
        let hello = |node: u64, cluster: &str, incarnation: &str| peer::HelloResponse {
            node,
            cluster: cluster.into(),
            incarnation: incarnation.into(),
            version: "9.9.9".into(),
            format: peers::FORMAT,
            ..peer::HelloResponse::default()
        };
        let member = ClusterMember { address: "d:1".into(), incarnation: "i4".into() };
        let newer = peer::HelloResponse { format: peers::FORMAT + 1, ..hello(4, "", "i4") };
        for (hello, known, expected) in [
            (hello(4, "", "i4"), None, None),
            (hello(4, "ours", "i4"), None, None),
            (hello(4, "ours", "i4"), Some(&member), None),
            (hello(3, "", "i4"), None, Some("d:1 is node 3, not node 4")),
            (hello(4, "theirs", "i4"), None, Some("belongs to cluster theirs")),
            (hello(4, "", "i5"), Some(&member), Some("tidelog cluster replace 4")),
            (newer, None, Some("runs version 9.9.9")),
        ] {
            let outcome = check_newcomer(&hello, 4, "d:1", known, "ours").map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(outcome, Ok(())),
                Some(part) => assert!(outcome.as_ref().unwrap_err().contains(part), "{outcome:?}"),
            }
        }
    }
}
