//! Prints the records of a stream as they come, across reshards, until it is interrupted: `tail STREAM [NODE…]`.

use std::error::Error;
use std::io::{Write, stdout};
use std::pin::pin;

use tidelog_client::{Connection, Position, Reader, Reason};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    run(std::env::args().skip(1), &mut stdout(), interrupted).await
}

/// The program; a line for each record goes to `output`, until `interrupted` is ready.
pub async fn run(
    mut arguments: impl Iterator<Item = String>,
    output: &mut impl Write,
    interrupted: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let stream = arguments.next().ok_or("tail STREAM [NODE…]")?;
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    let mut reader = Reader::builder(&connection, stream).from(Position::Latest).follow(true).build()?;
    let mut interrupted = pin!(interrupted);
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = &mut interrupted => return Ok(()),
        };
        match read {
            Ok(Some(read)) => {
                for record in &read.records {
                    let key = record.partition_key.as_deref().unwrap_or_default();
                    writeln!(output, "{} {key} {}", read.shard_id, String::from_utf8_lossy(&record.data))?;
                }
            }
            Ok(None) => return Ok(()),
            // The reader goes on with the other shards and with the descendants of the one that failed.
            Err(error) if error.reason() == Reason::OutOfRange => eprintln!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
}
