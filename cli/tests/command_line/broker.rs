//! A broker as a process, and the command line beside it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidelog_testkit::process::{Program, Ran, Running};

/// The binary under test.
const TIDELOG: Program = Program::new(env!("CARGO_BIN_EXE_tidelog"));

/// A broker that is gone at the end of the test, and a directory for the test's files.
pub struct Broker {
    running: Running,
    pub endpoint: String,
    pub directory: TempDir,
    // Goes with the test, however the broker ends.
    _data: TempDir,
}

pub fn tidelog() -> Command {
    TIDELOG.command()
}

impl Broker {
    /// Without limits, so that tests do not wait for budgets.
    pub fn start() -> Self {
        Self::started(&["--ephemeral", "--limits", "off"])
    }

    /// With these limits of a shard.
    pub fn limited(limits: &str) -> Self {
        Self::started(&["--ephemeral", "--limits", limits])
    }

    /// Starts a broker without limits on a data directory that is kept.
    pub fn on(data: &Path) -> Self {
        Self::started(&["--data", data.to_str().unwrap(), "--limits", "off"])
    }

    fn started(arguments: &[&str]) -> Self {
        let (directory, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut command = tidelog();
        command.args(arguments).env("TMPDIR", data.path());
        command.args(["--listen", "127.0.0.1:0", "--control-limits", "off"]);
        let running = Running::start(command.stderr(Stdio::null()));
        Self { endpoint: running.url(), running, directory, _data: data }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        self.running.signal(rustix::process::Signal::TERM);
        assert!(self.running.child.wait().unwrap().success());
    }

    /// Reads the broker's page of health.
    pub fn health(&self) -> serde_json::Value {
        let address = self.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Calls the API, which must succeed, and returns its answer.
    pub fn call(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        self.call_target(&format!("Kinesis_20131202.{operation}"), body)
    }

    /// Calls an operation on lease tables, which must succeed.
    pub fn call_tables(&self, operation: &str, body: &serde_json::Value) {
        self.call_target(&format!("DynamoDB_20120810.{operation}"), body);
    }

    fn call_target(&self, target: &str, body: &serde_json::Value) -> serde_json::Value {
        let address = self.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Amz-Target: {target}\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{target} {body}: {answer}");
        let answer = answer.split_once("\r\n\r\n").unwrap().1;
        if answer.is_empty() { serde_json::Value::Null } else { serde_json::from_str(answer).unwrap() }
    }

    /// The command line with this broker for its endpoint, in the test's directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidelog();
        command.args(arguments).env("AWS_ENDPOINT_URL_KINESIS", &self.endpoint).current_dir(&self.directory);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::to_end(&mut self.command(arguments))
    }

    /// Runs a command like [`Self::run`], which must succeed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs a command like [`Self::run`], with that on standard input.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// A file in the test's directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
