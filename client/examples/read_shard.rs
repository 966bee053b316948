//! Prints the records that one shard and its descendants keep, oldest first: `read_shard STREAM SHARD [NODE…]`.

use std::error::Error;
use std::io::{Write, stdout};

use tidelog_client::{Connection, Position, Reader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().skip(1), &mut stdout()).await
}

/// The program; a line for each record goes to `output`.
pub async fn run(
    mut arguments: impl Iterator<Item = String>,
    output: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let usage = "read_shard STREAM SHARD [NODE…]";
    let (stream, shard) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    let builder = Reader::builder(&connection, stream).shards([shard]).from(Position::TrimHorizon);
    let mut reader = builder.build()?;
    // A reader that does not follow ends with the newest record.
    while let Some(read) = reader.next().await? {
        for record in &read.records {
            let text = String::from_utf8_lossy(&record.data);
            writeln!(output, "{} {} {text}", read.shard_id, record.sequence_number)?;
        }
    }
    Ok(())
}
