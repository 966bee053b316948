//! `tidelog group reset`: ResetGroup and ResetApplication.

use serde_json::{Value, json};
use tidelog_proto::v1::{
    self, LeaseChange, ResetApplicationRequest, ResetApplicationResponse, ResetGroupRequest, position,
};

use super::delete::refused;
use super::subject::{Named, Subject, failed};
use super::{Broker, CommandError, Output};
use crate::command::figures;
use crate::command::output::{Column, Screen, print, print_json, table};
use crate::command::time::{Beginning, written};
use tidelog_kinesis::Timestamp;
use tidelog_kinesis::operations::StartingPosition;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Reset {
    #[command(flatten)]
    named: Named,

    /// New position: trim (the oldest record), latest, 10m (ago), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "PLACE", value_parser = Beginning::parse)]
    to: Beginning,

    /// Show the leases that would change, of a KCL application, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Reset {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let position = self.to.position(jiff::Timestamp::now()).map_err(CommandError::Arguments)?;
        let (to, words) = target(&position);
        match self.named.subject(broker).await? {
            Subject::Group(_, _) if self.dry_run => {
                Err(CommandError::Arguments("--dry-run is for KCL applications".into()))
            }
            Subject::Group(stream, _) => self.reset_group(broker, &stream, (to, &words), output).await,
            Subject::Application(_) => self.reset_application(broker, (to, &words), output).await,
        }
    }

    async fn reset_group(
        &self,
        broker: &Broker,
        stream: &str,
        (to, words): (v1::Position, &str),
        output: Output,
    ) -> Result<(), CommandError> {
        let group = &self.named.group;
        let message = ResetGroupRequest { stream: stream.to_owned(), group: group.clone(), to: Some(to) };
        let node = broker.connection.node();
        if let Err(error) = node.answer(node.groups().reset_group(node.request(message))).await {
            return Err(broker.failed(stream, Some(group), error).await);
        }
        match output {
            Output::Json => print_json(&json!({ "stream": stream, "name": group, "reset_to": words })),
            Output::Table => print(&format!("{group} of {stream} goes on at {words}\n")),
        }
    }

    async fn reset_application(
        &self,
        broker: &Broker,
        (to, words): (v1::Position, &str),
        output: Output,
    ) -> Result<(), CommandError> {
        let name = &self.named.group;
        let message = ResetApplicationRequest {
            application: name.clone(),
            stream: self.named.stream.clone().unwrap_or_default(),
            to: Some(to),
            dry_run: self.dry_run,
        };
        let node = broker.connection.node();
        let answer = match node.answer(node.groups().reset_application(node.request(message))).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(broker, name, error).await),
        };
        match output {
            Output::Json => {
                let mut result = changes_as_json(name, self.dry_run, &answer.changes, &answer.refusal);
                result["streams"] = json!(answer.streams);
                result["reset_to"] = json!(words);
                print_json(&result)
            }
            Output::Table if self.dry_run => print(&trial(name, words, &answer, Screen::of_process().width)),
            Output::Table => print(&format!(
                "{name} of {} goes on at {words}: {}\n",
                answer.streams.join(", "),
                counted(&answer.changes)
            )),
        }
    }
}

/// The JSON of a change of an application's leases, as far as reset and import have it in common.
pub(super) fn changes_as_json(name: &str, is_trial: bool, changes: &[LeaseChange], refusal: &str) -> Value {
    let present = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let change = |change: &LeaseChange| json!({ "lease": change.lease, "from": present(&change.from), "to": present(&change.to) });
    json!({
        "name": name,
        "kind": "kcl",
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "changed": !is_trial,
        "refusal": present(refusal),
    })
}

/// The changes of a trial.
fn trial(name: &str, words: &str, answer: &ResetApplicationResponse, width: Option<u16>) -> String {
    let head = format!(
        "{name} of {} would go on at {words}: {}\n",
        answer.streams.join(", "),
        counted(&answer.changes)
    );
    head + &refused(&answer.refusal) + "\n" + &changes(&answer.changes, width)
}

/// Numbers of leases that are set, created and deleted.
pub(super) fn counted(changes: &[LeaseChange]) -> String {
    let (mut set, mut created, mut deleted) = (0, 0, 0);
    for change in changes {
        match (change.from.is_empty(), change.to.is_empty()) {
            (true, _) => created += 1,
            (false, true) => deleted += 1,
            (false, false) => set += 1,
        }
    }
    let parts = [(set, "set"), (created, "created"), (deleted, "deleted")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> =
        parts.map(|(number, word)| format!("{} {word}", figures::of(number, "lease"))).collect();
    if parts.is_empty() { "no lease changed".into() } else { parts.join(", ") }
}

pub(super) fn changes(changes: &[LeaseChange], width: Option<u16>) -> String {
    let rows = changes.iter().map(|change| {
        let to = if change.to.is_empty() { "(deleted)" } else { &change.to };
        let from = if change.from.is_empty() { "(created)" } else { &change.from };
        vec![change.lease.clone(), from.to_owned(), to.to_owned()]
    });
    table(&[Column::Words("LEASE"), Column::Words("FROM"), Column::Words("TO")], rows.collect(), width)
}

/// The position for the broker, and in words.
fn target(position: &StartingPosition) -> (v1::Position, String) {
    let (at, words) = match position {
        StartingPosition::Latest => (position::At::Latest(v1::Latest {}), "latest".into()),
        StartingPosition::AtTimestamp { time: Timestamp(millis) } => {
            let seconds = millis.div_euclid(1000);
            let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).expect("below 1,000 milliseconds");
            let at = position::At::AtTimestamp(prost_types::Timestamp { seconds, nanos });
            (at, written(Timestamp(*millis)))
        }
        // Beginnings name nothing else.
        _ => (position::At::TrimHorizon(v1::TrimHorizon {}), "the oldest record".into()),
    };
    (v1::Position { at: Some(at) }, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_lists_the_change_of_each_lease() {
        let change = |lease: &str, from: &str, to: &str| LeaseChange {
            lease: lease.into(),
            from: from.into(),
            to: to.into(),
        };
        let answer = ResetApplicationResponse {
            streams: vec!["clicks".into()],
            changes: vec![
                change("s-0", "SHARD_END", "TRIM_HORIZON"),
                change("s-1", "4959", ""),
                change("s-2", "", "TRIM_HORIZON"),
            ],
            refusal: "it runs".into(),
        };
        let expected = "\
app of clicks would go on at latest: 1 lease set, 1 lease created, 1 lease deleted
refused now: it runs

LEASE  FROM       TO
s-0    SHARD_END  TRIM_HORIZON
s-1    4959       (deleted)
s-2    (created)  TRIM_HORIZON
";
        assert_eq!(trial("app", "latest", &answer, None), expected);
        assert_eq!(counted(&[]), "no lease changed");
    }

    #[test]
    fn every_position_is_sent_to_the_broker() {
        let time = prost_types::Timestamp { seconds: 1_772_366_400, nanos: 250_000_000 };
        let cases = [
            (
                StartingPosition::TrimHorizon,
                position::At::TrimHorizon(v1::TrimHorizon {}),
                "the oldest record",
            ),
            (StartingPosition::Latest, position::At::Latest(v1::Latest {}), "latest"),
            (
                StartingPosition::AtTimestamp { time: Timestamp(1_772_366_400_250) },
                position::At::AtTimestamp(time),
                "2026-03-01T12:00:00.250Z",
            ),
        ];
        for (position, at, words) in cases {
            assert_eq!(target(&position), (v1::Position { at: Some(at) }, words.to_owned()));
        }
    }
}
