//! Handing groups over because an operator wants it.

use std::time::Duration;

use tidelog_storage::wal::GROUPS;
use tokio::time::timeout;

use super::{Administration, AdministrationError, GREETING_DEADLINE, Teller};
use crate::cluster::forming::greet;
use crate::replication::Leader;

/// How long a group may take to hear of its new leader.
const NOTIFICATION_DEADLINE: Duration = Duration::from_secs(3);

impl Administration {
    /// Transfers groups to `to`: the named ones or all, and only groups that `from` leads, unless `from` is `None`.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn transfer(
        &self,
        groups: &[u32],
        to: u64,
        from: Option<u64>,
        teller: &Teller,
    ) -> Result<String, AdministrationError> {
        let wanted = wanted(groups)?;
        self.check_successor(to).await?;
        let (mut led, mut failed) = (Vec::new(), Vec::new());
        for group in wanted {
            let leader = self.leader(group);
            if from.is_some() && leader != from {
                continue;
            }
            if leader == Some(to)
                || self.groups.leadership().transfer(group, to).await && self.leads(group, to).await
            {
                led.push(group.to_string());
                teller.tell(format!("group {group}: node {to} leads it")).await;
            } else {
                failed.push(group.to_string());
                teller.tell(format!("group {group}: not handed over")).await;
            }
        }
        if !failed.is_empty() {
            let failed = failed.join(", ");
            let reason =
                format!("the groups {failed} were not handed to node {to}: it may lack entries of them");
            return Err(AdministrationError::NotNow(reason));
        }
        Ok(match led.as_slice() {
            [] => "no group was to be handed over".into(),
            led => format!("node {to} leads the groups {}", led.join(", ")),
        })
    }

    async fn check_successor(&self, to: u64) -> Result<(), AdministrationError> {
        let status = self.groups.membership().status();
        if !status.iter().any(|group| group.voters.contains(&to)) {
            return Err(AdministrationError::refused(format!("node {to} is no voter of the cluster")));
        }
        let reluctance = if to == self.groups.node() {
            self.groups.leadership().reluctance().unwrap_or_default()
        } else {
            let hello = timeout(GREETING_DEADLINE, greet(self.groups.peers(), to)).await;
            let hello = hello.unwrap_or_else(|_| Err("no answer in time".into()));
            hello.map_err(|reason| AdministrationError::not_now(format!("node {to}: {reason}")))?.reluctance
        };
        if reluctance.is_empty() {
            return Ok(());
        }
        Err(AdministrationError::refused(format!("node {to} leads nothing right now: {reluctance}")))
    }

    fn leader(&self, group: u8) -> Option<u64> {
        match self.groups.leadership().leader(group) {
            Leader::Here => Some(self.groups.node()),
            Leader::At(node) => Some(node),
            Leader::Unknown => None,
        }
    }

    /// Waits until this node has heard that `to` leads the group.
    async fn leads(&self, group: u8, to: u64) -> bool {
        let mut leaders = self.groups.leadership().watch_leaders();
        let wanted = if to == self.groups.node() { Leader::Here } else { Leader::At(to) };
        let notified = leaders.wait_for(|leaders| leaders[usize::from(group)] == wanted);
        timeout(NOTIFICATION_DEADLINE, notified).await.is_ok_and(|notified| notified.is_ok())
    }
}

/// The named groups, or all when none is named.
fn wanted(groups: &[u32]) -> Result<Vec<u8>, AdministrationError> {
    if groups.is_empty() {
        return Ok((0..GROUPS as u8).collect());
    }
    let known = |group: &u32| {
        let number = u8::try_from(*group).ok().filter(|group| usize::from(*group) < GROUPS);
        number.ok_or_else(|| AdministrationError::refused(format!("there is no group {group}")))
    };
    groups.iter().map(known).collect()
}
