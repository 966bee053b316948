//! `tidelog doctor`: the faults of a stream, and advice about them.
//!
//! [`Facts`](facts::Facts) are gathered first, by gRPC and from the page of metrics; pure functions in `findings`
//! decide what is wrong, one file for each kind of cause; `report` writes it.

mod damaged;
mod facts;
mod findings;
mod report;
mod sample;
mod throttles;

use std::time::Duration;

use super::native::Broker;
use super::output::{Screen, print, print_json};
use super::time::span;
use super::{CommandError, Outcome, Output, Shared};

/// The reason why the command needs Tidelog, for a refusal.
const NEEDED: &str = "`tidelog doctor` asks for facts that only Tidelog reports, such as its consumer groups";

/// Arguments of `tidelog doctor`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    after_help = "It looks at hot keys, uneven hash ranges and loads, shards near the limits of a shard, throttles, and \
                  consumer groups and KCL applications: their lag, shards without an owner, records that expire before \
                  they are read, processors that are stuck, leases that move to and fro. The result lists the parts that \
                  could not be checked.\n\n\
                  Exit codes: 0 nothing found, 1 failed, 2 wrong arguments, 3 something found."
)]
pub struct DoctorArguments {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,

    /// Span of time whose records are read to estimate keys and loads, 1s to 1h.
    ///
    /// At most 10,000 records or 4 MiB of each open shard are read, out of the shard's read limit.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = sampled)]
    sample: Duration,

    #[command(flatten)]
    shared: Shared,
}

fn sampled(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    let is_within = |span: &Duration| bounds.contains(span);
    Some(span(text)?).filter(is_within).ok_or_else(|| "a sample covers 1s to 1h".into())
}

impl DoctorArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let broker = Broker::of(&self.shared, NEEDED)?;
        let facts = match facts::gathered(&broker, &self.stream, self.sample).await {
            Ok(facts) => facts,
            Err(error) => return Err(broker.failed(&self.stream, None, error).await),
        };
        let findings = findings::all(&facts);
        let connection = self.flags();
        match self.shared.output {
            Output::Json => print_json(&report::as_json(&facts, &findings, &connection))?,
            Output::Table => print(&report::written(&facts, &findings, &connection, Screen::of_process()))?,
        }
        Ok(if findings.is_empty() { Outcome::Done } else { Outcome::Found })
    }

    /// The flags of the connection as they were given, for the commands that are advised.
    fn flags(&self) -> String {
        let connection = &self.shared.connection;
        let ca = connection.ca.as_ref().map(|path| path.display().to_string());
        let given = [
            ("endpoint", connection.endpoint.clone()),
            ("region", connection.region.clone()),
            ("profile", connection.profile.clone()),
            ("ca", ca),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| format!(" --{name} {}", quoted(&value))).collect()
    }
}

/// Quotes a value so that a shell takes it for one word.
fn quoted(value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.into();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        for (value, expected) in [
            ("http://127.0.0.1:4567", "http://127.0.0.1:4567"),
            ("my ca.pem", "'my ca.pem'"),
            ("o'clock", r"'o'\''clock'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }

    #[test]
    fn a_sample_has_bounds() {
        assert_eq!(sampled("1h"), Ok(Duration::from_secs(3600)));
        assert!(sampled("0s").is_err() && sampled("61m").is_err() && sampled("x").is_err());
    }
}
