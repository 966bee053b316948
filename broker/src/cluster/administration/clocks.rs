//! The clocks of a cluster's nodes, each asked just now.

use tidelog_proto::cluster::NodeStatus;

use super::Administration;
use crate::clock::bounded::median;

/// The nodes with their clocks, and the judgement of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clocks {
    /// Every member.
    pub nodes: Vec<NodeStatus>,
    /// The median of the voters' clocks that can be right, if a majority of the voters has one.
    pub median_ms: Option<u64>,
    /// The newest arrival time of any record on a node that answered, 0 for none.
    pub newest_ms: u64,
}

impl Administration {
    /// The clocks of all nodes.
    pub async fn clocks(&self) -> Clocks {
        of_nodes(self.status().await.nodes, self.groups.clock().earliest_ms())
    }
}

fn of_nodes(nodes: Vec<NodeStatus>, earliest_ms: u64) -> Clocks {
    let voters = nodes.iter().filter(|node| node.is_voter);
    let can_be_right = |clock_ms: &u64| *clock_ms > 0 && *clock_ms >= earliest_ms;
    let clocks: Vec<u64> = voters.clone().map(|node| node.clock_ms).filter(can_be_right).collect();
    let median_ms = if clocks.len() * 2 > voters.count() { median(clocks) } else { None };
    let newest_ms = nodes.iter().map(|node| node.newest_ms).max().unwrap_or(0);
    Clocks { nodes, median_ms, newest_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_takes_a_majority_of_clocks_that_can_be_right() {
        let clocks = |clocks: &[u64]| {
            let node = |(id, clock_ms): (u64, &u64)| NodeStatus {
                id,
                clock_ms: *clock_ms,
                newest_ms: *clock_ms / 2,
                is_voter: id < 4,
                ..NodeStatus::default()
            };
            of_nodes((1..).zip(clocks).map(node).collect(), 100)
        };
        for (given, expected) in [
            (&[500][..], Some(500)),
            (&[99], None),
            (&[500, 300], Some(300)),
            (&[500, 0], None),
            (&[500, 0, 300], Some(300)),
            (&[500, 0, 7], None),
            (&[500, 400, 300, 9_000], Some(400)),
        ] {
            assert_eq!(clocks(given).median_ms, expected, "{given:?}");
        }
        assert_eq!(clocks(&[500, 400, 300, 9_000]).newest_ms, 4_500);
    }
}
