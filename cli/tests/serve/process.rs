//! The binary as a process: its output, its exit codes, its environment, its signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidelog_testkit::process::{Ran, Running, asked, refused};

use crate::tidelog;

#[test]
fn it_says_where_it_is_and_stops_on_sigterm() {
    let broker = Running::start(tidelog().env("TIDELOG_EPHEMERAL", "yes").args(["--listen", "127.0.0.1:0"]));
    let printed = broker.printed().to_owned();
    let port = printed.split("http://127.0.0.1:").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_ne!(port, "0");
    assert!(printed.contains(&format!("export AWS_ENDPOINT_URL=http://127.0.0.1:{port}")), "{printed}");
    assert!(printed.contains("AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1"), "{printed}");
    let data = printed.lines().find(|line| line.contains("ephemeral")).unwrap();
    let directory = std::path::PathBuf::from(data.split_whitespace().nth(1).unwrap());
    assert!(directory.is_dir());
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!directory.exists(), "an ephemeral directory is removed");
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_one_tidies_up() {
    let arguments = ["--ephemeral", "--listen", "127.0.0.1:0"];
    let parent = tempfile::tempdir().unwrap();
    let mut broker = Running::start(tidelog().env("TMPDIR", parent.path()).args(arguments));
    // A client of HTTP/2 that says nothing holds a stop up until its deadline.
    let mut silent = TcpStream::connect(broker.address()).unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    // The broker's own settings: it is served.
    silent.read_exact(&mut [0; 9]).unwrap();
    broker.signal(Signal::TERM);
    let mut errors = BufReader::new(broker.child.stderr.take().unwrap()).lines();
    assert!(errors.any(|line| line.unwrap().contains("stopping; a second signal stops at once")));
    broker.signal(Signal::INT);
    let began = Instant::now();
    assert_eq!(broker.child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    let left = || std::fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(left(), 1);
    let next = Running::start(tidelog().env("TMPDIR", parent.path()).args(arguments));
    assert_eq!(left(), 1, "its own");
    assert_eq!(next.terminate().0, Some(0));
    assert_eq!(left(), 0);
}

#[test]
fn a_variable_goes_before_the_file_and_after_the_flag() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidelog.toml");
    std::fs::write(
        &file,
        "region = \"file-1\"\ndurability = \"interval=7\"\nlimits = \"off\"\nlisten = \"127.0.0.1:1\"",
    )
    .unwrap();
    let broker = Running::start(
        tidelog()
            .env("TIDELOG_LISTEN", "127.0.0.1:0,127.0.0.1:0")
            .env("TIDELOG_REGION", "variable-1")
            .env("TIDELOG_DURABILITY", "interval=9")
            .env("TIDELOG_DATA", directory.path().join("unused"))
            .env("TIDELOG_CONFIG", &file)
            .args(["serve", "--ephemeral", "--durability", "fsync"]),
    );
    let printed = broker.printed().to_owned();
    assert!(printed.contains("AWS_REGION=variable-1"), "{printed}");
    assert!(printed.contains("durability    none"), "{printed}");
    assert!(printed.contains("shard limits  off"), "{printed}");
    assert!(printed.contains("(ephemeral"), "a flag goes before a variable: {printed}");
    assert_eq!(printed.matches("listening on").count(), 2, "{printed}");
    assert_eq!(broker.terminate().0, Some(0));
    assert!(!directory.path().join("unused").exists());
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--data", directory.path().to_str().unwrap()];
    let first = Running::start(tidelog().args(arguments));
    let (code, errors) = refused(tidelog().args(arguments));
    assert_eq!(code, Some(1));
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains(directory.path().to_str().unwrap()) && errors.contains("--data"), "{errors}");
    assert_eq!(first.terminate().0, Some(0));
    let again = Running::start(tidelog().args(arguments));
    assert_eq!(again.terminate().0, Some(0));
}

#[test]
fn wrong_settings_end_it_before_it_starts() {
    let (code, errors) = refused(tidelog().env("TIDELOG_LIMITS", "fast"));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--limits"), "{errors}");
    let (code, errors) = refused(tidelog().args(["--config", "/no/such/file.toml"]));
    assert_eq!((code, errors.lines().count()), (Some(1), 1), "{errors}");
    let (code, errors) = refused(tidelog().args(["--ephemeral", "--listen", "203.0.113.1:1"]));
    assert_eq!((code, errors.lines().count()), (Some(1), 1), "{errors}");
    assert!(errors.contains("203.0.113.1:1"), "{errors}");
}

#[test]
fn streams_are_there_from_the_start_and_kept_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--data", directory.path().to_str().unwrap()];
    let streams = "first:1,second::us-west-2,first:3";
    for (name, is_reported) in [("INITIALIZE_STREAMS", true), ("TIDELOG_INITIALIZE_STREAMS", false)] {
        let mut command = tidelog();
        let broker =
            Running::start(command.env(name, streams).env("AWS_ACCOUNT_ID", "123456789012").args(arguments));
        let printed = broker.printed().to_owned();
        let address = printed.split("http://").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let shards = |region, stream| {
            let body = format!("{{\"StreamName\":\"{stream}\"}}");
            let answer = asked(address, "123456789012", region, "DescribeStreamSummary", &body);
            assert!(answer.contains("\"StreamStatus\":\"ACTIVE\""), "{answer}");
            answer.split("\"OpenShardCount\":").nth(1).unwrap().split([',', '}']).next().unwrap().to_owned()
        };
        assert_eq!(shards("us-east-1", "first"), "1");
        assert_eq!(shards("us-west-2", "second"), "4");
        // A key that is no account: that of AWS_ACCOUNT_ID.
        assert!(asked(address, "any", "us-west-2", "ListStreams", "{}").contains("second"));
        let (code, errors) = broker.terminate();
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(errors.contains("INITIALIZE_STREAMS"), is_reported, "{errors}");
    }
    let (code, errors) = refused(tidelog().env("INITIALIZE_STREAMS", "a:none").args(["--ephemeral"]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("INITIALIZE_STREAMS") && errors.contains("`none`"), "{errors}");
}

#[test]
fn the_ca_command_prints_the_certificate_or_names_the_file_that_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let run = || {
        let Ran { code, stdout, stderr } = Ran::to_end(tidelog().arg("ca").arg("--data").arg(&data));
        (code, stdout, stderr)
    };
    let (code, printed, errors) = run();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(printed.starts_with("-----BEGIN CERTIFICATE-----\n"), "{printed}");
    assert_eq!(run().1, printed);
    let hashed = directory.path().join("hashed");
    let into = Ran::to_end(tidelog().arg("ca").arg("--data").arg(&data).arg("--hashed").arg(&hashed));
    assert_eq!((into.code, into.stderr.as_str()), (Some(0), ""));
    assert!(into.stdout.trim_end().ends_with(".0"), "{}", into.stdout);
    assert_eq!(std::fs::read_to_string(into.stdout.trim_end()).unwrap(), printed);
    std::fs::remove_file(data.join("tls/ca.pem")).unwrap();
    let (code, printed, errors) = run();
    assert_eq!((code, printed.as_str(), errors.lines().count()), (Some(1), "", 1), "{errors}");
    assert!(errors.contains("tls/ca.pem"), "{errors}");
}
