//! Writes the lines of its input to a stream, each with the part before its first comma as the key:
//! `produce STREAM [NODE…] < lines`. Ends with status 1, naming each line that is not certainly written.

use std::error::Error;
use std::process::ExitCode;

use tidelog_client::{Connection, NewRecord, Producer, Receipt};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    run(std::env::args().skip(1)).await
}

/// The program.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, Box<dyn Error>> {
    let stream = arguments.next().ok_or("produce STREAM [NODE…]")?;
    let mut nodes: Vec<String> = arguments.collect();
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:4567".into());
    }
    let connection = Connection::to(nodes).build()?;
    let producer = Producer::builder(&connection, stream).build()?;

    // Outcomes are looked at while further lines are sent.
    let (sent, mut receipts) = mpsc::channel::<(String, Receipt)>(10_000);
    let outcomes = tokio::spawn(async move {
        let mut failed = 0;
        while let Some((line, receipt)) = receipts.recv().await {
            if let Err(undelivered) = receipt.await {
                eprintln!("{line}: {undelivered}");
                failed += 1;
            }
        }
        failed
    });
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let key = line.split(',').next().unwrap_or_default().to_owned();
        let receipt = producer.send(NewRecord::new(key, line.clone())).await?;
        sent.send((line, receipt)).await?;
    }
    drop(sent);
    producer.close().await;
    Ok(if outcomes.await? == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
