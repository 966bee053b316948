//! Waiting for a state of the cluster: asks again until it has come, or the time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use tidelog::cluster::administration::troubles;
use tidelog_proto::cluster::{GroupStatus, StatusResponse};
use tokio::time::{Instant, sleep};

use super::{ClusterClientError, ClusterCommand, Wait, Waiting};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Last index of each group, by its leader.
type Ends = BTreeMap<u32, u64>;

/// The first status in which the state has come; the last one that was had when the time is over before.
///
/// # Errors
/// [`ClusterClientError`] when no node has answered within the time, and at once where no later answer would differ.
pub(super) async fn wait(
    command: &ClusterCommand,
    waiting: &Waiting,
) -> Result<(StatusResponse, bool), ClusterClientError> {
    let deadline = Instant::now() + waiting.patience;
    let mut ends = None;
    loop {
        let seen = look(command, waiting.state, &mut ends).await;
        let is_over = Instant::now() + LOOK_EVERY >= deadline;
        match seen {
            Ok((status, true)) => return Ok((status, true)),
            Ok((status, false)) if is_over => return Ok((status, false)),
            Err(error) if is_over || !error.may_pass() => return Err(error),
            Ok(_) | Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// A status, and whether it is the awaited one. `ends` is where the groups ended at the look before.
async fn look(
    command: &ClusterCommand,
    state: Wait,
    ends: &mut Option<Ends>,
) -> Result<(StatusResponse, bool), ClusterClientError> {
    let status = command.reach(&command.at).await?.status().await?;
    if !troubles(&status).is_empty() {
        *ends = None;
        return Ok((status, false));
    }
    let has_come = match state {
        Wait::Healthy => true,
        Wait::CaughtUp => {
            let led = led(command, &status).await?;
            // A leader that moved between two answers is in neither, or in both.
            let is_complete = led.len() == status.groups.len();
            let has_caught_up = is_complete && ends.as_ref().is_some_and(|ends| have_reached(&led, ends));
            *ends = is_complete.then(|| led.iter().map(|group| (group.group, group.last_index)).collect());
            has_caught_up
        }
    };
    Ok((status, has_come))
}

/// Every group as its leader sees it: only the leader knows the positions of the other nodes.
async fn led(
    command: &ClusterCommand,
    status: &StatusResponse,
) -> Result<Vec<GroupStatus>, ClusterClientError> {
    let mut led = Vec::new();
    for node in &status.nodes {
        let seen = if node.id == status.node || node.address.is_empty() {
            status.clone()
        } else {
            command.reach(&node.address).await?.status().await?
        };
        led.extend(seen.groups.into_iter().filter(|group| group.leader == node.id));
    }
    Ok(led)
}

/// Whether each node has everything up to the ends of the look before. Under load the ends of now are always ahead.
fn have_reached(led: &[GroupStatus], ends: &Ends) -> bool {
    led.len() == ends.len()
        && led.iter().all(|group| {
            let end = ends.get(&group.group).copied().unwrap_or(u64::MAX);
            group.match_indexes.iter().all(|matched| matched.index >= end)
        })
}

#[cfg(test)]
mod tests {
    use tidelog_proto::cluster::MatchIndex;

    use super::*;

    #[test]
    fn a_node_has_caught_up_when_it_has_what_was_there_before() {
        let group = |last_index, others: &[u64]| GroupStatus {
            group: 1,
            last_index,
            match_indexes: others.iter().map(|index| MatchIndex { node: 2, index: *index }).collect(),
            ..GroupStatus::default()
        };
        let ends = Ends::from([(1, 100)]);
        for (led, expected) in [
            (vec![group(150, &[100, 149])], true),
            (vec![group(150, &[99, 150])], false),
            (vec![group(150, &[])], true),
            (vec![], false),
        ] {
            assert_eq!(have_reached(&led, &ends), expected, "{led:?}");
        }
        assert!(!have_reached(&[GroupStatus { group: 2, ..group(1, &[1]) }], &ends));
    }
}
