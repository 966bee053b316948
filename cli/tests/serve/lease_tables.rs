//! A race for one lease over the wire: each value of its counter has one winner, also when a leader is killed.
//!
//! `TIDELOG_RACE_VALUES` sets the values that the counter takes, and `--nocapture` shows the figures of a race.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog_testkit::lease_tables::{TableConnection, group_of_table};
use tidelog_testkit::process::{Ran, Running};

use crate::tidelog;

const PATIENCE: Duration = Duration::from_secs(120);
/// Connections, each of a worker that wants the lease.
const WORKERS: usize = 64;
/// Values that the counter takes, unless `TIDELOG_RACE_VALUES` says otherwise.
const VALUES: u64 = 120;
/// Attempts that a race of [`VALUES`] has at least; a longer one has more.
const ATTEMPTS_MIN: u64 = 1_000;

fn create(table: &str) -> Value {
    json!({
        "TableName": table, "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    })
}

fn key() -> Value {
    json!({"leaseKey": {"S": "shardId-000000000000"}})
}

/// The taking of a lease whose counter has that value, as KCL 1 and 2 send it.
fn take(value: u64, worker: usize) -> Value {
    json!({
        "TableName": "app", "Key": key(),
        "AttributeUpdates": {
            "leaseCounter": {"Action": "PUT", "Value": {"N": (value + 1).to_string()}},
            "leaseOwner": {"Action": "PUT", "Value": {"S": format!("worker-{worker}")}},
        },
        "Expected": {"leaseCounter": {"Value": {"N": value.to_string()}}},
    })
}

/// A race, and its results.
struct Race {
    /// Values that the counter takes.
    values: u64,
    patience: Duration,
    reached: AtomicU64,
    attempts: AtomicU64,
    /// How often each value was set by a call with an answer.
    winners: Mutex<BTreeMap<u64, u32>>,
    /// Values of calls whose outcome is not known.
    unknown: Mutex<Vec<u64>>,
}

impl Race {
    fn new() -> Self {
        let chosen = std::env::var("TIDELOG_RACE_VALUES").ok();
        let values = chosen.map_or(VALUES, |chosen| chosen.parse().expect("TIDELOG_RACE_VALUES is a number"));
        let patience = PATIENCE.mul_f64((values as f64 / VALUES as f64).max(1.0));
        let (reached, attempts) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { values, patience, reached, attempts, winners: Mutex::default(), unknown: Mutex::default() }
    }

    /// Takes the lease again and again until the counter has its last value.
    fn run(&self, worker: usize, addresses: &[&str]) {
        let began = Instant::now();
        for address in addresses.iter().cycle().skip(worker) {
            assert!(began.elapsed() < self.patience, "the counter has come to {:?} only", self.reached);
            let Ok(mut connection) = TableConnection::open(address) else {
                sleep(Duration::from_millis(20));
                continue;
            };
            // A connection that ends is that of a killed node: the next one is to another.
            if let Ok(true) = self.run_over(&mut connection, worker, began) {
                return;
            }
        }
    }

    fn run_over(
        &self,
        connection: &mut TableConnection,
        worker: usize,
        began: Instant,
    ) -> std::io::Result<bool> {
        let get = json!({"TableName": "app", "Key": key(), "ConsistentRead": true});
        while began.elapsed() < self.patience {
            let (200, found) = connection.call("GetItem", &get)? else { continue };
            let counter = found["Item"]["leaseCounter"]["N"].as_str().expect("a counter");
            let value: u64 = counter.parse().expect("a number");
            self.reached.fetch_max(value, Ordering::Relaxed);
            if value >= self.values {
                return Ok(true);
            }
            self.attempts.fetch_add(1, Ordering::Relaxed);
            match connection.call("UpdateItem", &take(value, worker)) {
                Ok((200, _)) => *self.winners.lock().expect("no panic").entry(value + 1).or_default() += 1,
                Ok((400, refused)) => assert_eq!(refused["message"], "The conditional request failed"),
                Ok((500, _)) | Err(_) => self.unknown.lock().expect("no panic").push(value + 1),
                Ok((status, answer)) => panic!("{status}: {answer}"),
            }
        }
        Ok(false)
    }

    /// Runs all workers, and `meanwhile` beside them.
    fn all(&self, addresses: &[&str], meanwhile: impl FnOnce()) {
        let mut first = TableConnection::open(addresses[0]).expect("a broker");
        let mut ok = |operation: &str, body: &Value| {
            let (status, answer) = first.call(operation, body).expect("an answer");
            assert_eq!(status, 200, "{operation}: {answer}");
        };
        ok("CreateTable", &create("app"));
        let mut item = key();
        item["leaseCounter"] = json!({"N": "0"});
        ok(
            "PutItem",
            &json!({"TableName": "app", "Item": item, "Expected": {"leaseKey": {"Exists": false}}}),
        );
        let began = Instant::now();
        scope(|scope| {
            for worker in 0..WORKERS {
                scope.spawn(move || self.run(worker, addresses));
            }
            meanwhile();
        });
        let (winners, unknown) =
            (self.winners.lock().expect("no panic"), self.unknown.lock().expect("no panic"));
        for value in 1..=self.values {
            match winners.get(&value) {
                Some(count) => assert_eq!(*count, 1, "{value} has one winner"),
                None => assert!(unknown.contains(&value), "{value} was set by a call without an answer"),
            }
        }
        assert!(winners.keys().all(|value| *value <= self.values), "{winners:?}");
        let attempts = self.attempts.load(Ordering::Relaxed);
        assert!(attempts >= ATTEMPTS_MIN.max(self.values), "a race of {attempts} attempts");
        println!(
            "{} values, {attempts} attempts, {} without an answer, {:.1} s",
            self.values,
            unknown.len(),
            began.elapsed().as_secs_f64()
        );
    }
}

#[test]
fn each_value_of_a_counter_has_one_winner() {
    let broker = Running::start(tidelog().args(["--ephemeral", "--listen", "127.0.0.1:0"]));
    let race = Race::new();
    race.all(&[broker.address()], || {});
    assert!(race.unknown.lock().expect("no panic").is_empty(), "every call has an answer");
}

/// The commands of three nodes, and the address of the first one's port for other nodes.
fn nodes(directory: &std::path::Path) -> ([Command; 3], String) {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let addresses = held.map(|listener| listener.local_addr().expect("an address").to_string());
    let [one, two, three] = &addresses;
    let members = format!("1={one},2={two},3={three}");
    let command = |node: usize| {
        let mut command = tidelog();
        command.args(["serve", "--listen", "127.0.0.1:0", "--cluster", &members]);
        command.args(["--node-id", &node.to_string(), "--data"]).arg(directory.join(node.to_string()));
        command
    };
    ([1, 2, 3].map(command), one.clone())
}

/// The node that leads a data group.
fn leader(at: &str, group: u8) -> usize {
    let mut command = tidelog();
    command.args([
        "cluster",
        "status",
        "--wait",
        "healthy",
        "--timeout",
        "60",
        "--output",
        "json",
        "--at",
        at,
    ]);
    let status = Ran::to_end(&mut command).json();
    let leader = status["groups"][usize::from(group)]["leader"].as_u64();
    leader.expect("a leader of a group that was healthy") as usize
}

#[test]
fn each_value_of_a_counter_has_one_winner_on_three_nodes_though_the_leader_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut commands, at) = nodes(directory.path());
    let children = commands.each_mut().map(|command| command.spawn().expect("it starts"));
    let mut nodes = children.map(Running::ready);
    let addresses = nodes.each_ref().map(|node| node.address().to_owned());
    let addresses = addresses.each_ref().map(String::as_str);
    let race = Race::new();
    race.all(&addresses, || {
        let began = Instant::now();
        while race.reached.load(Ordering::Relaxed) < race.values / 4 {
            assert!(began.elapsed() < PATIENCE, "the counter does not move");
            sleep(Duration::from_millis(5));
        }
        nodes[leader(&at, group_of_table("app")) - 1].kill();
    });
}
