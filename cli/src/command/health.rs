//! `tidelog health`: the pages `/health`, `/ready` and `/livez` of one node, for people, containers and scripts.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::native::Broker;
use super::output::{print, print_json};
use super::{CommandError, Outcome, Output, Shared};

/// The reason why this command needs Tidelog, for a refusal.
const NEEDED: &str = "Health in this form is Tidelog's own";
/// The exit codes, for the help.
const EXIT_CODES: &str = "Exit codes: 0 well, 1 no answer, 2 wrong arguments, 3 something is wrong, and the output \
                          names it.";

/// Arguments of `tidelog health`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct HealthArguments {
    /// Ask only whether the node takes requests: it has started, and is not stopping.
    #[arg(long, conflicts_with = "live")]
    ready: bool,

    /// Ask only whether the process works: each of its loops comes round in its time. A restart may help a node that
    /// fails.
    #[arg(long)]
    live: bool,

    #[command(flatten)]
    shared: Shared,
}

/// The members that the three pages have in common.
#[derive(Debug, Deserialize, PartialEq)]
struct Page {
    status: String,
    reasons: Vec<String>,
}

impl HealthArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let broker = Broker::of(&self.shared, NEEDED)?;
        let (status, text) = broker.status_page(self.path()).await?;
        let Ok(page) = serde_json::from_str::<Page>(&text) else {
            return Err(broker.is_foreign());
        };
        match self.shared.output {
            Output::Json => print_json(&serde_json::from_str::<Value>(&text).unwrap_or_default())?,
            Output::Table => print(&shown(&page))?,
        }
        Ok(outcome(status, &page))
    }

    fn path(&self) -> &'static str {
        match (self.ready, self.live) {
            (true, _) => "/ready",
            (_, true) => "/livez",
            _ => "/health",
        }
    }
}

/// A page with reasons reports a fault whatever its HTTP status: `/health` of a degraded node is a 200.
fn outcome(status: StatusCode, page: &Page) -> Outcome {
    if status.is_success() && page.reasons.is_empty() { Outcome::Done } else { Outcome::Found }
}

fn shown(page: &Page) -> String {
    let reasons = page.reasons.iter().map(|reason| format!("  {reason}\n"));
    [page.status.clone() + "\n"].into_iter().chain(reasons).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_line_and_decides_the_outcome() {
        let page = |status: &str, reasons: &[&str]| Page {
            status: status.into(),
            reasons: reasons.iter().map(|&reason| reason.into()).collect(),
        };
        let cases = [
            (StatusCode::OK, page("ok", &[]), "ok\n", Outcome::Done),
            (StatusCode::OK, page("degraded", &["a.", "b."]), "degraded\n  a.\n  b.\n", Outcome::Found),
            (StatusCode::SERVICE_UNAVAILABLE, page("stopping", &["c."]), "stopping\n  c.\n", Outcome::Found),
            (StatusCode::SERVICE_UNAVAILABLE, page("starting", &[]), "starting\n", Outcome::Found),
        ];
        for (status, page, text, expected) in cases {
            assert_eq!((shown(&page).as_str(), outcome(status, &page)), (text, expected));
        }
    }
}
