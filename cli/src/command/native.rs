//! A Tidelog broker, for the commands that no other service can answer: its gRPC API and its page of metrics, at
//! the endpoint that the other commands use too. Another server at that address is recognized and named in the
//! error.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use tokio::time::timeout;

use super::error::{similar, unknown_stream};
use super::{CommandError, Shared};
use tidelog_client::Connection;
use tidelog_client::{Error, Reason};
use tidelog_kinesis::{Client, KinesisError, Settings, SettingsError, transport};

/// How long a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(5);
/// Bound of a page in bytes: a broker with some ten thousand shards that are counted apart stays below it.
const PAGE_MAX: usize = 16 << 20;

/// A broker that should be Tidelog.
#[derive(Debug)]
pub(super) struct Broker {
    /// By gRPC.
    pub(super) connection: Connection,
    client: Client,
    /// The thing that only Tidelog has, as the beginning of a sentence.
    needed: &'static str,
}

impl Broker {
    /// The one at the endpoint of the command line. Nothing is sent yet.
    pub(super) fn of(shared: &Shared, needed: &'static str) -> Result<Self, CommandError> {
        let settings = match Settings::of_process(&shared.connection) {
            // Without a profile that is asked for, keys are missed for AWS only.
            Err(SettingsError::Credentials(_)) if shared.connection.profile.is_none() => {
                return Err(foreign("this endpoint", needed));
            }
            settings => settings?,
        };
        if settings.is_aws() {
            return Err(foreign(&settings.endpoint_text(), needed));
        }
        let connection = connection(&settings)?;
        Ok(Self { connection, client: Client::new(settings)?, needed })
    }

    /// Returns the settings of the connection.
    pub(super) fn settings(&self) -> &Settings {
        self.client.settings()
    }

    /// Reads the broker's page of metrics; `Err` says why there is none.
    pub(super) async fn metrics(&self) -> Result<String, String> {
        self.page("/metrics").await.map_err(|error| error.to_string())
    }

    /// Reads the broker's page of health; `Err` says why there is none.
    pub(super) async fn health(&self) -> Result<String, String> {
        self.page("/health").await.map_err(|error| error.to_string())
    }

    /// Describes a failed call about a stream, and perhaps a group of it.
    pub(super) async fn failed(&self, stream: &str, group: Option<&str>, error: Error) -> CommandError {
        match (error.reason(), group) {
            (Reason::NotFound, group) => self.missing(stream, group).await,
            (Reason::InUse, Some(group)) => CommandError::Failed(format!(
                "the group {group} of {stream} has members: stop them first. One that was killed is out once its lease \
                 is over; `tidelog group describe {stream} {group}` shows its members"
            )),
            (Reason::Refused | Reason::Unavailable | Reason::UnknownOutcome, _) => {
                self.unanswered(error).await
            }
            _ => CommandError::Failed(error.to_string()),
        }
    }

    async fn missing(&self, stream: &str, group: Option<&str>) -> CommandError {
        let groups = match group {
            Some(_) => self.groups(stream).await.ok(),
            None => None,
        };
        match (group, groups) {
            (Some(group), Some(groups)) => CommandError::Failed(unknown_group(stream, group, &groups)),
            _ => CommandError::Failed(unknown_stream(&self.client, stream).await),
        }
    }

    /// Names of the stream's groups, in order.
    pub(super) async fn groups(&self, stream: &str) -> Result<Vec<String>, Error> {
        let node = self.connection.node();
        let message = tidelog_proto::v1::ListGroupsRequest { stream: stream.to_owned() };
        let answer = node.answer(node.groups().list_groups(node.request(message))).await?;
        Ok(answer.groups)
    }

    /// Makes a call that every Tidelog answers, to know whether a Tidelog has failed.
    async fn unanswered(&self, error: Error) -> CommandError {
        match self.page("/health").await {
            Err(unreachable @ KinesisError::Unreachable { .. }) => {
                CommandError::of_call(&self.client, None, unreachable).await
            }
            Ok(page) if is_tidelog(&page) => CommandError::Failed(format!("{error}. Try again in a moment")),
            _ => self.is_foreign(),
        }
    }

    /// Reads a page whose status says something too, such as `/ready`.
    pub(super) async fn status_page(&self, path: &'static str) -> Result<(StatusCode, String), CommandError> {
        self.get(path).await.map_err(|error| {
            let advice = error.advice().into();
            CommandError::Service { error, advice }
        })
    }

    /// The refusal of an endpoint that answers, and not as Tidelog does.
    pub(super) fn is_foreign(&self) -> CommandError {
        foreign(&self.settings().endpoint_text(), self.needed)
    }

    /// Returns the page at that path; another status than a success is an error.
    async fn page(&self, path: &'static str) -> Result<String, KinesisError> {
        let (status, page) = self.get(path).await?;
        if status.is_success() {
            return Ok(page);
        }
        let (endpoint, reason) = (self.settings().endpoint_text(), format!("its answer is {status}"));
        Err(KinesisError::Interrupted { endpoint, operation: path, reason })
    }

    /// Returns status and text of the answer to a GET of that path.
    async fn get(&self, path: &'static str) -> Result<(StatusCode, String), KinesisError> {
        let endpoint = self.settings().endpoint_text();
        let interrupted =
            |reason| KinesisError::Interrupted { endpoint: endpoint.clone(), operation: path, reason };
        let url: Uri = format!("{endpoint}{path}").parse().expect("an endpoint without a path takes one");
        let request = Request::get(url).body(Full::new(Bytes::new())).expect("nothing in it can be wrong");
        let transport = transport(self.settings()).map_err(|error| interrupted(error.to_string()))?;
        let fetched = async {
            let answer = transport.request(request).await.map_err(|error| {
                let reason = innermost(&error);
                if error.is_connect() {
                    KinesisError::Unreachable { endpoint: endpoint.clone(), reason }
                } else {
                    interrupted(reason)
                }
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), PAGE_MAX).collect().await;
            let body = body.map_err(|error| interrupted(error.to_string()))?.to_bytes();
            match String::from_utf8(body.into()) {
                Ok(page) => Ok((status, page)),
                Err(_) => Err(interrupted(format!("its answer is {status}, and no text"))),
            }
        };
        let late = || interrupted(format!("silent for {} seconds", PAGE_DEADLINE.as_secs()));
        timeout(PAGE_DEADLINE, fetched).await.unwrap_or_else(|_| Err(late()))
    }
}

/// By gRPC to where the Kinesis protocol goes, as the same caller.
fn connection(settings: &Settings) -> Result<Connection, CommandError> {
    let mut builder = Connection::to([settings.endpoint_text()]).region(&settings.region);
    let key = &settings.credentials.access_key_id;
    if key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit()) {
        builder = builder.account(key);
    }
    if let Some(path) = &settings.ca {
        let pem = std::fs::read(path).map_err(|error| CommandError::File { path: path.clone(), error })?;
        builder = builder.ca_pem(pem).with_system_roots();
    }
    builder.build().map_err(|error| CommandError::Failed(error.to_string()))
}

fn foreign(endpoint: &str, needed: &str) -> CommandError {
    CommandError::Failed(format!(
        "{endpoint} is not a Tidelog. {needed}: name a Tidelog with --endpoint or AWS_ENDPOINT_URL_KINESIS"
    ))
}

/// Whether a page of health is Tidelog's.
fn is_tidelog(page: &str) -> bool {
    let page: serde_json::Value = serde_json::from_str(page).unwrap_or_default();
    ["status", "reasons", "version", "node"].iter().all(|name| page.get(name).is_some())
}

fn unknown_group(stream: &str, group: &str, groups: &[String]) -> String {
    let place = format!("the stream {stream} has no group {group}");
    match (groups, similar(group, groups).as_slice()) {
        ([], _) => format!("{place}, and no other: a group begins when its first member joins"),
        (_, []) => format!("{place}. `tidelog group list {stream}` lists those that it has"),
        (_, alike) => format!("{place}. Did you mean {}?", alike.join(" or ")),
    }
}

/// The innermost reason, which is the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_health_tells_tidelog_from_others() {
        let own = r#"{"status": "ok", "reasons": [], "version": "0.1.0", "cluster": "", "node": 1}"#;
        let cases =
            [(own, true), (r#"{"services": {"kinesis": "running"}}"#, false), ("OK", false), ("", false)];
        for (page, expected) in cases {
            assert_eq!(is_tidelog(page), expected, "{page}");
        }
    }

    #[test]
    fn a_missing_group_is_reported_with_those_that_exist() {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let cases = [
            (groups(&[]), "and no other: a group begins"),
            (groups(&["mail", "billing"]), "Did you mean billing?"),
            (groups(&["mail"]), "`tidelog group list clicks`"),
        ];
        for (there, expected) in cases {
            let told = unknown_group("clicks", "bilings", &there);
            assert!(
                told.starts_with("the stream clicks has no group bilings") && told.contains(expected),
                "{told}"
            );
        }
    }
}
