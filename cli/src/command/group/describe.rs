//! `tidelog group describe`: DescribeGroup and DescribeApplication. The other commands, and the doctor, look at groups
//! by it too.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidelog_proto::v1::describe_group_response::{Member, Shard};
use tidelog_proto::v1::{DescribeGroupRequest, DescribeGroupResponse, Position, position};

use super::application;
use super::subject::{Named, Subject};
use super::{Broker, CommandError, Output};
use crate::command::figures::count;
use crate::command::output::{Column, Screen, pairs, print, print_json, table};
use crate::command::shards::short;
use crate::command::tail::show::visible;
use crate::command::time::{lasting, written};
use tidelog_client::Error;
use tidelog_kinesis::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Describe {
    #[command(flatten)]
    named: Named,
}

impl Describe {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let name = self.named.group.as_str();
        let width = Screen::of_process().width;
        match (self.named.subject(broker).await?, output) {
            (Subject::Group(stream, found), Output::Json) => print_json(&as_json((&stream, name), &found)),
            (Subject::Group(stream, found), Output::Table) => print(&shown((&stream, name), &found, width)),
            (Subject::Application(found), Output::Json) => print_json(&application::as_json(name, &found)),
            (Subject::Application(found), Output::Table) => print(&application::shown(name, &found, width)),
        }
    }
}

/// How the group is.
pub(in crate::command) async fn described(
    broker: &Broker,
    stream: &str,
    group: &str,
) -> Result<DescribeGroupResponse, Error> {
    let node = broker.connection.node();
    let message = DescribeGroupRequest { stream: stream.to_owned(), group: group.to_owned() };
    node.answer(node.groups().describe_group(node.request(message))).await
}

/// Where a group stands with one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Standing {
    /// A member has it.
    Owned,
    /// Nobody has it, and somebody could.
    Unowned,
    /// The shard's parents are not finished.
    Waiting,
    /// The shard was processed to its end.
    Finished,
}

pub(in crate::command) fn standing(shard: &Shard) -> Standing {
    match shard {
        Shard { is_finished: true, .. } => Standing::Finished,
        Shard { is_waiting: true, .. } => Standing::Waiting,
        Shard { member_id, .. } if member_id.is_empty() => Standing::Unowned,
        _ => Standing::Owned,
    }
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Owned => "owned",
            Self::Unowned => "unowned",
            Self::Waiting => "waiting",
            Self::Finished => "finished",
        }
    }
}

/// Records behind in all shards and milliseconds in the one that is behind the most. The records are known when those
/// of every shard are, the milliseconds when those of any are.
pub(super) fn behind(group: &DescribeGroupResponse) -> (Option<u64>, Option<u64>) {
    let records = group.shards.iter().map(|shard| shard.records_behind).sum();
    let millis = group.shards.iter().filter_map(|shard| shard.millis_behind).max();
    (records, if group.shards.is_empty() { Some(0) } else { millis })
}

pub(super) fn records(number: Option<u64>) -> String {
    number.map_or_else(|| "?".into(), count)
}

pub(super) fn lag(millis: Option<u64>) -> String {
    millis.map_or_else(|| "?".into(), |millis| lasting(Duration::from_millis(millis)))
}

/// Names for the members, by id: a member's name, with the id where others have the same name.
fn owner_names(members: &[Member]) -> BTreeMap<&str, String> {
    let is_unique = |name: &str| members.iter().filter(|member| member.name == name).count() == 1;
    let called = |member: &Member| match member.name.as_str() {
        "" => member.member_id.clone(),
        name if is_unique(name) => visible(name),
        name => format!("{} ({})", visible(name), member.member_id),
    };
    members.iter().map(|member| (member.member_id.as_str(), called(member))).collect()
}

fn time(time: prost_types::Timestamp) -> String {
    written(Timestamp(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)))
}

fn describe_position(position: Option<&Position>) -> String {
    match position.and_then(|position| position.at.as_ref()) {
        Some(position::At::TrimHorizon(_)) | None => "oldest record".into(),
        Some(position::At::Latest(_)) => "latest".into(),
        Some(position::At::AtSequenceNumber(number)) => format!("at {number}"),
        Some(position::At::AfterSequenceNumber(number)) => format!("after {number}"),
        Some(position::At::AtTimestamp(at)) => format!("at {}", time(*at)),
    }
}

fn position_as_json(position: Option<&Position>) -> Value {
    match position.and_then(|position| position.at.as_ref()) {
        Some(position::At::TrimHorizon(_)) | None => json!("trim_horizon"),
        Some(position::At::Latest(_)) => json!("latest"),
        Some(position::At::AtSequenceNumber(number)) => json!({ "at_sequence_number": number }),
        Some(position::At::AfterSequenceNumber(number)) => json!({ "after_sequence_number": number }),
        Some(position::At::AtTimestamp(at)) => json!({ "at_timestamp": time(*at) }),
    }
}

fn as_json((stream, name): (&str, &str), group: &DescribeGroupResponse) -> Value {
    let member = |member: &Member| {
        let shards = group.shards.iter().filter(|shard| shard.member_id == member.member_id);
        json!({
            "id": member.member_id,
            "name": member.name,
            "joined": member.joined.map(time),
            "shards": shards.map(|shard| &shard.shard_id).collect::<Vec<_>>(),
        })
    };
    let shard = |shard: &Shard| {
        json!({
            "shard": shard.shard_id,
            "state": standing(shard).word(),
            "member_id": Some(&shard.member_id).filter(|id| !id.is_empty()),
            "epoch": shard.epoch,
            "position": position_as_json(shard.from.as_ref()),
            "records_behind": shard.records_behind,
            "milliseconds_behind": shard.millis_behind,
        })
    };
    json!({
        "stream": stream,
        "name": name,
        "kind": "tidelog",
        "lease_milliseconds": group.lease_ms,
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "shards": group.shards.iter().map(shard).collect::<Vec<_>>(),
    })
}

fn shown((stream, name): (&str, &str), group: &DescribeGroupResponse, width: Option<u16>) -> String {
    let (records_behind, millis_behind) = behind(group);
    let head = [
        ("group", name.to_owned()),
        ("stream", stream.to_owned()),
        ("lease", lasting(Duration::from_millis(group.lease_ms.into()))),
        ("behind", format!("{} records, {}", records(records_behind), lag(millis_behind))),
    ];
    let members = if group.members.is_empty() { "no members\n".into() } else { members(group, width) };
    format!("{}\n{members}\n{}", pairs(&head, width), shards(group, width))
}

fn members(group: &DescribeGroupResponse, width: Option<u16>) -> String {
    let rows = group.members.iter().map(|member| {
        let own = group.shards.iter().filter(|shard| shard.member_id == member.member_id).count();
        vec![
            visible(&member.name),
            member.member_id.clone(),
            member.joined.map(time).unwrap_or_default(),
            count(own as u64),
        ]
    });
    let columns =
        [Column::Words("MEMBER"), Column::Words("ID"), Column::Words("JOINED"), Column::Numbers("SHARDS")];
    table(&columns, rows.collect(), width)
}

fn shards(group: &DescribeGroupResponse, width: Option<u16>) -> String {
    let names = owner_names(&group.members);
    let rows = group.shards.iter().map(|shard| {
        let standing = standing(shard);
        let owner = names.get(shard.member_id.as_str()).cloned().unwrap_or_default();
        vec![
            short(&shard.shard_id).into(),
            standing.word().into(),
            owner,
            if standing == Standing::Finished {
                String::new()
            } else {
                describe_position(shard.from.as_ref())
            },
            records(shard.records_behind),
            lag(shard.millis_behind),
        ]
    });
    let columns = [
        Column::Words("SHARD"),
        Column::Words("STATE"),
        Column::Words("OWNER"),
        Column::Words("POSITION"),
        Column::Numbers("RECORDS BEHIND"),
        Column::Numbers("LAG"),
    ];
    table(&columns, rows.collect(), width)
}

#[cfg(test)]
pub(in crate::command) mod tests {
    use tidelog_proto::v1::TrimHorizon;

    use super::*;

    /// Two members of one name, and a shard in each state.
    pub(in crate::command) fn group() -> DescribeGroupResponse {
        let member = |id: &str| Member {
            member_id: id.into(),
            name: "host".into(),
            joined: Some(prost_types::Timestamp { seconds: 1_772_366_400, nanos: 250_000_000 }),
        };
        let shard = |number: u32, member: &str, at, records, millis| Shard {
            shard_id: format!("shardId-{number:012}"),
            member_id: member.into(),
            epoch: 3,
            from: Some(Position { at: Some(at) }),
            records_behind: Some(records),
            millis_behind: Some(millis),
            ..Shard::default()
        };
        let oldest = || position::At::TrimHorizon(TrimHorizon {});
        let finished = Shard { is_finished: true, ..shard(0, "", oldest(), 0, 0) };
        let waiting = Shard { is_waiting: true, ..shard(3, "", oldest(), 1, 20) };
        let owned = shard(1, "7", position::At::AfterSequenceNumber("4959".into()), 1_234, 150_000);
        let unowned = shard(2, "", position::At::AtTimestamp(prost_types::Timestamp::default()), 1, 1_000);
        DescribeGroupResponse {
            lease_ms: 10_000,
            members: vec![member("7"), member("8")],
            shards: vec![finished, owned, unowned, waiting],
        }
    }

    const NAMED: (&str, &str) = ("clicks", "billing");

    #[test]
    fn a_group_is_shown_with_its_members_and_every_state_of_a_shard() {
        let expected = "\
group   billing
stream  clicks
lease   10 s
behind  1,236 records, 2.5 min

MEMBER  ID  JOINED                    SHARDS
host    7   2026-03-01T12:00:00.250Z       1
host    8   2026-03-01T12:00:00.250Z       0

SHARD  STATE     OWNER     POSITION                     RECORDS BEHIND      LAG
0      finished                                                      0     0 ms
1      owned     host (7)  after 4959                            1,234  2.5 min
2      unowned             at 1970-01-01T00:00:00.000Z               1      1 s
3      waiting             oldest record                             1    20 ms
";
        assert_eq!(shown(NAMED, &group(), None), expected);
        let json = as_json(NAMED, &group());
        assert_eq!(json["members"][0]["shards"], json!(["shardId-000000000001"]));
        let states: Vec<_> =
            (0..4).map(|at| json["shards"][at]["state"].as_str().unwrap_or_default()).collect();
        assert_eq!(states, ["finished", "owned", "unowned", "waiting"]);
        assert_eq!(json["shards"][1]["position"], json!({ "after_sequence_number": "4959" }));
    }

    #[test]
    fn unknown_figures_are_not_shown_as_zero() {
        let mut group = group();
        group.members.clear();
        group.shards[1].member_id.clear();
        group.shards[1].records_behind = None;
        group.shards[1].millis_behind = None;
        let text = shown(NAMED, &group, None);
        assert!(text.contains("behind  ? records, 1 s") && text.contains("no members"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("1      unowned") && line.ends_with('?')), "{text}");
    }
}
