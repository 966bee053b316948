//! A broker as a process, and the command line beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A broker that is gone at the end of the test, and a directory for the test's files.
pub struct Broker {
    child: Child,
    pub endpoint: String,
    pub directory: TempDir,
    // Goes with the test, however the broker ends.
    _data: TempDir,
}

/// What a command printed and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn tidelog() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidelog"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Broker {
    /// Without limits, so that tests do not wait for budgets.
    pub fn start() -> Self {
        Self::started(&["--ephemeral"])
    }

    /// The same on a data directory that is kept.
    pub fn on(data: &Path) -> Self {
        Self::started(&["--data", data.to_str().unwrap()])
    }

    fn started(arguments: &[&str]) -> Self {
        let (directory, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut command = tidelog();
        command.args(arguments).env("TMPDIR", data.path());
        command.args(["--listen", "127.0.0.1:0", "--limits", "off", "--control-limits", "off"]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut endpoint = None;
        loop {
            let line = lines.next().expect("it prints where it is").unwrap();
            if let Some(address) = line.trim().strip_prefix("listening on  ") {
                endpoint = Some(address.to_owned());
            }
            if line.contains("AWS_ACCESS_KEY_ID") {
                break;
            }
        }
        let endpoint = endpoint.expect("it listens somewhere");
        Self { child, endpoint, directory, _data: data }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// Its page of health.
    pub fn health(&self) -> serde_json::Value {
        let address = self.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// What the API answers, which has to be a success.
    pub fn call(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        let address = self.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{operation} {body}: {answer}");
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
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// As [`Self::run`], which has to succeed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// As [`Self::run`], with that on standard input.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// A file in the test's directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}
