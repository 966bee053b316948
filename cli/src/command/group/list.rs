//! `tidelog group list`: ListGroups, and DescribeGroup for each.

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tidelog_proto::v1::DescribeGroupResponse;

use super::describe::{Standing, behind, described, standing};
use super::{Broker, CommandError, Output};
use crate::command::figures::count;
use crate::command::output::{Column, Screen, print, print_json, table};
use tidelog_client::Reason;

/// How many groups are asked about at once.
const ASKED_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct List {
    /// Name of the stream.
    #[arg(value_name = "STREAM")]
    stream: String,
}

impl List {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let names = match broker.groups(&self.stream).await {
            Ok(names) => names,
            Err(error) => return Err(broker.failed(&self.stream, None, error).await),
        };
        let asked = names.into_iter().map(|name| async {
            let group = described(broker, &self.stream, &name).await;
            (name, group)
        });
        let asked: Vec<_> = stream::iter(asked).buffered(ASKED_MAX).collect().await;
        let mut groups = Vec::with_capacity(asked.len());
        for (name, group) in asked {
            match group {
                Ok(group) => groups.push((name, group)),
                // Deleted in between.
                Err(error) if error.reason() == Reason::NotFound => {}
                Err(error) => return Err(broker.failed(&self.stream, Some(&name), error).await),
            }
        }
        match output {
            Output::Json => {
                print_json(&groups.iter().map(|(name, group)| as_json(name, group)).collect::<Vec<_>>())
            }
            Output::Table if groups.is_empty() => {
                eprintln!("no consumer groups of {}; one begins when its first member joins", self.stream);
                Ok(())
            }
            Output::Table => print(&shown(&groups, Screen::of_process().width)),
        }
    }
}

fn unowned(group: &DescribeGroupResponse) -> usize {
    group.shards.iter().filter(|shard| standing(shard) == Standing::Unowned).count()
}

fn as_json(name: &str, group: &DescribeGroupResponse) -> Value {
    let (records, millis) = behind(group);
    json!({
        "name": name,
        "members": group.members.len(),
        "shards": group.shards.len(),
        "unowned_shards": unowned(group),
        "records_behind": records,
        "milliseconds_behind": millis,
    })
}

fn shown(groups: &[(String, DescribeGroupResponse)], width: Option<u16>) -> String {
    let rows = groups.iter().map(|(name, group)| {
        let (records, millis) = behind(group);
        vec![
            name.clone(),
            count(group.members.len() as u64),
            count(group.shards.len() as u64),
            count(unowned(group) as u64),
            super::describe::records(records),
            super::describe::lag(millis),
        ]
    });
    let columns = [
        Column::Words("GROUP"),
        Column::Numbers("MEMBERS"),
        Column::Numbers("SHARDS"),
        Column::Numbers("UNOWNED"),
        Column::Numbers("RECORDS BEHIND"),
        Column::Numbers("LAG"),
    ];
    table(&columns, rows.collect(), width)
}

#[cfg(test)]
mod tests {
    use super::super::describe::tests::group;
    use super::*;

    #[test]
    fn a_group_is_as_far_behind_as_all_its_shards_and_the_latest_of_them() {
        let mut groups =
            vec![("billing".to_owned(), group()), ("mail".to_owned(), DescribeGroupResponse::default())];
        let expected = "\
GROUP    MEMBERS  SHARDS  UNOWNED  RECORDS BEHIND      LAG
billing        2       4        1           1,236  2.5 min
mail           0       0        0               0     0 ms
";
        assert_eq!(shown(&groups, None), expected);
        groups[0].1.shards[0].records_behind = None;
        let json = as_json("billing", &groups[0].1);
        assert_eq!((&json["records_behind"], &json["milliseconds_behind"]), (&Value::Null, &json!(150_000)));
    }
}
