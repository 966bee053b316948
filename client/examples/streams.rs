//! Makes a stream if there is none of its name, waits until it is active, and lists all streams:
//! `streams NAME SHARDS [NODE…]`. Shows how to make calls of the gRPC API that the client has no type for.

use std::error::Error;
use std::time::Duration;

use tidelog_client::api::{CreateStreamRequest, DescribeStreamRequest, ListStreamsRequest, StreamStatus};
use tidelog_client::{Connection, Reason};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for name in run(std::env::args().skip(1)).await? {
        println!("{name}");
    }
    Ok(())
}

/// The program. Returns the names of the streams.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<Vec<String>, Box<dyn Error>> {
    let usage = "streams NAME SHARDS [NODE…]";
    let (name, shards) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let shard_count: u32 = shards.parse()?;
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    // One node for each call: the next call may go to another one.
    let node = connection.node();
    let create = CreateStreamRequest { name: name.clone(), shard_count, ..Default::default() };
    match node.answer(node.streams().create_stream(node.request(create))).await {
        Err(error) if error.reason() == Reason::InUse => eprintln!("{name} is there already"),
        created => drop(created?),
    }
    loop {
        let node = connection.node();
        let describe = DescribeStreamRequest { stream: name.clone() };
        let described = node.answer(node.streams().describe_stream(node.request(describe))).await?;
        if described.stream.is_some_and(|stream| stream.status() == StreamStatus::Active) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let node = connection.node();
        let list = ListStreamsRequest { page_token, ..Default::default() };
        let page = node.answer(node.streams().list_streams(node.request(list))).await?;
        names.extend(page.names);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(names);
        }
    }
}
