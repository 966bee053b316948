//! A broker inside a program: starts one on a free port with data in a temporary directory, puts a record, reads it,
//! and stops. `cargo run -p tidelog --example embedded`

use std::error::Error;

use tidelog::Broker;
use tidelog_client::{Connection, NewRecord, Position, Producer, Reader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", run().await?);
    Ok(())
}

/// The program. Returns the record that was read.
pub async fn run() -> Result<String, Box<dyn Error>> {
    let broker = Broker::builder().stream("clicks", 1).start().await?;
    let connection = Connection::to([broker.url()]).build()?;

    let producer = Producer::builder(&connection, "clicks").build()?;
    let receipt = producer.send(NewRecord::new("ada", "a click")).await?;
    let placed = receipt.await?;
    eprintln!("record {} of {} is durable", placed.sequence_number, placed.shard_id);
    producer.close().await;

    let mut reader = Reader::builder(&connection, "clicks").from(Position::TrimHorizon).build()?;
    let read = reader.next().await?.ok_or("the stream has ended")?;
    let text = String::from_utf8_lossy(&read.records[0].data).into_owned();
    drop(reader);
    broker.stop().await?;
    Ok(text)
}
