//! A log that has lost its end, on one node: the start is refused, an operator gives the end up, and the broker goes
//! on.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use tidelog_testkit::process::Ran;

use crate::broker::{Broker, tidelog};

const SHARDS: usize = 2;
/// Records of one put.
const RECORDS: usize = 40;
/// Longer than the log waits between two sync points: commits before one are known to have been durable.
const BETWEEN_PUTS: Duration = Duration::from_millis(15);

/// Sequence number and data of a record.
type Record = (String, String);

fn shard_id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}

/// Puts records into both shards. Returns them, by shard.
fn put(broker: &Broker, round: usize) -> Vec<Vec<Record>> {
    let mut written = vec![Vec::new(); SHARDS];
    let data = |number: usize| format!("{:08}", round * 10_000 + number);
    let records: Vec<Value> = (0..RECORDS)
        .map(|number| json!({"Data": data(number), "PartitionKey": format!("key {number}")}))
        .collect();
    let answer = broker.call("PutRecords", &json!({"StreamName": "clicks", "Records": records}));
    for (number, placed) in answer["Records"].as_array().unwrap().iter().enumerate() {
        let shard = (0..SHARDS).position(|shard| placed["ShardId"] == shard_id(shard).as_str()).unwrap();
        written[shard].push((placed["SequenceNumber"].as_str().unwrap().to_owned(), data(number)));
    }
    written
}

/// The records of a shard from a position on.
fn read(broker: &Broker, shard: usize, position: &Value) -> Vec<Record> {
    let mut from = json!({"StreamName": "clicks", "ShardId": shard_id(shard)});
    from.as_object_mut().unwrap().extend(position.as_object().unwrap().clone());
    let mut iterator = broker.call("GetShardIterator", &from)["ShardIterator"].clone();
    let mut records = Vec::new();
    loop {
        let batch = broker.call("GetRecords", &json!({"ShardIterator": iterator}));
        let text = |record: &Value, member: &str| record[member].as_str().unwrap().to_owned();
        let found = batch["Records"].as_array().unwrap();
        records.extend(found.iter().map(|record| (text(record, "SequenceNumber"), text(record, "Data"))));
        if found.is_empty() && batch["MillisBehindLatest"] == 0 {
            return records;
        }
        iterator = batch["NextShardIterator"].clone();
    }
}

fn from_trim(broker: &Broker) -> Vec<Vec<Record>> {
    (0..SHARDS).map(|shard| read(broker, shard, &json!({"ShardIteratorType": "TRIM_HORIZON"}))).collect()
}

fn log_files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(data.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    files.sort();
    files
}

/// Where the zeros begin that a file ends with.
fn end_of(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64
}

fn give_up(data: &Path, more: &[&str]) -> Ran {
    let mut command = tidelog();
    command.args(["log", "give-up", "--data", data.to_str().unwrap()]).args(more);
    Ran::from(command.output().unwrap())
}

/// The words of a start that is refused.
fn refusal(data: &Path) -> String {
    let mut command = tidelog();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let mut child = command.spawn().unwrap();
    // A start that is refused prints nothing there.
    let mut greeting = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
    if !greeting.is_empty() {
        child.kill().unwrap();
    }
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "the start was not refused: {greeting}");
    ran.stderr
}

/// A data directory whose broker was killed, and the records that it had acknowledged: `kept` before its last
/// checkpoint, `late` after it.
struct Used {
    data: tempfile::TempDir,
    kept: Vec<Vec<Record>>,
    late: Vec<Vec<Record>>,
}

impl Used {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let broker = Broker::on(data.path());
        broker.done(&["stream", "create", "clicks", "--shards", "2"]);
        let kept = put(&broker, 1);
        broker.stop();
        let mut broker = Broker::on(data.path());
        let mut late = put(&broker, 2);
        for round in 3..10 {
            std::thread::sleep(BETWEEN_PUTS);
            for (late, more) in late.iter_mut().zip(put(&broker, round)) {
                late.extend(more);
            }
        }
        broker.kill();
        Self { data, kept, late }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    /// Verifies the records that the broker serves after the end of its log was given up. Returns how many late
    /// records are left.
    fn require_whole(&self) -> usize {
        let broker = Broker::on(self.path());
        let left = from_trim(&broker);
        let mut given: BTreeSet<String> = BTreeSet::new();
        for (shard, left) in left.iter().enumerate() {
            let all = [&self.kept[shard][..], &self.late[shard][..]].concat();
            assert!(left.len() >= self.kept[shard].len(), "the checkpoint's records are there");
            assert_eq!(left[..], all[..left.len()], "what is left is the beginning of what there was");
            given.extend(all.into_iter().map(|(number, _)| number));
        }
        let new = put(&broker, 20);
        for (shard, new) in new.iter().enumerate() {
            assert!(!new.is_empty(), "each shard gets some");
            for (number, _) in new {
                assert!(given.insert(number.clone()), "{number} was given out before");
            }
            let (lost, _) = self.late[shard].last().unwrap();
            assert!(new[0].0 > *lost, "new records come after the lost ones");
            let after = json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": lost});
            assert_eq!(
                read(&broker, shard, &after),
                *new,
                "a reader of what was lost goes on with what is new"
            );
        }
        broker.stop();
        // Neither is anything given out twice, nor lost, by a start that replays.
        let mut broker = Broker::on(self.path());
        let expected: Vec<Vec<Record>> =
            left.iter().zip(&new).map(|(left, new)| [&left[..], &new[..]].concat()).collect();
        assert_eq!(from_trim(&broker), expected);
        assert_eq!(broker.health()["damaged"], json!([]));
        broker.kill();
        assert_eq!(from_trim(&Broker::on(self.path())), expected);
        left.iter().zip(&self.kept).map(|(left, kept)| left.len() - kept.len()).sum()
    }
}

#[test]
fn a_broker_goes_on_without_the_end_of_its_log_once_an_operator_has_given_it_up() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm, &[&str]); 7] = [
        ("newest file", |data| fs::remove_file(log_files(data).pop().unwrap()).unwrap(), &[]),
        ("all files", |data| log_files(data).iter().for_each(|file| fs::remove_file(file).unwrap()), &[]),
        ("directory of the log", |data| fs::remove_dir_all(data.join("wal")).unwrap(), &[]),
        (
            "log and mark",
            |data| {
                fs::remove_dir_all(data.join("wal")).unwrap();
                fs::remove_file(data.join("wal.mark")).unwrap();
            },
            &[],
        ),
        (
            "tail cut",
            |data| {
                let file = log_files(data).pop().unwrap();
                let length = end_of(&file) / 2 / 4_096 * 4_096;
                OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
            },
            &["wal"],
        ),
        (
            "tail zeroed",
            |data| {
                let path = log_files(data).pop().unwrap();
                let (from, end) = (end_of(&path) / 2, end_of(&path));
                let mut file = OpenOptions::new().write(true).open(path).unwrap();
                file.seek(SeekFrom::Start(from)).unwrap();
                file.write_all(&vec![0; (end - from) as usize + 1]).unwrap();
            },
            &["wal"],
        ),
        (
            "commit flipped",
            |data| {
                let path = log_files(data).pop().unwrap();
                let mut bytes = fs::read(&path).unwrap();
                // In the header of a commit, which begins a block: bytes behind its frames are padding.
                let middle = end_of(&path) as usize / 2 / 4_096 * 4_096;
                bytes[middle + 20] ^= 1;
                File::create(path).unwrap().write_all(&bytes).unwrap();
            },
            &["wal"],
        ),
    ];
    for (harm, inflict, kept) in harms {
        let used = Used::new();
        inflict(used.path());
        let damaged = log_files_if_any(used.path());
        let words = refusal(used.path());
        assert!(words.contains("tidelog log give-up") && words.contains("back"), "{harm}: {words}");
        let asked = give_up(used.path(), &[]);
        assert!(asked.code == Some(1) && asked.stderr.contains("--yes"), "{harm}: {}", asked.stderr);
        assert!(asked.stdout.contains("lost"), "{harm}: {}", asked.stdout);
        assert!(!used.path().join("lost").exists(), "{harm}: nothing changes before the confirmation");
        refusal(used.path());

        let done = give_up(used.path(), &["--yes"]);
        assert_eq!(done.code, Some(0), "{harm}: {}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains("clicks shardId-000000000001: up to 4"), "{harm}: {}", done.stdout);
        let again = give_up(used.path(), &["--yes"]);
        assert!(again.code == Some(1) && again.stderr.contains("intact"), "{harm}: {}", again.stderr);
        let lost: Vec<Vec<u8>> = fs::read_dir(used.path().join("lost"))
            .unwrap()
            .filter_map(|entry| fs::read(entry.unwrap().path()).ok())
            .collect();
        assert!(
            kept.is_empty() || damaged.last().is_some_and(|newest| lost.contains(newest)),
            "{harm}: the damaged file is kept as it was"
        );
        let late = used.require_whole();
        assert!(kept.is_empty() || late > 0, "{harm}: what is whole before the damage is served");
    }
}

fn log_files_if_any(data: &Path) -> Vec<Vec<u8>> {
    if !data.join("wal").is_dir() {
        return Vec::new();
    }
    log_files(data).iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn giving_up_is_refused_while_the_broker_runs_and_where_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let nothing = give_up(data.path(), &["--yes"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("no data directory"), "{}", nothing.stderr);
    let broker = Broker::on(data.path());
    let running = give_up(data.path(), &["--yes"]);
    assert!(running.code == Some(1) && running.stderr.contains("in use by another"), "{}", running.stderr);
    broker.stop();
    let whole = give_up(data.path(), &["--yes"]);
    assert!(whole.code == Some(1) && whole.stderr.contains("log is intact"), "{}", whole.stderr);
    drop(Broker::on(data.path()));
}

#[test]
fn a_log_that_was_purged_is_not_given_up_without_a_checkpoint() {
    let used = Used::new();
    // Each stop makes a checkpoint, and purges the log up to the one before.
    for _ in 0..2 {
        Broker::on(used.path()).stop();
    }
    fs::rename(used.path().join("checkpoint"), used.path().join("aside")).unwrap();
    fs::remove_file(log_files(used.path()).last().unwrap()).unwrap();
    let before = log_files_if_any(used.path());
    let ran = give_up(used.path(), &["--yes"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("put the directory `checkpoint` back from a copy"), "{}", ran.stderr);
    assert!(log_files_if_any(used.path()) == before && !used.path().join("lost").exists());
}

#[test]
fn a_broker_begins_anew_where_nothing_is_left() {
    let data = tempfile::tempdir().unwrap();
    let mut broker = Broker::on(data.path());
    broker.done(&["stream", "create", "clicks", "--shards", "2"]);
    let before = put(&broker, 1);
    broker.kill();
    fs::remove_file(log_files(data.path()).pop().unwrap()).unwrap();
    assert!(refusal(data.path()).contains("tidelog log give-up"));
    let done = give_up(data.path(), &["--yes"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let broker = Broker::on(data.path());
    assert_eq!(broker.call("ListStreams", &json!({}))["StreamNames"], json!([]));
    broker.done(&["stream", "create", "clicks", "--shards", "2"]);
    for (old, new) in before.iter().zip(put(&broker, 2)) {
        assert!(old.last().unwrap().0 < new[0].0, "a namesake's numbers lie above");
    }
    broker.stop();
}

#[test]
fn giving_up_that_is_killed_at_any_moment_is_run_again() {
    let used = Used::new();
    fs::remove_file(log_files(used.path()).pop().unwrap()).unwrap();
    let mut wait = Duration::from_millis(2);
    let mut killed = 0;
    loop {
        let mut command = tidelog();
        command.args(["log", "give-up", "--yes", "--data", used.path().to_str().unwrap()]);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(wait);
        let ended = child.try_wait().unwrap();
        if let Some(status) = ended {
            assert!(status.success(), "{}", Ran::from(child.wait_with_output().unwrap()).stderr);
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let asked = give_up(used.path(), &[]);
        if asked.stderr.contains("intact") {
            // It was killed when all was done.
            break;
        }
        killed += 1;
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        let words = refusal(used.path());
        assert!(words.contains("tidelog log give-up"), "{words}");
        wait = wait * 5 / 4 + Duration::from_millis(1);
    }
    assert!(killed > 3, "it was killed in the middle");
    used.require_whole();
}
