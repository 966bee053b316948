//! Changes of a cluster: one call each, whose progress is told as it comes.

use std::io::Write;

use futures_util::future::FutureExt;
use tidelog_proto::cluster::{
    AddNodeRequest, NodeAddress, RemoveNodeRequest, ReplaceNodeRequest, TransferLeaderRequest,
};

use super::connection::{Call, Client, Node};
use super::{Change, ClusterCommandError, Output};

/// Has the node carry out `change`; returns what came of it.
pub(super) async fn carry_out(
    node: &mut Node,
    change: &Change,
    progress: &mut impl Write,
) -> Result<String, ClusterCommandError> {
    // Whoever does not read the progress still gets the change.
    let tell = |line: &str| drop(writeln!(progress, "{line}").and_then(|()| progress.flush()));
    let change = change.clone();
    node.follow(|client| call(client, change), tell).await
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

/// What came of a change, as text.
pub(super) fn written(done: &str, output: Output) -> String {
    match output {
        Output::Table => format!("{done}\n"),
        Output::Json => format!("{}\n", serde_json::json!({ "done": done })),
    }
}
