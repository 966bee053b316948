//! Changes of a cluster: one call each, whose progress is shown as it comes.

use futures_util::future::FutureExt;
use tidelog_proto::cluster::{
    AddNodeRequest, NodeAddress, RemoveNodeRequest, ReplaceNodeRequest, TransferLeaderRequest,
};

use super::connection::{Call, Client, NodeClient};
use super::{Change, ClusterClientError};

impl NodeClient {
    /// Makes the cluster carry out `change`. Calls `tell` with each line of the progress, and returns the last line.
    ///
    /// # Errors
    /// [`ClusterClientError`], whose message says what an operator can do.
    pub async fn change(
        &mut self,
        change: &Change,
        tell: impl FnMut(&str),
    ) -> Result<String, ClusterClientError> {
        let change = change.clone();
        self.follow(|client| call(client, change), tell).await
    }
}

fn call(mut client: Client, change: Change) -> Call<'static> {
    async move {
        match change {
            Change::Add { id, address } => {
                client.add_node(AddNodeRequest { node: Some(NodeAddress { id, address }) }).await
            }
            Change::Remove { id } => client.remove_node(RemoveNodeRequest { id }).await,
            Change::Replace { old_id, id, address } => {
                let new_node = Some(NodeAddress { id, address });
                client.replace_node(ReplaceNodeRequest { old_id, new_node }).await
            }
            Change::Transfer { groups, to, from } => {
                let request = TransferLeaderRequest { groups, to, from: from.unwrap_or_default() };
                client.transfer_leader(request).await
            }
        }
    }
    .boxed()
}
