//! `tidelog group delete`: DeleteGroup and DeleteApplication.

use serde_json::json;
use tidelog_proto::v1::{DeleteApplicationRequest, DeleteGroupRequest};

use super::subject::{Named, Subject, failed};
use super::{Broker, CommandError, Output};
use crate::command::output::{print, print_json};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,

    /// Show what would be deleted, of a KCL application, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        match self.named.subject(broker).await? {
            Subject::Group(_, _) if self.dry_run => {
                Err(CommandError::Arguments("--dry-run is for KCL applications".into()))
            }
            Subject::Group(stream, _) => self.delete_group(broker, &stream, output).await,
            Subject::Application(_) => self.delete_application(broker, output).await,
        }
    }

    async fn delete_group(&self, broker: &Broker, stream: &str, output: Output) -> Result<(), CommandError> {
        let group = &self.named.group;
        let message = DeleteGroupRequest { stream: stream.to_owned(), group: group.clone() };
        let node = broker.connection.node();
        if let Err(error) = node.answer(node.groups().delete_group(node.request(message))).await {
            return Err(broker.failed(stream, Some(group), error).await);
        }
        match output {
            Output::Json => print_json(&json!({ "stream": stream, "name": group, "deleted": true })),
            Output::Table => print(&format!("deleted {group} of {stream}\n")),
        }
    }

    async fn delete_application(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let name = &self.named.group;
        let message = DeleteApplicationRequest { application: name.clone(), dry_run: self.dry_run };
        let node = broker.connection.node();
        let answer = match node.answer(node.groups().delete_application(node.request(message))).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(broker, name, error).await),
        };
        let tables = answer.tables.join(", ");
        match output {
            Output::Json => print_json(&json!({
                "name": name,
                "kind": "kcl",
                "tables": answer.tables,
                "deleted": !self.dry_run,
                "refusal": Some(&answer.refusal).filter(|refusal| !refusal.is_empty()),
            })),
            Output::Table if self.dry_run => {
                print(&format!("would delete the tables {tables} of {name}\n{}", refused(&answer.refusal)))
            }
            Output::Table => print(&format!("deleted the tables {tables} of {name}\n")),
        }
    }
}

/// A line that says why a change would be refused now; empty when it would not.
pub(super) fn refused(refusal: &str) -> String {
    if refusal.is_empty() { String::new() } else { format!("refused now: {refusal}\n") }
}
