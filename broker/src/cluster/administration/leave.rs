//! Taking a node out for good.

use super::{Administration, AdministrationError, Teller};

impl Administration {
    /// Takes a node out of every group; it may be dead.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn remove(&self, node: u64, teller: &Teller) -> Result<String, AdministrationError> {
        let _changing = self.begin().await?;
        self.check_not_own(node)?;
        let members = self.current_members().await?;
        if !self.is_member(node) {
            return if self.groups.catalog().used_nodes.contains(&node) {
                Ok(format!("node {node} is no member any more"))
            } else {
                Err(AdministrationError::refused(format!("the cluster has never known a node {node}")))
            };
        }
        let left: Vec<u64> = members.voters.iter().copied().filter(|voter| *voter != node).collect();
        if left.is_empty() {
            return Err(AdministrationError::refused(format!("node {node} is the last voter")));
        }
        self.check_majority(left.iter().copied()).await?;
        self.check_copies(&left).await?;
        self.change_voters(None, Some(node), teller).await?;
        Ok(format!("node {node} is no member any more and its id is not used again; stop it if it runs"))
    }
}
