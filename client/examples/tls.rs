//! Lists the shards of a stream by TLS, trusting the CA of the broker: `tls STREAM CA_FILE NODE…`, with nodes such as
//! `https://localhost:4567`. `tidelog ca > ca.pem` prints the certificate of the CA.

use std::error::Error;
use std::time::Duration;

use tidelog_client::{Connection, Shards};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run(std::env::args().skip(1)).await? {
        println!("{line}");
    }
    Ok(())
}

/// The program. Returns a line for each shard.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<Vec<String>, Box<dyn Error>> {
    let usage = "tls STREAM CA_FILE NODE…";
    let (stream, ca) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let nodes: Vec<String> = arguments.collect();
    // The CA replaces those of the system; `with_system_roots` trusts both.
    let builder = Connection::to(nodes).ca_pem(std::fs::read(ca)?).request_timeout(Duration::from_secs(5));
    let connection = builder.build()?;
    let shards = Shards::list(&connection, &stream).await?;
    let line = |shard: &tidelog_client::Shard| {
        let state = if shard.is_open { "open" } else { "closed" };
        format!("{} {state} {:032x} to {:032x}", shard.shard_id, shard.range.start(), shard.range.end())
    };
    Ok(shards.iter().map(line).collect())
}
