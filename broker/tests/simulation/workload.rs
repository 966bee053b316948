//! The work of clients while faults go on: put, reshard, create and delete, and follow a stream.

use std::rc::Rc;
use std::time::Duration;

use base64_simd::STANDARD;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::Answer;
use crate::dice::Dice;
use crate::history::data_of;
use crate::plan::Planted;
use crate::planted::{ordinals_at_proposal, with_ordinal};
use crate::reader::Follower;
use crate::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of a stream that lasts.
pub fn stream_name(index: usize) -> String {
    format!("stream-{index}")
}

/// Starts every client, as tasks of the caller's host.
pub fn start(world: &Rc<World>) {
    let begin = |client: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        world.clients_busy.set(world.clients_busy.get() + 1);
        let world = world.clone();
        tokio::task::spawn_local(async move {
            client.await;
            world.clients_busy.set(world.clients_busy.get() - 1);
        });
    };
    for number in 0..world.plan.producers {
        begin(Box::pin(produce(world.clone(), number)));
    }
    if world.plan.reshards {
        begin(Box::pin(reshard(world.clone())));
    }
    begin(Box::pin(come_and_go(world.clone())));
    begin(Box::pin(follow(world.clone())));
}

/// Creates the streams that last; returns when all of them are there.
pub async fn create_streams(world: &Rc<World>) {
    for (index, shards) in world.plan.shards.iter().enumerate() {
        create(world, &stream_name(index), *shards).await;
    }
}

/// Creates a stream and waits until it can be used; false when the run is over before.
async fn create(world: &Rc<World>, name: &str, shards: u64) -> bool {
    let mut dice = Dice::new(world.plan.seed, name);
    while !world.is_over.get() {
        let body = json!({"StreamName": name, "ShardCount": shards});
        let answer = world.call(world.any_node(&mut dice), "CreateStream", body, PATIENCE).await;
        if matches!(&answer, Answer::Done(_)) || is_fault(&answer, "ResourceInUseException") {
            return wait_until_active(world, name, &mut dice).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

async fn wait_until_active(world: &Rc<World>, name: &str, dice: &mut Dice) -> bool {
    while !world.is_over.get() {
        let body = json!({"StreamName": name});
        let answer = world.call(world.any_node(dice), "DescribeStreamSummary", body, PATIENCE).await;
        forbid_denial(world, name, &answer);
        if answer
            .document()
            .is_some_and(|found| found["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")
        {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

fn is_fault(answer: &Answer, wanted: &str) -> bool {
    matches!(answer, Answer::Fault(_, name) if name == wanted)
}

/// A stream that was created and is not deleted is never said not to exist.
pub fn forbid_denial(world: &World, name: &str, answer: &Answer) {
    if is_fault(answer, "ResourceNotFoundException") {
        world.violation(format!("{name} exists, and a node says that it does not"));
    }
}

async fn produce(world: Rc<World>, number: u64) {
    let mut dice = Dice::new(world.plan.seed, &format!("producer {number}"));
    while !world.is_over.get() {
        let stream = stream_name(dice.below(world.plan.shards.len() as u64) as usize);
        let records = if dice.percent(40) { 1 } else { dice.between(2, 12) };
        put(&world, world.any_node(&mut dice), &stream, records, &mut dice, PATIENCE).await;
        sleep(Duration::from_millis(dice.below(60))).await;
    }
}

async fn put(world: &World, node: usize, stream: &str, records: u64, dice: &mut Dice, patience: Duration) {
    let keys: Vec<String> = (0..records).map(|_| format!("key-{}", dice.below(40))).collect();
    put_keys(world, node, stream, &keys, dice, patience).await;
}

/// Puts a record under each key, in one request; gives how many were acknowledged.
pub async fn put_keys(
    world: &World,
    node: usize,
    stream: &str,
    keys: &[String],
    dice: &mut Dice,
    patience: Duration,
) -> usize {
    let mut attempts = Vec::with_capacity(keys.len());
    let mut records = Vec::with_capacity(keys.len());
    for key in keys {
        let is_large = world.plan.has_large_records && dice.percent(3);
        let filling_bytes = if is_large { dice.between(2_000, 30_000) } else { dice.below(120) };
        let attempt = world.history.borrow_mut().send(stream, key);
        let data = STANDARD.encode_to_string(data_of(attempt, filling_bytes as usize));
        attempts.push(attempt);
        records.push(json!({"PartitionKey": key, "Data": data}));
    }
    let is_promised = world.plan.planted == Some(Planted::OrdinalAtProposal);
    let promised = is_promised.then(|| ordinals_at_proposal(world, stream, keys));
    let answer = if let [record] = &records[..] {
        let mut body = record.clone();
        body["StreamName"] = stream.into();
        world.call(node, "PutRecord", body, patience).await
    } else {
        let body = json!({"StreamName": stream, "Records": records});
        world.call(node, "PutRecords", body, patience).await
    };
    forbid_denial(world, stream, &answer);
    let Some(document) = answer.document() else { return 0 };
    let results = document["Records"].as_array().cloned().unwrap_or_else(|| vec![document]);
    let mut acknowledged = 0;
    for (index, (attempt, result)) in attempts.into_iter().zip(&results).enumerate() {
        if let (Some(shard), Some(number)) = (result["ShardId"].as_str(), result["SequenceNumber"].as_str()) {
            let ordinal = promised.as_ref().and_then(|ordinals| ordinals[index]);
            let number = ordinal.map_or_else(|| number.to_owned(), |ordinal| with_ordinal(number, ordinal));
            world.history.borrow_mut().acknowledge(attempt, shard, &number);
            acknowledged += 1;
        }
    }
    acknowledged
}

/// Splits, merges and scales.
async fn reshard(world: Rc<World>) {
    let mut dice = Dice::new(world.plan.seed, "reshard");
    while !world.is_over.get() {
        sleep(Duration::from_millis(dice.between(300, 4_000))).await;
        let stream = stream_name(dice.below(world.plan.shards.len() as u64) as usize);
        let node = world.any_node(&mut dice);
        let body = json!({"StreamName": stream, "ShardFilter": {"Type": "AT_LATEST"}});
        let answer = world.call(node, "ListShards", body, PATIENCE).await;
        forbid_denial(&world, &stream, &answer);
        let Some(listed) = answer.document() else { continue };
        let mut open: Vec<(u128, u128, String)> =
            listed["Shards"].as_array().into_iter().flatten().map(range_and_id).collect();
        open.sort();
        let Some((operation, body)) = step(&stream, &open, &mut dice) else { continue };
        // The result is ignored: another reshard, whose outcome is unknown, may have closed the shard meanwhile.
        world.call(world.any_node(&mut dice), operation, body, PATIENCE).await;
    }
}

fn range_and_id(shard: &Value) -> (u128, u128, String) {
    let (start, end) = hash_range(shard);
    (start, end, shard["ShardId"].as_str().unwrap_or_default().to_owned())
}

/// First and last hash key of a listed shard.
pub fn hash_range(shard: &Value) -> (u128, u128) {
    let key = |member: &str| shard["HashKeyRange"][member].as_str().and_then(|text| text.parse().ok());
    (key("StartingHashKey").unwrap_or(0), key("EndingHashKey").unwrap_or(0))
}

fn step(stream: &str, open: &[(u128, u128, String)], dice: &mut Dice) -> Option<(&'static str, Value)> {
    let count = open.len() as u64;
    match dice.below(3) {
        0 if (1..6).contains(&count) => {
            let (start, end, id) = dice.pick(open);
            let at = start + (end - start) / 100 * u128::from(dice.between(10, 90));
            let split =
                json!({"StreamName": stream, "ShardToSplit": id, "NewStartingHashKey": at.to_string()});
            Some(("SplitShard", split))
        }
        1 if count > 1 => {
            let at = dice.below(count - 1) as usize;
            let (first, second) = (&open[at].2, &open[at + 1].2);
            let merge = json!({"StreamName": stream, "ShardToMerge": first, "AdjacentShardToMerge": second});
            Some(("MergeShards", merge))
        }
        _ if count > 0 => {
            let target = dice.between(count.div_ceil(2), (2 * count).min(6).max(count));
            let update = json!({
                "StreamName": stream, "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING",
            });
            Some(("UpdateShardCount", update))
        }
        _ => None,
    }
}

/// A stream that is created, used and deleted, again and again, by one client that knows what it did. After a deletion
/// without an answer, which may be carried out at any time, it takes another name.
async fn come_and_go(world: Rc<World>) {
    let mut dice = Dice::new(world.plan.seed, "come and go");
    let mut newest = String::new();
    let mut names = 0;
    while !world.is_over.get() {
        let name = format!("passing-{names}");
        if !create(&world, &name, dice.between(1, 3)).await {
            return;
        }
        for _ in 0..dice.between(1, 4) {
            let body = json!({"StreamName": name, "PartitionKey": "one", "Data": "AAAA"});
            let answer = world.call(world.any_node(&mut dice), "PutRecord", body, PATIENCE).await;
            forbid_denial(&world, &name, &answer);
            let Some(put) = answer.document() else { continue };
            let number = put["SequenceNumber"].as_str().unwrap_or_default().to_owned();
            if number <= newest {
                world.violation(format!("{name}: number {number} after {newest}"));
            }
            newest = number;
        }
        if !delete(&world, &name, &mut dice).await {
            names += 1;
            newest.clear();
        }
        sleep(Duration::from_millis(dice.below(2_000))).await;
    }
}

/// Deletes a stream and waits until it is gone; false when an attempt went without an answer.
async fn delete(world: &Rc<World>, name: &str, dice: &mut Dice) -> bool {
    let mut is_answered = true;
    while !world.is_over.get() {
        let answer =
            world.call(world.any_node(dice), "DeleteStream", json!({"StreamName": name}), PATIENCE).await;
        if is_fault(&answer, "ResourceNotFoundException") {
            break;
        }
        is_answered &= answer != Answer::Nothing;
        sleep(Duration::from_millis(100)).await;
    }
    is_answered
}

/// Reads the streams as they grow, from any node.
async fn follow(world: Rc<World>) {
    let mut dice = Dice::new(world.plan.seed, "follower");
    let mut followers: Vec<Follower> =
        (0..world.plan.shards.len()).map(|index| Follower::new(&stream_name(index))).collect();
    while !world.is_over.get() {
        for follower in &mut followers {
            follower.round(&world, &mut dice, PATIENCE).await;
        }
        sleep(Duration::from_millis(dice.between(50, 600))).await;
    }
    for follower in followers {
        world.consumed.borrow_mut().insert(follower.stream, follower.shards);
    }
}
