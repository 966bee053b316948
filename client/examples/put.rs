//! Writes one record and prints where it stands: `put STREAM KEY DATA [NODE…]`.

use std::error::Error;

use tidelog_client::{Connection, NewRecord, Producer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", run(std::env::args().skip(1)).await?);
    Ok(())
}

/// The program. Returns shard and sequence number of the record.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<String, Box<dyn Error>> {
    let usage = "put STREAM KEY DATA [NODE…]";
    let mut argument = || arguments.next().ok_or(usage);
    let (stream, key, data) = (argument()?, argument()?, argument()?);
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    // Without a linger the record does not wait for others to travel with.
    let producer = Producer::builder(&connection, stream).linger(std::time::Duration::ZERO).build()?;
    let receipt = producer.send(NewRecord::new(key, data)).await?;
    let placed = match receipt.await {
        Ok(placed) => placed,
        Err(undelivered) if undelivered.may_be_written() => {
            return Err(format!("the record may be in the stream or not: {}", undelivered.error()).into());
        }
        Err(undelivered) => return Err(undelivered.into()),
    };
    producer.close().await;
    Ok(format!("{} {}", placed.shard_id, placed.sequence_number))
}
