//! The example programs of the client as processes: this test binary, asked to be one of them.

use std::process::{Child, Command, Stdio};

#[allow(dead_code, reason = "the main functions are those of programs")]
#[path = "../../../client/examples/produce.rs"]
mod produce;

/// Names the arguments of the program, one a line.
const ARGUMENTS: &str = "TIDELOG_TEST_ARGUMENTS";

fn arguments() -> Option<Vec<String>> {
    Some(std::env::var(ARGUMENTS).ok()?.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that other tests start"]
async fn run_produce() {
    if let Some(arguments) = arguments() {
        let code = produce::run(arguments.into_iter()).await.expect("it goes well");
        assert_eq!(code, std::process::ExitCode::SUCCESS);
    }
}

/// Starts the program `run_produce`.
pub fn start(program: &str, arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--nocapture", "--exact", &format!("programs::{program}")])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts")
}
