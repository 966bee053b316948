//! KCL applications as `tidelog group describe` shows them: workers, and the lease of each shard.

use std::time::Duration;

use serde_json::{Value, json};
use tidelog_proto::v1::DescribeApplicationResponse;
use tidelog_proto::v1::describe_application_response::{Leader, Lease, Worker};

use super::describe::{lag, records};
use super::subject::{behind, stream_words};
use crate::command::figures::count;
use crate::command::output::{Column, pairs, table};
use crate::command::shards::short;
use crate::command::tail::show::visible;
use crate::command::time::lasting;

fn span(millis: u64) -> String {
    lasting(Duration::from_millis(millis))
}

fn ago(millis: Option<u64>) -> String {
    millis.map_or_else(String::new, |millis| format!("{} ago", span(millis)))
}

fn life(worker: &Worker) -> &'static str {
    match worker.is_alive {
        Some(true) => "alive",
        Some(false) => "silent",
        None => "?",
    }
}

pub(super) fn as_json(name: &str, found: &DescribeApplicationResponse) -> Value {
    let worker = |worker: &Worker| {
        json!({
            "name": worker.name,
            "alive": worker.is_alive,
            "shards": worker.leases,
            "milliseconds_since_renewal": worker.renewed_ms,
        })
    };
    let lease = |lease: &Lease| {
        json!({
            "lease": lease.lease,
            "stream": Some(&lease.stream).filter(|stream| !stream.is_empty()),
            "shard": lease.shard_id,
            "state": state(lease),
            "worker": Some(&lease.worker).filter(|worker| !worker.is_empty()),
            "checkpoint": lease.checkpoint,
            "sub_sequence_number": lease.sub_sequence_number,
            "counter": lease.counter,
            "is_of_other_stream": lease.is_of_other_stream,
            "records_behind": lease.records_behind,
            "milliseconds_behind": lease.millis_behind,
            "milliseconds_since_renewal": lease.moved_ms,
            "milliseconds_since_checkpoint": lease.checkpoint_still_ms,
        })
    };
    let leader = |leader: &Leader| {
        json!({
            "worker": leader.worker,
            "milliseconds_silent": leader.silent_ms,
            "lock_milliseconds": leader.lock_ms,
        })
    };
    json!({
        "name": name,
        "kind": "kcl",
        "stream": found.streams,
        "stream_found_by": found.found_by().as_str_name().to_ascii_lowercase(),
        "tables": found.tables,
        "leader": found.leader.as_ref().map(leader),
        "milliseconds_watched": found.watched_ms,
        "owner_changes_in_last_minute": found.owner_moves,
        "members": found.workers.iter().map(worker).collect::<Vec<_>>(),
        "shards": found.leases.iter().map(lease).collect::<Vec<_>>(),
    })
}

fn state(lease: &Lease) -> &'static str {
    match lease {
        Lease { is_finished: true, .. } => "finished",
        Lease { is_of_other_stream: true, .. } => "foreign",
        Lease { worker, .. } if worker.is_empty() => "unowned",
        _ => "owned",
    }
}

pub(super) fn shown(name: &str, found: &DescribeApplicationResponse, width: Option<u16>) -> String {
    let (records_behind, millis_behind) = behind(found);
    let mut head = vec![
        ("application", name.to_owned()),
        ("kind", "kcl".to_owned()),
        ("stream", stream_words(found)),
        ("tables", found.tables.join(", ")),
        ("behind", format!("{} records, {}", records(records_behind), lag(millis_behind))),
    ];
    if let Some(leader) = &found.leader {
        let silent = leader.silent_ms.map(|millis| format!(", renewed its lock {} ago", span(millis)));
        head.push(("leader", visible(&leader.worker) + &silent.unwrap_or_default()));
    }
    let watched =
        found.watched_ms.map_or_else(|| "not known now".to_owned(), |millis| format!("for {}", span(millis)));
    head.push(("watched", watched));
    let workers = if found.workers.is_empty() { "no workers\n".into() } else { workers(found, width) };
    let (finished, open): (Vec<_>, Vec<_>) = found.leases.iter().partition(|lease| lease.is_finished);
    let mut text =
        format!("{}\n{workers}\n{}", pairs(&head, width), leases(&open, found.streams.len() > 1, width));
    if !finished.is_empty() {
        let named: Vec<_> = finished.iter().map(|lease| short(&lease.shard_id)).collect();
        text += &format!("\nprocessed to their end: {}\n", named.join(", "));
    }
    text
}

fn workers(found: &DescribeApplicationResponse, width: Option<u16>) -> String {
    let rows = found.workers.iter().map(|worker| {
        vec![visible(&worker.name), life(worker).into(), ago(worker.renewed_ms), count(worker.leases)]
    });
    let columns = [
        Column::Words("WORKER"),
        Column::Words("STATE"),
        Column::Words("RENEWED"),
        Column::Numbers("SHARDS"),
    ];
    table(&columns, rows.collect(), width)
}

fn leases(open: &[&Lease], has_streams: bool, width: Option<u16>) -> String {
    if open.is_empty() {
        return "no shard that is not finished\n".into();
    }
    let rows = open.iter().map(|lease| {
        let shard = short(&lease.shard_id);
        vec![
            if has_streams { format!("{}:{shard}", lease.stream) } else { shard.into() },
            state(lease).into(),
            visible(&lease.worker),
            visible(&lease.checkpoint),
            count(lease.sub_sequence_number),
            records(lease.records_behind),
            lag(lease.millis_behind),
        ]
    });
    let columns = [
        Column::Words("SHARD"),
        Column::Words("STATE"),
        Column::Words("OWNER"),
        Column::Words("CHECKPOINT"),
        Column::Numbers("SUB"),
        Column::Numbers("RECORDS BEHIND"),
        Column::Numbers("LAG"),
    ];
    table(&columns, rows.collect(), width)
}

#[cfg(test)]
pub(in crate::command) mod tests {
    use tidelog_proto::v1::describe_application_response::FoundBy;

    use super::*;

    /// An application with a worker that lives, one that does not, and a lease in each state.
    pub(in crate::command) fn application() -> DescribeApplicationResponse {
        let worker = |name: &str, is_alive, renewed_ms| Worker {
            name: name.into(),
            is_alive: Some(is_alive),
            leases: 1,
            renewed_ms,
        };
        let lease = |number: u32, worker: &str, checkpoint: &str, behind: Option<(u64, u64)>| Lease {
            lease: format!("shardId-{number:012}"),
            shard_id: format!("shardId-{number:012}"),
            stream: "clicks".into(),
            worker: worker.into(),
            checkpoint: checkpoint.into(),
            counter: "5".into(),
            records_behind: behind.map(|(records, _)| records),
            millis_behind: behind.map(|(_, millis)| millis),
            ..Lease::default()
        };
        let finished = Lease { is_finished: true, ..lease(0, "w-1", "SHARD_END", Some((0, 0))) };
        DescribeApplicationResponse {
            found_by: FoundBy::Shards.into(),
            streams: vec!["clicks".into()],
            tables: vec!["app".into()],
            workers: vec![worker("w-1", true, Some(2_000)), worker("w-2", false, None)],
            leases: vec![
                finished,
                lease(1, "w-1", "TRIM_HORIZON", Some((3, 90_000))),
                lease(2, "w-2", "LATEST", Some((0, 0))),
                lease(3, "", "TRIM_HORIZON", Some((1, 10))),
            ],
            leader: Some(Leader { worker: "w-2".into(), silent_ms: Some(70_000), lock_ms: 120_000 }),
            watched_ms: Some(600_000),
            owner_moves: Some(0),
        }
    }

    #[test]
    fn an_application_is_shown_with_finished_shards_apart() {
        let expected = "\
application  app
kind         kcl
stream       clicks (its shards are those of the leases)
tables       app
behind       4 records, 90 s
leader       w-2, renewed its lock 70 s ago
watched      for 10 min

WORKER  STATE   RENEWED  SHARDS
w-1     alive   2 s ago       1
w-2     silent                1

SHARD  STATE    OWNER  CHECKPOINT    SUB  RECORDS BEHIND    LAG
1      owned    w-1    TRIM_HORIZON    0               3   90 s
2      owned    w-2    LATEST          0               0   0 ms
3      unowned         TRIM_HORIZON    0               1  10 ms

processed to their end: 0
";
        assert_eq!(shown("app", &application(), None), expected);
        let json = as_json("app", &application());
        assert_eq!(
            (&json["shards"][0]["state"], &json["stream_found_by"]),
            (&json!("finished"), &json!("shards"))
        );
    }

    #[test]
    fn an_application_of_several_streams_says_which_ones_fit() {
        let mut found = application();
        found.found_by = FoundBy::Ambiguous.into();
        found.streams = vec!["clicks".into(), "views".into()];
        found.leases.iter_mut().for_each(|lease| lease.records_behind = None);
        let text = shown("app", &found, None);
        assert!(text.contains("one of clicks, views: name it") && text.contains("? records"), "{text}");
    }
}
