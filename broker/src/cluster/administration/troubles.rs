//! Faults of a cluster, in sentences for an operator: read from its status, nothing else.
//!
//! `/health` and `tidelog cluster status` show them.

use tidelog_proto::cluster::{NodeStatus, StatusResponse};

/// Everything that an operator should know of, worst first.
pub fn troubles(status: &StatusResponse) -> Vec<String> {
    let voters: Vec<&NodeStatus> = status.nodes.iter().filter(|node| node.is_voter).collect();
    let silent: Vec<u64> =
        status.nodes.iter().filter(|node| !node.is_reachable).map(|node| node.id).collect();
    let up = voters.iter().filter(|node| node.is_reachable).count();
    let majority = voters.len() / 2 + 1;
    let has_majority = up >= majority;
    let mut found = Vec::new();
    if !has_majority {
        found.push(format!(
            "No majority: {up} of {} voters can be reached and {majority} are needed. Puts are refused until then.",
            voters.len()
        ));
    }
    if !silent.is_empty() {
        found.push(format!("Without an answer: {}.", nodes(&silent)));
    }
    let is_led = |leader: u64| leader != 0 && !silent.contains(&leader);
    let leaderless = status.groups.iter().filter(|group| !is_led(group.leader));
    let leaderless: Vec<String> = leaderless.map(|group| group.group.to_string()).collect();
    if !leaderless.is_empty() && has_majority {
        found.push(format!("Groups without a leader right now: {}.", leaderless.join(", ")));
    }
    let still = status.nodes.iter().filter(|node| node.is_reachable && !node.stalled_groups.is_empty());
    found.extend(still.map(|node| {
        let groups: Vec<String> = node.stalled_groups.iter().map(ToString::to_string).collect();
        format!(
            "Node {} takes no entries of groups {} although more are committed.",
            node.id,
            groups.join(", ")
        )
    }));
    let reluctant = status.nodes.iter().filter(|node| !node.reluctance.is_empty());
    found.extend(reluctant.map(|node| format!("Node {} is degraded: {}.", node.id, node.reluctance)));
    let wrong = status.nodes.iter().filter(|node| !node.clock_trouble.is_empty());
    found.extend(wrong.map(|node| format!("Node {}: {}.", node.id, node.clock_trouble)));
    found
}

fn nodes(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{} {}", if ids.len() == 1 { "node" } else { "nodes" }, ids.join(", "))
}

#[cfg(test)]
mod tests {
    use tidelog_proto::cluster::GroupStatus;

    use super::*;

    #[test]
    fn faults_are_found_and_nothing_else() {
        let status = |silent: &[u64], leaders: &[u64], reluctance: &str| StatusResponse {
            cluster: "c".into(),
            node: 1,
            nodes: (1..=3)
                .map(|id| NodeStatus {
                    id,
                    is_voter: true,
                    is_reachable: !silent.contains(&id),
                    reluctance: if id == 1 { reluctance.into() } else { String::new() },
                    ..NodeStatus::default()
                })
                .collect(),
            groups: (0..)
                .zip(leaders)
                .map(|(group, leader)| GroupStatus { group, leader: *leader, ..GroupStatus::default() })
                .collect(),
        };
        let still = |mut status: StatusResponse| {
            status.nodes[2].stalled_groups = vec![1, 4];
            status
        };
        let cases: &[(StatusResponse, &[&str])] = &[
            (status(&[], &[1, 2, 3], ""), &[]),
            (status(&[3], &[1, 2, 1], ""), &["Without an answer: node 3."]),
            (
                status(&[3], &[1, 3, 0], ""),
                &["Without an answer: node 3.", "Groups without a leader right now: 1, 2."],
            ),
            (
                status(&[2, 3], &[2, 2, 2], ""),
                &[
                    "No majority: 1 of 3 voters can be reached and 2 are needed. Puts are refused until then.",
                    "Without an answer: nodes 2, 3.",
                ],
            ),
            (status(&[], &[2, 2, 3], "stopping"), &["Node 1 is degraded: stopping."]),
            (
                still(status(&[], &[2, 2, 3], "")),
                &["Node 3 takes no entries of groups 1, 4 although more are committed."],
            ),
            (still(status(&[3], &[2, 2, 2], "")), &["Without an answer: node 3."]),
        ];
        for (status, expected) in cases {
            assert_eq!(troubles(status), *expected);
        }
    }
}
