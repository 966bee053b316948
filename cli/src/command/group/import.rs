//! `tidelog group import`: ImportApplication.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidelog_proto::v1::{ImportApplicationRequest, ImportApplicationResponse};

use super::delete::refused;
use super::reset::{changes, changes_as_json, counted};
use super::subject::failed;
use super::{Broker, CommandError, Output};
use crate::command::output::{Screen, print, print_json};

/// Bytes of a file of leases: more do not fit into one call.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Import {
    /// Name of the stream that it is to read; needed where its leases are of another service's shards.
    #[arg(value_name = "STREAM")]
    stream: Option<String>,

    /// Name of the KCL application.
    #[arg(value_name = "GROUP", required = true)]
    application: String,

    /// File with the leases: the output of `tidelog group export` or of `aws dynamodb scan`; `-` is standard input.
    ///
    /// Leases of this stream are taken as they are. Those of AWS get positions by the time in their sequence numbers.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// Replace the tables of an application of that name, whose workers must be stopped.
    #[arg(long)]
    replace: bool,

    /// Show the leases that would be created, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let leases = leases(&read(&self.file)?).map_err(CommandError::Arguments)?;
        let name = &self.application;
        let message = ImportApplicationRequest {
            application: name.clone(),
            stream: self.stream.clone().unwrap_or_default(),
            leases,
            replace: self.replace,
            dry_run: self.dry_run,
        };
        let node = broker.connection.node();
        let answer = match node.answer(node.groups().import_application(node.request(message))).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(broker, name, error).await),
        };
        match output {
            Output::Json => {
                let mut result = changes_as_json(name, self.dry_run, &answer.changes, &answer.refusal);
                result["stream"] = json!(Some(&answer.stream).filter(|stream| !stream.is_empty()));
                result["by_time"] = json!(answer.is_by_time);
                print_json(&result)
            }
            Output::Table => print(&shown(name, self.dry_run, &answer, Screen::of_process().width)),
        }
    }
}

fn shown(name: &str, is_trial: bool, answer: &ImportApplicationResponse, width: Option<u16>) -> String {
    let place = if answer.stream.is_empty() { String::new() } else { format!(" of {}", answer.stream) };
    let how = if answer.is_by_time { "positions by time" } else { "as they are" };
    let would = if is_trial { "would have" } else { "has" };
    let head = format!("{name}{place} {would} its leases, {how}: {}\n", counted(&answer.changes));
    head + &refused(&answer.refusal) + "\n" + &changes(&answer.changes, width)
}

fn read(path: &Path) -> Result<String, CommandError> {
    let failed = |error| CommandError::File { path: path.to_owned(), error };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    };
    if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
        return Err(CommandError::Arguments(format!("{} has more than 64 MiB", path.display())));
    }
    Ok(text)
}

/// The leases of an export, or those among the items of a table.
fn leases(text: &str) -> Result<Vec<String>, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("the leases are no JSON: {error}"))?;
    let is_lease = |item: &&Value| {
        let entity = item["entityType"]["S"].as_str();
        item.get("checkpoint").is_some() && entity.is_none_or(|entity| entity == "LEASE")
    };
    let items: Vec<&Value> = match (json["leases"].as_array(), json["Items"].as_array()) {
        (Some(leases), _) => leases.iter().collect(),
        // A table of KCL 3.5 has other items beside its leases.
        (None, Some(items)) => items.iter().filter(is_lease).collect(),
        (None, None) => {
            return Err(
                "the JSON has neither `leases` (tidelog group export) nor `Items` (aws dynamodb scan)".into(),
            );
        }
    };
    if json.get("LastEvaluatedKey").is_some_and(|key| !key.is_null()) || json.get("NextToken").is_some() {
        return Err("the JSON is one page of a scan: export the whole table".into());
    }
    Ok(items.into_iter().map(Value::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_and_scans_are_read() {
        let lease = r#"{"checkpoint":{"S":"LATEST"},"leaseKey":{"S":"a"}}"#;
        let other = r#"{"leaseKey":{"S":"Leader"},"entityType":{"S":"LEADER"}}"#;
        assert_eq!(leases(&format!(r#"{{"leases": [{lease}]}}"#)), Ok(vec![lease.to_owned()]));
        assert_eq!(
            leases(&format!(r#"{{"Items": [{other}, {lease}], "Count": 2}}"#)),
            Ok(vec![lease.to_owned()])
        );
        for (text, expected) in [
            ("x", "no JSON"),
            ("{}", "neither `leases`"),
            (r#"{"Items": [], "LastEvaluatedKey": {"leaseKey": {"S": "a"}}}"#, "one page"),
            (r#"{"Items": [], "NextToken": "x"}"#, "one page"),
        ] {
            let refused = leases(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
