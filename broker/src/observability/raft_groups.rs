//! Series of single Raft groups on the page of metrics: their terms, and the entries that other nodes lack.
//!
//! There are as many as groups and pairs of a group and a node. They are rendered from a snapshot, because a leader
//! that steps down no longer reports the entries of others. The page calls this.

use std::fmt::Write;

use super::GROUP_LEVEL;

/// A group as this node sees it.
#[derive(Debug)]
pub struct GroupRow {
    /// The group.
    pub group: u8,
    /// The newest term of the group.
    pub term: u64,
    /// The entries that each other node lacks, where this node leads the group.
    pub behind: Vec<(u64, u64)>,
}

/// The series of all groups; a metric without a series is left out.
pub fn page(groups: &[GroupRow]) -> String {
    let [term, behind] = GROUP_LEVEL;
    let mut out = String::new();
    let never = "writing to memory cannot fail";
    if !groups.is_empty() {
        out.push_str(&term.head());
    }
    for GroupRow { group, term: value, .. } in groups {
        writeln!(out, "{}{{group=\"{group}\"}} {value}", term.name).expect(never);
    }
    if groups.iter().any(|row| !row.behind.is_empty()) {
        out.push_str(&behind.head());
    }
    for GroupRow { group, behind: others, .. } in groups {
        for (node, entries) in others {
            writeln!(out, "{}{{group=\"{group}\",node=\"{node}\"}} {entries}", behind.name).expect(never);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_reports_the_others_and_a_follower_its_term() {
        let led = GroupRow { group: 0, term: 3, behind: vec![(2, 0), (3, 17)] };
        let followed = GroupRow { group: 1, term: 4, behind: Vec::new() };
        let page = page(&[led, followed]);
        let series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "tidelog_group_term{group=\"0\"} 3",
                "tidelog_group_term{group=\"1\"} 4",
                "tidelog_group_behind_entries{group=\"0\",node=\"2\"} 0",
                "tidelog_group_behind_entries{group=\"0\",node=\"3\"} 17",
            ]
        );
        assert_eq!(page.matches("# TYPE").count(), 2, "{page}");
    }

    #[test]
    fn a_metric_without_series_is_left_out() {
        assert_eq!(page(&[]), "");
        let alone = [GroupRow { group: 0, term: 1, behind: Vec::new() }];
        assert!(!page(&alone).contains("behind"));
    }
}
