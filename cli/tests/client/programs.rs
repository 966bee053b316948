//! The example programs of the client as processes: this test binary, asked to be one of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

#[allow(dead_code, reason = "the main functions are those of programs")]
#[path = "../../../client/examples/consume.rs"]
mod consume;
#[allow(dead_code, reason = "the main functions are those of programs")]
#[path = "../../../client/examples/produce.rs"]
mod produce;

/// Names the arguments of the program, one a line. Without it a program is asked how it is used.
const ARGUMENTS: &str = "TIDELOG_TEST_ARGUMENTS";

fn arguments() -> Option<Vec<String>> {
    Some(std::env::var(ARGUMENTS).ok()?.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_consume() {
    match arguments() {
        Some(arguments) => consume::run(arguments.into_iter()).await.expect("it goes well"),
        None => {
            let only_stream = ["orders".to_owned()].into_iter();
            let refused = consume::run(only_stream).await.expect_err("it lacks its group");
            assert_eq!(refused.to_string(), "consume STREAM GROUP [NODE…]");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_produce() {
    match arguments() {
        Some(arguments) => {
            let code = produce::run(arguments.into_iter()).await.expect("it goes well");
            assert_eq!(code, std::process::ExitCode::SUCCESS);
        }
        None => {
            let refused = produce::run(std::iter::empty()).await.expect_err("it lacks its stream");
            assert_eq!(refused.to_string(), "produce STREAM [NODE…]");
        }
    }
}

/// A program that ends with the test.
pub struct Program(Child);

impl Program {
    /// Starts the program `run_consume` or `run_produce`.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--nocapture", "--exact", &format!("programs::{program}")])
            .env(ARGUMENTS, arguments.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("it starts"))
    }

    /// Returns the program's standard input; the test drops it at the end.
    pub fn input(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("is piped")
    }

    /// Sends on the output of a `run_consume`: the text of each record. Each line is one write, so that none is cut
    /// short.
    pub fn follow(&mut self, texts: mpsc::Sender<String>) {
        let output = BufReader::new(self.0.stdout.take().expect("is piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The output of the test harness is among the lines.
                let Some(record) = line.find("shardId-").map(|at| &line[at..]) else { continue };
                if let Some(text) = record.splitn(3, ' ').nth(2)
                    && texts.send(text.to_owned()).is_err()
                {
                    return;
                }
            }
        });
    }

    /// Interrupts the program like Ctrl-C.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).expect("it is there");
    }

    /// Kills the program like `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Whether it ends well, before long.
    pub fn ends_well(&mut self) -> bool {
        let ends = Instant::now() + Duration::from_secs(30);
        while Instant::now() < ends {
            if let Some(status) = self.0.try_wait().expect("it can be asked") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
