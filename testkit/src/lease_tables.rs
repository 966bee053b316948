//! Calls of lease tables over HTTP, each connection blocking its thread as a worker of KCL blocks one of its own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tidelog_tables::{Owner, application_of};

/// How long an answer is waited for: longer than an election and the broker's own patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// The data group of a table of the default account in the default region.
#[must_use]
pub fn group_of_table(table: &str) -> u8 {
    tidelog::service::group_of(&Owner::new("000000000000", "us-east-1"), application_of(table))
}

/// A connection to a broker.
#[derive(Debug)]
pub struct TableConnection(BufReader<TcpStream>);

impl TableConnection {
    /// Connects to the broker at `HOST:PORT`.
    ///
    /// # Errors
    /// When no broker listens there.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status and the body of an answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn call(&mut self, operation: &str, body: &Value) -> io::Result<(u16, Value)> {
        let body = body.to_string();
        write!(
            self.0.get_mut(),
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\n\
             Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let head = self.line()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(unreadable)?;
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| unreadable())?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).map_err(|_| unreadable())?))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

fn unreadable() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
