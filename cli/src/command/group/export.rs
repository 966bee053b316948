//! `tidelog group export`: ExportApplication.

use serde_json::{Value, json};
use tidelog_proto::v1::ExportApplicationRequest;

use super::subject::failed;
use super::{Broker, CommandError};
use crate::command::output::print_json;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Export {
    /// Name of the KCL application.
    #[arg(value_name = "GROUP")]
    application: String,
}

impl Export {
    pub(super) async fn carry_out(&self, broker: &Broker) -> Result<(), CommandError> {
        let name = &self.application;
        let message = ExportApplicationRequest { application: name.clone() };
        let node = broker.connection.node();
        let answer = match node.answer(node.groups().export_application(node.request(message))).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(broker, name, error).await),
        };
        let leases: Result<Vec<Value>, serde_json::Error> =
            answer.leases.iter().map(|lease| serde_json::from_str(lease)).collect();
        let leases = leases
            .map_err(|error| CommandError::Failed(format!("the broker's answer is no JSON: {error}")))?;
        print_json(&json!({ "application": name, "leases": leases }))
    }
}
