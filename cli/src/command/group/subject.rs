//! The subject of a command: a consumer group of Tidelog, or an application of the Kinesis Client Library (KCL).

use clap::ValueEnum;
use tidelog_proto::v1::describe_application_response::{FoundBy, Lease};
use tidelog_proto::v1::{
    DescribeApplicationRequest, DescribeApplicationResponse, DescribeGroupResponse, ListApplicationsRequest,
};

use super::describe::described;
use super::{Broker, CommandError};
use crate::command::error::similar;
use tidelog_client::{Error, Reason};

/// The kind of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A consumer group of Tidelog
    Tidelog,
    /// An application of the Kinesis Client Library
    Kcl,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tidelog => "tidelog",
            Self::Kcl => "kcl",
        }
    }
}

/// A group of a stream, or a KCL application.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Named {
    /// Name of the stream. The broker finds that of a KCL application by its leases, unless several streams fit.
    #[arg(value_name = "STREAM")]
    pub(super) stream: Option<String>,

    /// Name of the group, or of the KCL application.
    #[arg(value_name = "GROUP", required = true)]
    pub(super) group: String,

    /// Kind of the group, where the stream has one of each kind by that name.
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<Kind>,
}

/// The group that was named.
pub(super) enum Subject {
    /// A consumer group of this stream.
    Group(String, DescribeGroupResponse),
    /// An application.
    Application(DescribeApplicationResponse),
}

/// How a KCL application is.
pub(in crate::command) async fn application(
    broker: &Broker,
    stream: Option<&str>,
    application: &str,
) -> Result<DescribeApplicationResponse, Error> {
    let node = broker.connection.node();
    let message = DescribeApplicationRequest {
        application: application.to_owned(),
        stream: stream.unwrap_or_default().to_owned(),
    };
    node.answer(node.groups().describe_application(node.request(message))).await
}

/// Names of all KCL applications of the account and region.
pub(in crate::command) async fn applications(broker: &Broker) -> Result<Vec<String>, Error> {
    let node = broker.connection.node();
    let answer =
        node.answer(node.groups().list_applications(node.request(ListApplicationsRequest {}))).await?;
    Ok(answer.applications)
}

/// `None` for a subject that is not there.
fn if_there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.reason() == Reason::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Named {
    /// Finds the subject; it is an error when both kinds have one of that name and none was chosen.
    pub(super) async fn subject(&self, broker: &Broker) -> Result<Subject, CommandError> {
        let (stream, name) = (self.stream.as_deref(), self.group.as_str());
        let group = match stream {
            Some(stream) if self.kind != Some(Kind::Kcl) => {
                match if_there(described(broker, stream, name).await) {
                    Ok(group) => group.map(|group| (stream.to_owned(), group)),
                    Err(error) => return Err(broker.failed(stream, Some(name), error).await),
                }
            }
            _ => None,
        };
        let found = match self.kind {
            Some(Kind::Tidelog) => None,
            _ => match if_there(application(broker, stream, name).await) {
                Ok(found) => found,
                // A broker without lease tables.
                Err(error) if error.reason() == Reason::Refused && stream.is_some() => None,
                Err(error) => return Err(failed(broker, &self.group, error).await),
            },
        };
        match (group, found) {
            (Some((stream, group)), None) => Ok(Subject::Group(stream, group)),
            (None, Some(found)) => Ok(Subject::Application(found)),
            (Some((stream, _)), Some(_)) => Err(CommandError::Arguments(format!(
                "{name} is a consumer group of {stream}, and there is a KCL application of that name: choose with --kind \
                 tidelog or --kind kcl"
            ))),
            (None, None) => Err(self.missing(broker).await),
        }
    }

    async fn missing(&self, broker: &Broker) -> CommandError {
        if let Some(stream) = &self.stream {
            return broker.failed(stream, Some(&self.group), Error::new(Reason::NotFound, "")).await;
        }
        let names = applications(broker).await.unwrap_or_default();
        CommandError::Failed(unknown_application(&self.group, &names))
    }
}

fn unknown_application(name: &str, names: &[String]) -> String {
    let alike = similar(name, names);
    let advice = match (names, alike.as_slice()) {
        (_, alike @ [_, ..]) => format!("Did you mean {}?", alike.join(" or ")),
        ([], []) => "There is none; one begins when its first worker starts".into(),
        (_, []) => "`tidelog group list` lists them".into(),
    };
    format!(
        "there is no KCL application {name}. {advice}. A consumer group of Tidelog is named after its stream"
    )
    .replace("?.", "?")
}

/// Describes a call about an application that has failed. The broker's sentences say what to do.
pub(super) async fn failed(broker: &Broker, application: &str, error: Error) -> CommandError {
    match error.reason() {
        Reason::InUse
        | Reason::Invalid
        | Reason::OutOfRange
        | Reason::Quota
        | Reason::NotFound
        | Reason::Unavailable => CommandError::Failed(format!("{application}: {error}")),
        _ => broker.failed(application, None, error).await,
    }
}

/// The stream of an application in words, with the way in which it was found.
pub(super) fn stream_words(found: &DescribeApplicationResponse) -> String {
    let streams = found.streams.join(", ");
    match found.found_by() {
        FoundBy::Request => streams,
        FoundBy::Leases => format!("{streams} (its leases name it)"),
        FoundBy::Consumer => format!("{streams} (it has a consumer of the application's name)"),
        FoundBy::Shards => format!("{streams} (its shards are those of the leases)"),
        FoundBy::Ambiguous => {
            format!("one of {streams}: name it, as in `tidelog group describe STREAM GROUP`")
        }
        FoundBy::Conflicting => format!("leases of {streams} in one table: do two applications share it?"),
        FoundBy::Unknown => "? (no stream fits the leases)".into(),
    }
}

/// The stream of an application in a column.
pub(super) fn stream_cell(found: &DescribeApplicationResponse) -> String {
    match found.found_by() {
        FoundBy::Ambiguous | FoundBy::Conflicting => format!("{}?", found.streams.join("/")),
        FoundBy::Unknown => "?".into(),
        _ => found.streams.join(","),
    }
}

/// Records behind in all shards and milliseconds in the one that is behind the most.
pub(super) fn behind(found: &DescribeApplicationResponse) -> (Option<u64>, Option<u64>) {
    let records = found.leases.iter().map(|lease| lease.records_behind).sum();
    let millis = found.leases.iter().filter_map(|lease| lease.millis_behind).max();
    (records, if found.leases.is_empty() { Some(0) } else { millis })
}

/// Workers that are alive; `None` while that is not known of one.
pub(in crate::command) fn alive(found: &DescribeApplicationResponse) -> Option<usize> {
    let alive = found.workers.iter().map(|worker| worker.is_alive);
    alive.map(|is_alive| is_alive.map(usize::from)).sum()
}

/// Leases that no worker has, of shards that are not finished.
pub(in crate::command) fn unowned(found: &DescribeApplicationResponse) -> Vec<&Lease> {
    found.leases.iter().filter(|lease| !lease.is_finished && lease.worker.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_application_is_answered_with_those_that_exist() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (there, expected) in [
            (names(&[]), "There is none; one begins"),
            (names(&["mail", "billing"]), "Did you mean billing? A consumer group"),
            (names(&["mail"]), "`tidelog group list` lists them."),
        ] {
            let words = unknown_application("bilings", &there);
            assert!(
                words.starts_with("there is no KCL application bilings") && words.contains(expected),
                "{words}"
            );
        }
    }
}
