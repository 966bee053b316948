//! Prints the records of a stream as a member of a group, one line each, until it is interrupted: `consume STREAM GROUP
//! [NODE…]`. Start it several times, and the shards are shared. A line that was printed is printed again, by this or
//! another member, only if it could not be recorded before the program ended.

use std::error::Error;
use std::io::Write;
use std::pin::pin;

use tidelog_client::{Checkpoints, Connection, Consumer, Reason};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().skip(1)).await
}

/// The program.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let usage = "consume STREAM GROUP [NODE…]";
    let (stream, group) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    let builder = Consumer::builder(&connection, stream, group).checkpoints(Checkpoints::Manual);
    let mut consumer = builder.build()?;
    // One for the whole run: an interrupt while a batch is processed counts too.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let batch = tokio::select! {
            batch = consumer.next() => batch?,
            interrupted = &mut interrupted => break interrupted?,
        };
        let mut out = std::io::stdout().lock();
        for record in batch.records() {
            let text = String::from_utf8_lossy(&record.data);
            writeln!(out, "{} {} {text}", batch.shard_id(), record.sequence_number)?;
        }
        out.flush()?;
        drop(out);
        match batch.checkpoint().await {
            // Another member goes on from the checkpoint before.
            Err(error) if error.reason() == Reason::LeaseLost => eprintln!("{error}"),
            recorded => recorded?,
        }
    }
    consumer.close().await;
    Ok(())
}
