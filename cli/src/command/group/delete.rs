//! `tidelog group delete`: DeleteGroup.

use serde_json::json;
use tidelog_proto::v1::DeleteGroupRequest;

use super::{Broker, CommandError, Named, Output};
use crate::command::output::{print, print_json};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,
}

impl Delete {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let Named { stream, group } = &self.named;
        let message = DeleteGroupRequest { stream: stream.clone(), group: group.clone() };
        let node = broker.connection.node();
        if let Err(error) = node.answer(node.groups().delete_group(node.request(message))).await {
            return Err(self.named.failed(broker, error).await);
        }
        match output {
            Output::Json => print_json(&json!({ "stream": stream, "name": group, "deleted": true })),
            Output::Table => print(&format!("deleted {group} of {stream}\n")),
        }
    }
}
