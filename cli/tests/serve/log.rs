//! The log on standard error: a line that cannot be written is dropped and counted, and harms nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use tidelog_testkit::process::Running;

use crate::tidelog;

const PATIENCE: Duration = Duration::from_secs(60);
/// A level at which a broker without clients goes on logging. A level alone is that of Tidelog's own lines.
const MANY_LINES: &str = "trace,openraft=trace";

/// The page at a path.
fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in time");
    answer
}

/// Lines that standard error did not take, as the metric tells.
fn unwritten(address: &str) -> u64 {
    let page = page(address, "/metrics");
    let series = "tidelog_log_lines_dropped_total{reason=\"unwritten\"} ";
    let count = page.lines().find_map(|line| line.strip_prefix(series)).expect("the metric is there");
    count.parse().unwrap()
}

/// The exit code after SIGTERM.
fn stopped(mut broker: Running) -> Option<i32> {
    broker.signal(Signal::TERM);
    let ends = Instant::now() + PATIENCE;
    while Instant::now() < ends {
        if let Some(status) = broker.child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.child.kill().unwrap();
    panic!("the broker did not stop");
}

/// Loses lines at `level`, serves all the same, counts them, and stops in order.
fn serves_on(command: &mut Command, level: &str, close_stderr: bool) {
    let mut broker = Running::start(command.args(["--ephemeral", "--listen", "127.0.0.1:0", "--log", level]));
    // Kept open, or closed as by a reader that has gone.
    let kept = broker.child.stderr.take().filter(|_| !close_stderr);
    let ends = Instant::now() + PATIENCE;
    while unwritten(broker.address()) == 0 {
        assert!(Instant::now() < ends, "no line was lost");
    }
    assert!(page(broker.address(), "/health").starts_with("HTTP/1.1 200"));
    assert_eq!(stopped(broker), Some(0));
    drop(kept);
}

#[test]
fn standard_error_on_a_full_device_harms_nobody() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    serves_on(tidelog().stderr(Stdio::from(full)), MANY_LINES, false);
}

#[test]
fn a_reader_of_standard_error_that_goes_harms_nobody() {
    serves_on(&mut tidelog(), MANY_LINES, true);
}

#[test]
fn a_reader_of_standard_error_that_takes_nothing_harms_nobody() {
    serves_on(&mut tidelog(), MANY_LINES, false);
}
