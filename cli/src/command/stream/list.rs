//! `tidelog stream list`: ListStreams, all pages.

use serde_json::json;

use super::{CommandError, Output};
use crate::command::output::{Column, Screen, print, print_json, table};
use crate::command::time::written;
use tidelog_kinesis::Client;
use tidelog_kinesis::operations::{ListStreams, ListedStream};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct List {}

impl List {
    pub(super) async fn carry_out(&self, client: &Client, output: Output) -> Result<(), CommandError> {
        let streams = streams(client).await?;
        match output {
            Output::Json => {
                let all: Vec<_> = streams.iter().map(|(name, more)| as_json(name, more.as_ref())).collect();
                print_json(&all)
            }
            Output::Table if streams.is_empty() => {
                let place = client.settings();
                eprintln!(
                    "no streams at {} in {}; `tidelog stream create NAME` makes one",
                    place.endpoint_text(),
                    place.region
                );
                Ok(())
            }
            Output::Table => print(&shown(&streams, Screen::of_process().width)),
        }
    }
}

/// Names, and more where the service says it.
async fn streams(client: &Client) -> Result<Vec<(String, Option<ListedStream>)>, CommandError> {
    let mut streams: Vec<(String, Option<ListedStream>)> = Vec::new();
    loop {
        let after = streams.last().map(|(name, _)| name.clone());
        let page = match client.call(&ListStreams { exclusive_start_stream_name: after, limit: None }).await {
            Ok(page) => page,
            Err(error) => return Err(CommandError::of_call(client, None, error).await),
        };
        let is_last = !page.has_more_streams || page.stream_names.is_empty();
        let mut more = page.stream_summaries;
        for name in page.stream_names {
            let own =
                more.iter().position(|one| one.stream_name == name).map(|index| more.swap_remove(index));
            streams.push((name, own));
        }
        if is_last {
            return Ok(streams);
        }
    }
}

fn as_json(name: &str, more: Option<&ListedStream>) -> serde_json::Value {
    let Some(more) = more else { return json!({ "name": name }) };
    json!({
        "name": name,
        "arn": more.stream_arn,
        "status": more.stream_status,
        "mode": more.stream_mode_details.map(|details| details.stream_mode),
        "created": more.stream_creation_timestamp.map(written),
    })
}

fn shown(streams: &[(String, Option<ListedStream>)], width: Option<u16>) -> String {
    let rows = streams.iter().map(|(name, more)| {
        let more = more.as_ref();
        let mode =
            more.and_then(|more| more.stream_mode_details).map(|details| details.stream_mode.to_string());
        vec![
            name.clone(),
            more.map(|more| more.stream_status.clone()).unwrap_or_default(),
            mode.unwrap_or_default(),
            more.and_then(|more| more.stream_creation_timestamp).map(written).unwrap_or_default(),
        ]
    });
    let columns =
        [Column::Words("STREAM"), Column::Words("STATUS"), Column::Words("MODE"), Column::Words("CREATED")];
    table(&columns, rows.collect(), width)
}
