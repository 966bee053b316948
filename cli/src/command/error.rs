//! Why a command failed, in words that say what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tidelog_kinesis::operations::{ListStreams, ListStreamsAnswer};
use tidelog_kinesis::{Client, KinesisError, SettingsError};

/// How much alike two names have to be for one to be suggested for the other, by Jaro and Winkler.
const ALIKE_MIN: f64 = 0.8;
/// How many names are suggested at most.
const SUGGESTIONS_MAX: usize = 3;
/// How many pages of names are looked through at most.
const PAGES_MAX: usize = 10;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The arguments contradict each other or the state of the service.
    #[error("{0}")]
    Arguments(String),
    /// Endpoint, region, keys or certificates are wrong.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// The service cannot be reached, or will not do it.
    #[error("{error}{advice}")]
    Service {
        /// The error of the service.
        error: KinesisError,
        /// Advice, with the punctuation that separates it from the error; may be empty.
        advice: String,
    },
    /// The subject of the command is not there, or something went on for too long.
    #[error("{0}")]
    Failed(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {error}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The result could not be printed.
    #[error("cannot print the result: {0}")]
    Output(io::Error),
}

impl CommandError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_) | Self::Settings(SettingsError::Endpoint(_) | SettingsError::Region(_)) => {
                2.into()
            }
            _ => ExitCode::FAILURE,
        }
    }

    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Describes a failed call about `stream`. Asks for the names of streams where that one is not there.
    pub(super) async fn of_call(client: &Client, stream: Option<&str>, error: KinesisError) -> Self {
        let advice = match (&error, error.exception()) {
            (_, Some("ResourceNotFoundException")) if stream.is_some() => {
                return Self::Failed(unknown_stream(client, stream.unwrap_or_default()).await);
            }
            (KinesisError::Interrupted { .. }, _) => {
                ". Whether it was done is not known: `tidelog stream describe` shows the stream"
            }
            (_, Some(name)) => of_exception(name),
            _ => error.advice(),
        };
        let advice = advice.into();
        Self::Service { error, advice }
    }
}

fn of_exception(name: &str) -> &'static str {
    match name {
        "AccessDeniedException" => ". The keys are valid, and their permissions do not include this",
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException" => {
            ". Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or --profile, and --region"
        }
        "ExpiredTokenException" => ". The keys are temporary ones and have run out: fetch new ones",
        "ResourceInUseException" => ". `tidelog stream describe` shows the state it is in",
        "LimitExceededException" | "ProvisionedThroughputExceededException" => ". Try again in a moment",
        _ => "",
    }
}

/// Says that there is no such stream, and lists streams with names like it.
pub(super) async fn unknown_stream(client: &Client, stream: &str) -> String {
    let settings = client.settings();
    let place = format!("there is no stream {stream} at {} in {}", settings.endpoint_text(), settings.region);
    let names = stream_names(client).await.unwrap_or_default();
    let suggestions = similar(stream, &names);
    if suggestions.is_empty() {
        return format!(
            "{place}. `tidelog stream list` lists those that are there, `tidelog stream create {stream}` makes it"
        );
    }
    format!("{place}. Did you mean {}?", suggestions.join(" or "))
}

async fn stream_names(client: &Client) -> Result<Vec<String>, KinesisError> {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = ListStreams { exclusive_start_stream_name: names.last().cloned(), limit: None };
        let ListStreamsAnswer { stream_names, has_more_streams, .. } = client.call(&page).await?;
        let is_last = !has_more_streams || stream_names.is_empty();
        names.extend(stream_names);
        if is_last {
            break;
        }
    }
    Ok(names)
}

/// Finds the `names` that `wanted` may have been meant for, the likeliest first.
pub(crate) fn similar<'a>(wanted: &str, names: &'a [String]) -> Vec<&'a str> {
    let lower = wanted.to_lowercase();
    let scored = names.iter().map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name.as_str()));
    let mut alike: Vec<_> = scored.filter(|(score, _)| *score >= ALIKE_MIN).collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_suggested() {
        let names: Vec<String> = ["clicks", "Orders", "clicks-eu", "payments"].map(Into::into).into();
        let cases: [(&str, &[&str]); 4] = [
            ("clikcs", &["clicks", "clicks-eu"]),
            ("orders", &["Orders"]),
            ("payment", &["payments"]),
            ("weather", &[]),
        ];
        for (wanted, expected) in cases {
            assert_eq!(similar(wanted, &names), expected, "{wanted}");
        }
    }
}
