//! Writes many small records as few records of the stream, in the format of KPL, and reads them apart again:
//! `aggregate STREAM COUNT [NODE…]`. It pays where limits of records per second count.

use std::collections::BTreeSet;
use std::error::Error;

use tidelog_client::{Connection, NewRecord, Producer, Reader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (parts, records) = run(std::env::args().skip(1)).await?;
    println!("{parts} records of the application are {records} records of the stream");
    Ok(())
}

/// The program. Returns how many records of the application the stream has, and how many of its own these are.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<(usize, usize), Box<dyn Error>> {
    let usage = "aggregate STREAM COUNT [NODE…]";
    let (stream, count) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let count: usize = count.parse()?;
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    let producer = Producer::builder(&connection, &stream).aggregate_bytes_max(51_200).build()?;
    let mut receipts = Vec::new();
    for number in 0..count {
        let key = format!("sensor-{}", number % 10);
        receipts.push(producer.send(NewRecord::new(key, number.to_string())).await?);
    }
    producer.flush().await;
    for receipt in receipts {
        receipt.await?;
    }
    producer.close().await;

    let mut reader = Reader::builder(&connection, &stream).build()?;
    let (mut parts, mut records) = (0, BTreeSet::new());
    while let Some(read) = reader.next().await? {
        for record in &read.records {
            parts += 1;
            // The records out of one aggregated record share its number.
            records.insert((read.shard_id.clone(), record.sequence_number.clone()));
        }
    }
    Ok((parts, records.len()))
}
