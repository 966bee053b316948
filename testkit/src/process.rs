//! Brokers as processes: a program under test, its output, its log, its signals, its exit codes.
//!
//! A test program names its binary once, as `Program::new(env!("CARGO_BIN_EXE_tidelog"))`: only Cargo knows where it
//! is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The last line of a broker's greeting has this.
const READY: &str = "AWS_ACCESS_KEY_ID";
/// Lines of a log that are kept until a test asks for one.
const LINES_MAX: usize = 100_000;
/// How long a line of a log is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A binary under test.
#[derive(Clone, Copy, Debug)]
pub struct Program(&'static str);

impl Program {
    /// The binary at that path.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self(path)
    }

    /// Where the binary is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.0
    }

    /// A command without environment and input, whose output is piped: variables that the tester exports for
    /// clients would count for brokers too.
    #[must_use]
    pub fn command(self) -> Command {
        let mut command = Command::new(self.0);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The output of a command, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Runs the command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn to_end(command: &mut Command) -> Self {
        command.output().expect("it runs").into()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A running broker and its output until it was ready. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    printed: String,
}

impl Running {
    /// Starts the broker and waits until it is ready.
    ///
    /// # Panics
    /// When the process ends before it is ready.
    pub fn start(command: &mut Command) -> Self {
        Self::ready(command.spawn().expect("it starts"))
    }

    /// Waits until a broker that was started is ready: the nodes of a new cluster are once all of them run.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn ready(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut printed = String::new();
        while !printed.contains(READY) {
            match lines.next() {
                Some(line) => printed = printed + &line.expect("text") + "\n",
                None => panic!("ended before it was ready: {printed}"),
            }
        }
        Self { child, printed }
    }

    /// Where it listens for plain HTTP, as `HOST:PORT`.
    ///
    /// # Panics
    /// When it did not say so.
    #[must_use]
    pub fn address(&self) -> &str {
        self.printed.split("http://").nth(1).and_then(|rest| rest.lines().next()).expect("it listens")
    }

    /// Returns the address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The greeting.
    #[must_use]
    pub fn printed(&self) -> &str {
        &self.printed
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Exit code and standard error of a process that ends by itself.
    ///
    /// # Panics
    /// When its standard error was taken.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().expect("its errors are piped").read_to_string(&mut errors).expect("text");
        (self.child.wait().expect("it ends").code(), errors)
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Sends SIGTERM; exit code and standard error.
    pub fn terminate(self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A running broker, and the lines of its log as they come.
#[derive(Debug)]
pub struct Logged {
    /// The broker.
    pub running: Running,
    lines: Receiver<String>,
}

impl Logged {
    /// Starts the broker and waits until it is ready.
    ///
    /// # Panics
    /// As [`Running::start`].
    pub fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let (sender, lines) = sync_channel(LINES_MAX);
        let errors = BufReader::new(running.child.stderr.take().expect("its errors are piped"));
        std::thread::spawn(move || {
            errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { running, lines }
    }

    /// Has it read its certificates and settings again.
    pub fn hang_up(&self) {
        self.running.signal(Signal::HUP);
    }

    /// Returns with the next line of the log that has this.
    ///
    /// # Panics
    /// When none comes within a minute.
    pub fn wait_for(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line of the log has {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }
}

/// Exit code and standard error of a command that is refused, and prints nothing else.
///
/// # Panics
/// When it prints something to standard output.
pub fn refused(command: &mut Command) -> (Option<i32>, String) {
    let Ran { code, stdout, stderr } = Ran::to_end(command);
    assert!(stdout.is_empty(), "{stdout}");
    (code, stderr)
}

/// The answer's body to one request on a connection of its own, signed by that account for that region.
///
/// # Panics
/// When there is no answer.
#[must_use]
pub fn asked(address: &str, account: &str, region: &str, operation: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/kinesis/aws4_request\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}
