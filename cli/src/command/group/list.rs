//! `tidelog group list`: ListGroups and ListApplications, and the description of each.

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tidelog_proto::v1::{DescribeApplicationResponse, DescribeGroupResponse, ListStreamsRequest};

use super::describe::{Standing, behind, described, standing};
use super::subject::{self, Kind, alive, application, applications, failed, stream_cell};
use super::{Broker, CommandError, Output};
use crate::command::figures::count;
use crate::command::output::{Column, Screen, print, print_json, table};
use tidelog_client::{Error, Reason};

/// How many groups are asked about at once.
const ASKED_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct List {
    /// Name of the stream; all streams without it.
    #[arg(value_name = "STREAM")]
    stream: Option<String>,
}

/// A group as a row.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    stream: String,
    name: String,
    kind: Kind,
    members: Option<usize>,
    shards: usize,
    unowned: usize,
    records: Option<u64>,
    millis: Option<u64>,
}

impl List {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let streams = match &self.stream {
            Some(stream) => vec![stream.clone()],
            None => match streams(broker).await {
                Ok(streams) => streams,
                Err(error) => return Err(broker.failed("", None, error).await),
            },
        };
        let mut rows = Vec::new();
        for stream in &streams {
            rows.extend(groups(broker, stream).await?);
        }
        rows.extend(kcl(broker, self.stream.as_deref()).await?);
        match output {
            Output::Json => print_json(&rows.iter().map(as_json).collect::<Vec<_>>()),
            Output::Table if rows.is_empty() => {
                let of = self.stream.as_ref().map_or_else(String::new, |stream| format!(" of {stream}"));
                eprintln!("no consumer groups{of}; one begins when its first member joins");
                Ok(())
            }
            Output::Table => print(&shown(&rows, self.stream.is_none(), Screen::of_process().width)),
        }
    }
}

/// Names of all streams of the account and region.
async fn streams(broker: &Broker) -> Result<Vec<String>, Error> {
    let node = broker.connection.node();
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListStreamsRequest { page_size: 0, page_token };
        let page = node.answer(node.streams().list_streams(node.request(message))).await?;
        names.extend(page.names);
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        page_token = page.next_page_token;
    }
}

/// The consumer groups of a stream.
async fn groups(broker: &Broker, stream: &str) -> Result<Vec<Row>, CommandError> {
    let names = match broker.groups(stream).await {
        Ok(names) => names,
        Err(error) => return Err(broker.failed(stream, None, error).await),
    };
    let asked = names.into_iter().map(|name| async {
        let group = described(broker, stream, &name).await;
        (name, group)
    });
    let asked: Vec<_> = stream::iter(asked).buffered(ASKED_MAX).collect().await;
    let mut rows = Vec::with_capacity(asked.len());
    for (name, group) in asked {
        match group {
            Ok(group) => rows.push(of_group(stream, name, &group)),
            // Deleted in between.
            Err(error) if error.reason() == Reason::NotFound => {}
            Err(error) => return Err(broker.failed(stream, Some(&name), error).await),
        }
    }
    Ok(rows)
}

/// The KCL applications, or those that may read one stream.
async fn kcl(broker: &Broker, stream: Option<&str>) -> Result<Vec<Row>, CommandError> {
    let names = match applications(broker).await {
        Ok(names) => names,
        // A broker without lease tables.
        Err(error) if error.reason() == Reason::Refused => return Ok(Vec::new()),
        Err(error) => return Err(failed(broker, "KCL applications", error).await),
    };
    let asked = names.into_iter().map(|name| async {
        let found = application(broker, None, &name).await;
        (name, found)
    });
    let asked: Vec<_> = stream::iter(asked).buffered(ASKED_MAX).collect().await;
    let mut rows = Vec::new();
    for (name, found) in asked {
        match found {
            Ok(found) if may_read(&found, stream) => rows.push(of_application(name, &found)),
            Ok(_) => {}
            Err(error) if error.reason() == Reason::NotFound => {}
            Err(error) => return Err(failed(broker, &name, error).await),
        }
    }
    Ok(rows)
}

/// Whether an application reads a stream, which has a name or an ARN, as far as is known.
pub(in crate::command) fn may_read(found: &DescribeApplicationResponse, stream: Option<&str>) -> bool {
    let name = stream.and_then(|stream| stream.rsplit('/').next());
    name.is_none_or(|name| found.streams.iter().any(|own| own == name))
}

fn of_group(stream: &str, name: String, group: &DescribeGroupResponse) -> Row {
    let (records, millis) = behind(group);
    Row {
        stream: stream.to_owned(),
        name,
        kind: Kind::Tidelog,
        members: Some(group.members.len()),
        shards: group.shards.len(),
        unowned: group.shards.iter().filter(|shard| standing(shard) == Standing::Unowned).count(),
        records,
        millis,
    }
}

fn of_application(name: String, found: &DescribeApplicationResponse) -> Row {
    let (records, millis) = subject::behind(found);
    Row {
        stream: stream_cell(found),
        name,
        kind: Kind::Kcl,
        members: alive(found),
        shards: found.leases.len(),
        unowned: subject::unowned(found).len(),
        records,
        millis,
    }
}

fn as_json(row: &Row) -> Value {
    json!({
        "stream": row.stream,
        "name": row.name,
        "kind": row.kind.word(),
        "members": row.members,
        "shards": row.shards,
        "unowned_shards": row.unowned,
        "records_behind": row.records,
        "milliseconds_behind": row.millis,
    })
}

fn shown(rows: &[Row], has_streams: bool, width: Option<u16>) -> String {
    let cells = rows.iter().map(|row| {
        let stream = has_streams.then(|| row.stream.clone());
        let rest = [
            row.name.clone(),
            row.kind.word().into(),
            row.members.map_or_else(|| "?".into(), |members| count(members as u64)),
            count(row.shards as u64),
            count(row.unowned as u64),
            super::describe::records(row.records),
            super::describe::lag(row.millis),
        ];
        stream.into_iter().chain(rest).collect()
    });
    let columns = [
        Column::Words("STREAM"),
        Column::Words("GROUP"),
        Column::Words("KIND"),
        Column::Numbers("MEMBERS"),
        Column::Numbers("SHARDS"),
        Column::Numbers("UNOWNED"),
        Column::Numbers("RECORDS BEHIND"),
        Column::Numbers("LAG"),
    ];
    table(&columns[usize::from(!has_streams)..], cells.collect(), width)
}

#[cfg(test)]
mod tests {
    use super::super::application;
    use super::super::describe::tests::group;
    use super::*;

    #[test]
    fn groups_of_both_kinds_are_rows_of_one_table() {
        let group_row = |name: &str, group: &DescribeGroupResponse| of_group("clicks", name.into(), group);
        let mut app = application::tests::application();
        let rows = [
            group_row("billing", &group()),
            group_row("mail", &DescribeGroupResponse::default()),
            of_application("app".into(), &app),
        ];
        let expected = "\
GROUP    KIND     MEMBERS  SHARDS  UNOWNED  RECORDS BEHIND      LAG
billing  tidelog        2       4        1           1,236  2.5 min
mail     tidelog        0       0        0               0     0 ms
app      kcl            1       4        1               4     90 s
";
        assert_eq!(shown(&rows, false, None), expected);
        assert!(shown(&rows, true, None).starts_with("STREAM  GROUP    KIND"));
        let mut unknown = group();
        unknown.shards[0].records_behind = None;
        let json = as_json(&group_row("billing", &unknown));
        assert_eq!((&json["records_behind"], &json["milliseconds_behind"]), (&Value::Null, &json!(150_000)));
        app.workers[1].is_alive = None;
        assert!(shown(&[of_application("app".into(), &app)], false, None).contains("kcl         ?"));
    }

    #[test]
    fn an_application_is_listed_with_each_stream_that_it_may_read() {
        let mut app = application::tests::application();
        app.streams = vec!["clicks".into(), "views".into()];
        for (stream, expected) in [
            (None, true),
            (Some("clicks"), true),
            (Some("views"), true),
            (Some("arn:aws:kinesis:us-east-1:000000000000:stream/clicks"), true),
            (Some("click"), false),
        ] {
            assert_eq!(may_read(&app, stream), expected, "{stream:?}");
        }
    }
}
