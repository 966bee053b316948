//! A client of the broker in the simulated network: HTTP/1.1 and JSON, a connection per call, as short-lived
//! programs call.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use turmoil::net::TcpStream;

/// Where brokers listen for clients.
pub const PORT: u16 = 4567;

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The document of a status 200.
    Done(Value),
    /// Status and name of a fault.
    Fault(u16, String),
    /// No answer: it may have been carried out, or may be later.
    Nothing,
}

impl Answer {
    /// The document, if the call was carried out.
    pub fn document(self) -> Option<Value> {
        match self {
            Self::Done(document) => Some(document),
            _ => None,
        }
    }
}

/// Calls the broker on `host` and waits for so long.
pub async fn call(host: &str, operation: &str, body: &Value, patience: Duration) -> Answer {
    match timeout(patience, exchange(host, operation, body)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Answer::Nothing,
    }
}

async fn exchange(host: &str, operation: &str, body: &Value) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect((host, PORT)).await?;
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    parse(&bytes).ok_or_else(|| std::io::Error::other("half an answer"))
}

/// An answer with a content length; `None` for a part of one.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let head_bytes = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_bytes]).ok()?.to_ascii_lowercase();
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let body = bytes.get(head_bytes + 4..head_bytes + 4 + length)?;
    let document: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    if status == 200 {
        return Some(Answer::Done(document));
    }
    let name = document["__type"].as_str().unwrap_or_default();
    Some(Answer::Fault(status, name.rsplit('#').next()?.to_owned()))
}
