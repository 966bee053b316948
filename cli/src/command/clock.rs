//! `tidelog clock`: ClockStatus, and AcceptClocks for an operator's word that the clocks are right.

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidelog_proto::v1::clock_status_response::Node;
use tidelog_proto::v1::{AcceptClocksRequest, ClockStatusRequest, ClockStatusResponse};

use super::native::Broker;
use super::output::{Column, Screen, pairs, print, print_json, table};
use super::{CommandError, EXIT_CODES, Outcome, Output, Shared};

/// The reason why these commands need Tidelog, for a refusal.
const NEEDED: &str = "The clocks of AWS and of emulators are their own";
/// Milliseconds by which two clocks are in step for people.
const IN_STEP_MS: u64 = 1_000;

/// Arguments of `tidelog clock`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct ClockArguments {
    #[command(subcommand)]
    action: Option<Actions>,

    #[command(flatten)]
    shared: Shared,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Actions {
    /// Show the clock of each node, and the times that the broker goes by (without a command as well).
    Show,
    /// Declare the clocks right: records that have expired by their median are deleted for good within seconds.
    ///
    /// After a clock has leapt the broker goes by the time that has passed, and deletes nothing by the new time before
    /// as much time has passed again. It delays the deletion of records that expired while the machine was off in the
    /// same way. This command skips both waits. Check the clocks first.
    Accept,
}

impl ClockArguments {
    pub(super) async fn carry_out(&self) -> Result<Outcome, CommandError> {
        let broker = Broker::of(&self.shared, NEEDED)?;
        let node = broker.connection.node();
        let is_accepted = self.action == Some(Actions::Accept);
        let answer = if is_accepted {
            node.answer(node.cluster().accept_clocks(node.request(AcceptClocksRequest {}))).await
        } else {
            node.answer(node.cluster().clock_status(node.request(ClockStatusRequest {}))).await
        };
        let status = match answer {
            Ok(status) => status,
            Err(error) => return Err(broker.failed("", None, error).await),
        };
        match self.shared.output {
            Output::Json => print_json(&as_json(&status, is_accepted))?,
            Output::Table if is_accepted => {
                let median = status.median_ms.map(instant).unwrap_or_default();
                print(&format!("accepted {median}: records that have expired by then are deleted\n"))?;
            }
            Output::Table => print(&shown(&status, Screen::of_process().width))?,
        }
        Ok(Outcome::Done)
    }
}

fn instant(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{time_ms} ms"), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn as_json(status: &ClockStatusResponse, is_accepted: bool) -> Value {
    let node = |node: &Node| {
        json!({
            "id": node.id,
            "is_voter": node.is_voter,
            "clock": node.clock_ms.map(instant),
            "trouble": node.trouble,
        })
    };
    json!({
        "accepted": is_accepted,
        "nodes": status.nodes.iter().map(node).collect::<Vec<_>>(),
        "median": status.median_ms.map(instant),
        "served_time": status.served_ms.map(instant),
        "retention_clock": status.retention_ms.map(instant),
    })
}

fn shown(status: &ClockStatusResponse, width: Option<u16>) -> String {
    let row = |node: &Node| {
        let clock = node.clock_ms.map_or_else(|| "no answer".to_owned(), instant);
        vec![node.id.to_string(), clock, node.trouble.clone()]
    };
    let rows = status.nodes.iter().map(row).collect();
    let columns = [Column::Numbers("NODE"), Column::Words("CLOCK"), Column::Words("TROUBLE")];
    let against = |time_ms: Option<u64>| against_median(time_ms, status.median_ms);
    let times = [
        ("median of the voters", status.median_ms.map_or_else(|| "not known".to_owned(), instant)),
        ("served time", against(status.served_ms)),
        ("retention clock", against(status.retention_ms)),
    ];
    format!("{}\n{}", table(&columns, rows, width), pairs(&times, width))
}

/// A time, and how far it is from the median.
fn against_median(time_ms: Option<u64>, median_ms: Option<u64>) -> String {
    let Some(time_ms) = time_ms else { return "not known".to_owned() };
    let time = instant(time_ms);
    let Some(median_ms) = median_ms.filter(|median_ms| median_ms.abs_diff(time_ms) > IN_STEP_MS) else {
        return time;
    };
    let span = super::time::lasting(std::time::Duration::from_millis(median_ms.abs_diff(time_ms)));
    format!("{time} ({span} {})", if time_ms < median_ms { "behind" } else { "ahead" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_shown_with_their_faults_and_offsets() {
        const NOW_MS: u64 = 1_790_000_000_000;
        let node =
            |id, clock_ms, trouble: &str| Node { id, is_voter: true, clock_ms, trouble: trouble.into() };
        let status = ClockStatusResponse {
            nodes: vec![node(1, Some(NOW_MS), ""), node(2, Some(7), "it is wrong"), node(3, None, "")],
            median_ms: Some(NOW_MS),
            served_ms: Some(NOW_MS - 500),
            retention_ms: Some(NOW_MS - 10 * 86_400_000),
        };
        let text = shown(&status, None);
        for expected in ["no answer", "it is wrong", "1970-01-01", "behind)"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert_eq!(text.matches("behind").count(), 1, "{text}");
        assert_eq!(as_json(&status, true)["nodes"][2]["clock"], Value::Null);
    }
}
