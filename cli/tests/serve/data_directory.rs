//! The data directory of a process: its permissions, the end of a process that loses it, and old directories that
//! it opens.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tidelog_testkit::process::{Running, asked, refused};

use crate::tidelog;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

fn serve(data: &Path) -> Command {
    let mut command = tidelog();
    command.args(["--listen", "127.0.0.1:0", "--limits", "off", "--data"]).arg(data);
    command
}

fn ask(broker: &Running, operation: &str, body: &str) -> String {
    asked(broker.address(), "any", "us-east-1", operation, body)
}

fn create(broker: &Running) {
    ask(broker, "CreateStream", r#"{"StreamName":"events","ShardCount":1}"#);
    until("the stream is active", || {
        ask(broker, "DescribeStreamSummary", r#"{"StreamName":"events"}"#).contains("\"ACTIVE\"")
    });
}

fn put(broker: &Running, bytes: usize) {
    let data = base64_simd::STANDARD.encode_to_string(vec![b'x'; bytes]);
    let body = format!(r#"{{"StreamName":"events","PartitionKey":"a","Data":"{data}"}}"#);
    let answer = ask(broker, "PutRecord", &body);
    assert!(answer.contains("SequenceNumber"), "{answer}");
}

fn metric(broker: &Running, name: &str) -> u64 {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not on the page")).parse().unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Every path below a directory, and the directory itself.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(tree(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// The newest file of the log.
fn log_file(data: &Path) -> PathBuf {
    let files = tree(&data.join("wal"));
    files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "wal")).max().unwrap()
}

/// Starts a broker, does something to its directory, and expects it to end by itself with a sentence that has these
/// words.
fn ends_after(harm: impl FnOnce(&Path), words: &str) {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut broker = Running::start(&mut serve(&data));
    harm(&data);
    until("the end of a process without its files", || broker.has_ended());
    let (code, errors) = broker.ended();
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("no longer owns the data directory"), "{errors}");
    assert!(errors.contains(words), "{errors}");
}

#[test]
fn a_process_ends_when_its_directory_is_removed() {
    ends_after(|data| fs::remove_dir_all(data).unwrap(), "was removed");
}

#[test]
fn a_process_ends_when_its_directory_is_replaced() {
    let replace = |data: &Path| {
        fs::rename(data, data.with_extension("away")).unwrap();
        fs::create_dir(data).unwrap();
    };
    ends_after(replace, "was replaced by another one");
}

#[test]
fn a_process_ends_when_a_file_of_its_log_is_removed() {
    ends_after(|data| fs::remove_file(log_file(data)).unwrap(), ".wal was removed");
}

#[test]
fn a_process_ends_when_its_directory_says_that_it_is_another_nodes() {
    let other = tempfile::tempdir().unwrap();
    let broker = Running::start(&mut serve(&other.path().join("data")));
    assert_eq!(broker.terminate().0, Some(0));
    let identity = other.path().join("data/IDENTITY");
    let replace = |data: &Path| {
        fs::copy(identity, data.join("IDENTITY")).unwrap();
    };
    ends_after(replace, "IDENTITY is not that of this node");
}

#[test]
fn no_second_process_gets_in_when_the_lock_is_removed_and_the_first_one_ends() {
    let second_is_refused = |data: &Path| {
        fs::remove_file(data.join("LOCK")).unwrap();
        let (code, errors) = refused(&mut serve(data));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("in use by another tidelog process"), "{errors}");
    };
    ends_after(second_is_refused, "LOCK was re");
}

#[test]
fn a_new_directory_is_called_new_and_refused_where_data_is_expected() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let (code, errors) = refused(serve(&data).arg("--expect-data"));
    assert_eq!((code, errors.lines().count()), (Some(1), 1), "{errors}");
    assert!(errors.contains("holds no data") && errors.contains("--expect-data"), "{errors}");
    assert!(!data.exists(), "a start that is refused has changed nothing");

    let broker = Running::start(&mut serve(&data));
    assert!(broker.printed().contains("(new data directory)"), "{}", broker.printed());
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("new data directory"), "{errors}");

    let broker = Running::start(serve(&data).env("TIDELOG_EXPECT_DATA", "true"));
    assert!(!broker.printed().contains("new data directory"), "{}", broker.printed());
    let (_, errors) = broker.terminate();
    assert!(!errors.contains("new data directory"), "{errors}");
}

#[test]
fn files_are_private_with_every_umask() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("deep/data");
    let mut shell = Command::new("sh");
    shell.env_clear().stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(crate::TIDELOG.path());
    shell.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let broker = Running::start(&mut shell);
    create(&broker);
    put(&broker, 100_000);
    // A stop writes segments and a checkpoint.
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains("open to other users"), "{errors}");
    let paths = tree(&parent.path().join("deep"));
    assert!(paths.iter().any(|path| path.starts_with(data.join("shards")) && path.is_file()), "{paths:?}");
    for path in paths {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, expected, "{} has {mode:o}", path.display());
    }

    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let (_, errors) = Running::start(&mut serve(&data)).terminate();
    assert!(errors.contains("is open to other users (mode 755)"), "{errors}");
}

#[test]
fn links_in_place_of_files_are_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let other = parent.path().join("other");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    fs::write(&other, "kept").unwrap();
    // Under the names of temporary files and of one that is made once.
    symlink(&other, data.join("IDENTITY.tmp")).unwrap();
    fs::hard_link(&other, data.join("BOOT.tmp")).unwrap();
    let broker = Running::start(serve(&data).args(["--durability", "interval=100"]));
    assert_eq!(broker.terminate().0, Some(0));
    assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    assert!(fs::symlink_metadata(data.join("IDENTITY")).unwrap().is_file());

    fs::rename(data.join("IDENTITY"), parent.path().join("identity")).unwrap();
    symlink(parent.path().join("identity"), data.join("IDENTITY")).unwrap();
    let (code, errors) = refused(&mut serve(&data));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("a symbolic link stands in place of the file"), "{errors}");
}

#[test]
fn an_ephemeral_broker_is_small_and_syncs_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let mut command = tidelog();
    let broker = Running::start(command.env("TMPDIR", parent.path()).args([
        "--ephemeral",
        "--listen",
        "127.0.0.1:0",
        "--limits",
        "off",
    ]));
    assert!(broker.printed().contains("durability    none"), "{}", broker.printed());
    create(&broker);
    put(&broker, 1_000);
    let is_spare = |path: &PathBuf| path.extension().is_some_and(|it| it == "spare");
    until("the file that is prepared ahead", || tree(parent.path()).iter().any(is_spare));
    let bytes: u64 = tree(parent.path()).iter().map(|path| fs::metadata(path).unwrap().blocks() * 512).sum();
    assert!(bytes < 4 << 20, "{bytes} bytes at rest");
    put(&broker, 1_000_000);
    assert_eq!(metric(&broker, "tidelog_disk_syncs_total"), 0);
    assert_eq!(broker.terminate().0, Some(0));

    let broker = Running::start(&mut serve(&parent.path().join("data")));
    assert!(metric(&broker, "tidelog_disk_syncs_total") > 0, "the counter counts");
    assert_eq!(broker.terminate().0, Some(0));
}

#[test]
fn a_broker_that_is_killed_again_and_again_goes_on_taking_puts_and_its_log_stays_small() {
    const LIVES: u64 = 6;
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for life in 0..LIVES {
        let broker = Running::start(&mut serve(&data));
        if life == 0 {
            create(&broker);
        }
        for _ in 0..6 {
            put(&broker, 1_000_000);
        }
        let live = metric(&broker, "tidelog_wal_live_bytes");
        assert!(live < 10_000_000 * (life + 1), "{live} live bytes in life {life}");
        // Killed, as by a crash.
        drop(broker);
    }
    let log: u64 = tree(&data.join("wal"))
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "wal"))
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(log <= LIVES * (24 << 20), "{log} bytes of log files");
}
