//! How a cluster is, for people and for programs.

use serde_json::{Value, json};
use tidelog::cluster::administration::troubles;
use tidelog_proto::cluster::{GroupStatus, NodeStatus, StatusResponse};

use super::Output;
use super::table::{Align, lines};

/// The status as text.
pub(super) fn written(status: &StatusResponse, output: Output) -> String {
    match output {
        Output::Table => table(status),
        Output::Json => format!("{:#}\n", object(status)),
    }
}

fn table(status: &StatusResponse) -> String {
    let mut text = format!("cluster {}, as node {} sees it\n\n", status.cluster, status.node);
    let nodes: Vec<_> = status.nodes.iter().map(|node| node_row(node, &status.groups)).collect();
    let heads = [
        ("NODE", Align::Right),
        ("ADDRESS", Align::Left),
        ("ROLE", Align::Left),
        ("STATE", Align::Left),
        ("VERSION", Align::Left),
        ("LEADS", Align::Left),
    ];
    text += &lines(heads, &nodes);
    text.push('\n');
    let groups: Vec<_> = status.groups.iter().map(|group| group_row(group, status.node)).collect();
    let heads = [
        ("GROUP", Align::Right),
        ("LEADER", Align::Right),
        ("TERM", Align::Right),
        ("LAST", Align::Right),
        ("APPLIED", Align::Right),
        ("PURGED", Align::Right),
        ("BEHIND (NODE:ENTRIES)", Align::Left),
    ];
    text += &lines(heads, &groups);
    let notes = troubles(status);
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        text += &note;
        text.push('\n');
    }
    text
}

fn node_row(node: &NodeStatus, groups: &[GroupStatus]) -> [String; 6] {
    let led = groups.iter().filter(|group| group.leader == node.id);
    let led: Vec<String> = led.map(|group| group.group.to_string()).collect();
    let state = match (node.is_reachable, node.reluctance.is_empty()) {
        (true, true) => "up",
        (true, false) => "degraded",
        (false, _) => "unreachable",
    };
    [
        node.id.to_string(),
        node.address.clone(),
        if node.is_voter { "voter" } else { "learner" }.into(),
        state.into(),
        node.version.clone(),
        led.join(" "),
    ]
}

fn group_row(group: &GroupStatus, own: u64) -> [String; 7] {
    let others = group.match_indexes.iter().filter(|matched| matched.node != own);
    let behind: Vec<String> = others
        .map(|matched| format!("{}:{}", matched.node, group.last_index.saturating_sub(matched.index)))
        .collect();
    [
        group.group.to_string(),
        if group.leader == 0 { "none".into() } else { group.leader.to_string() },
        group.term.to_string(),
        group.last_index.to_string(),
        group.applied_index.to_string(),
        group.purged_index.to_string(),
        behind.join(" "),
    ]
}

fn object(status: &StatusResponse) -> Value {
    let node = |node: &NodeStatus| {
        json!({
            "id": node.id,
            "address": node.address,
            "incarnation": node.incarnation,
            "is_voter": node.is_voter,
            "is_reachable": node.is_reachable,
            "version": node.version,
            "reluctance": node.reluctance,
            "stands_still_in": node.stalled_groups,
        })
    };
    let group = |group: &GroupStatus| {
        let matched = group.match_indexes.iter().map(|at| json!({ "node": at.node, "index": at.index }));
        json!({
            "group": group.group,
            "leader": (group.leader != 0).then_some(group.leader),
            "term": group.term,
            "last_index": group.last_index,
            "applied_index": group.applied_index,
            "purged_index": group.purged_index,
            "matched": matched.collect::<Vec<_>>(),
        })
    };
    json!({
        "cluster": status.cluster,
        "node": status.node,
        "nodes": status.nodes.iter().map(node).collect::<Vec<_>>(),
        "groups": status.groups.iter().map(group).collect::<Vec<_>>(),
    })
}
