//! The checks after the faults have ended: puts succeed soon, replicas become equal, and everything that was
//! acknowledged is read back through every node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tidelog::model::hash_key::of_partition_key;
use tidelog_storage::Disk;
use tidelog_storage::disk::Open;
use tokio::time::{Instant, sleep};

use crate::checker::{check_kept, check_stream};
use crate::dice::Dice;
use crate::history::Record;
use crate::reader::{list, read_stream, shard_of};
use crate::workload::{put_keys, stream_name};
use crate::world::World;

/// Within this after the last fault has ended, puts succeed and replicas are equal (invariant I12).
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// How long one attempt may take in that time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Notes every broken promise as a violation. To be run when everything has just been healed.
pub async fn audit(world: Rc<World>) {
    let healed = Instant::now();
    for index in 0..world.plan.shards.len() {
        for node in world.intact_nodes() {
            puts_succeed(&world, node, &stream_name(index), healed).await;
        }
    }
    replicas_become_equal(&world, healed).await;
    while world.clients_busy.get() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    for index in 0..world.plan.shards.len() {
        everything_is_there(&world, &stream_name(index)).await;
    }
    sealed_segments_are_equal(&world);
    votes_are_single(&world);
}

/// A record is taken by each open shard of a stream through a node.
async fn puts_succeed(world: &World, node: usize, stream: &str, healed: Instant) {
    let mut dice = Dice::new(world.plan.seed, "audit");
    while healed.elapsed() < RECOVERY_MAX {
        let listed = list(world, node, stream).await.unwrap_or_default();
        let open = listed.iter().map(shard_of).filter(|shard| !shard.is_closed);
        let keys: Vec<String> = open.map(|shard| key_in(shard.range)).collect();
        if !keys.is_empty() && put_keys(world, node, stream, &keys, &mut dice, PATIENCE).await == keys.len() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    world.violation(format!("{}: no puts to {stream} after {RECOVERY_MAX:?}", world.nodes[node].name));
}

/// Some partition key whose hash lies in a range.
fn key_in(range: (u128, u128)) -> String {
    let keys = (0_u64..).map(|number| format!("audit-{number}"));
    let mut fitting = keys.filter(|key| (range.0..=range.1).contains(&of_partition_key(key)));
    fitting.next().expect("there are enough keys")
}

async fn replicas_become_equal(world: &World, healed: Instant) {
    loop {
        let tables: Vec<Option<String>> =
            world.intact_nodes().into_iter().map(|node| table(world, node)).collect();
        let is_equal = tables.iter().all(|table| table.is_some() && *table == tables[0]);
        if is_equal {
            return;
        }
        if healed.elapsed() >= RECOVERY_MAX {
            world.violation(format!("replicas differ after {RECOVERY_MAX:?}: {tables:#?}"));
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Describes the state that a node has applied: its catalog, and how far each shard reaches.
fn table(world: &World, node: usize) -> Option<String> {
    let service = world.nodes[node].service()?;
    let catalog = service.catalog();
    let mut text = String::new();
    for (key, stream) in catalog.streams() {
        text += &format!("{key:?} {stream:?}\n");
        for shard in &stream.shards {
            let bounds =
                service.bounds(stream, shard).map(|bounds| (bounds.next_ordinal, bounds.last_time_ms));
            text += &format!("  {} {bounds:?}\n", shard.index);
        }
    }
    Some(text)
}

async fn everything_is_there(world: &World, stream: &str) {
    // Each node gives all the records that the nodes before it gave, and at most those besides that were
    // still under way.
    let mut before: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for node in world.intact_nodes() {
        let name = &world.nodes[node].name;
        let Some(shards) = read_stream(world, node, stream).await else {
            world.violation(format!("{name}: {stream} cannot be read to its end"));
            continue;
        };
        for violation in check_stream(stream, &world.history.borrow(), &shards) {
            world.violation(format!("{name}: {violation}"));
        }
        let consumed = world.consumed.borrow().get(stream).cloned().unwrap_or_default();
        for earlier in [&before, &consumed] {
            for violation in check_kept(stream, earlier, &shards) {
                world.violation(format!("{name}: {violation}"));
            }
        }
        before = shards.into_iter().map(|shard| (shard.id, shard.records)).collect();
    }
}

/// Files of a shard that are sealed have the same bytes wherever they are (invariant I3): all but the last one.
fn sealed_segments_are_equal(world: &World) {
    let mut first: BTreeMap<PathBuf, (String, u32)> = BTreeMap::new();
    // A flipped bit is repaired when a reader meets it, or when the scrub does.
    let intact = world.intact_nodes().into_iter().map(|index| &world.nodes[index]);
    for node in intact.filter(|node| !node.medium.has_flipped()) {
        for path in sealed_segments(&node.medium) {
            let crc = crc_of(&node.medium, &path).unwrap_or_default();
            let (name, other) = first.entry(path.clone()).or_insert_with(|| (node.name.clone(), crc));
            if *other != crc {
                world.violation(format!("{}: {} is not what {name} has", node.name, path.display()));
            }
        }
    }
}

/// All files of segments on a disk, those of a shard together and in their order.
pub fn segments(disk: &impl Disk) -> Vec<PathBuf> {
    let below = |path: &Path| -> Vec<PathBuf> {
        disk.list(path).unwrap_or_default().into_iter().map(|name| path.join(name)).collect()
    };
    let streams = below(Path::new("/data/shards"));
    let files = streams.iter().flat_map(|stream| below(stream)).flat_map(|shard| below(&shard));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

fn sealed_segments(disk: &impl Disk) -> Vec<PathBuf> {
    let mut segments = segments(disk);
    let newest: BTreeSet<PathBuf> = segments
        .chunk_by(|a, b| a.parent() == b.parent())
        .filter_map(|of_shard| of_shard.last().cloned())
        .collect();
    segments.retain(|path| !newest.contains(path));
    segments
}

fn crc_of(disk: &impl Disk, path: &Path) -> std::io::Result<u32> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).expect("a simulated file fits memory")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(crc32fast::hash(&bytes))
}

/// No node has given two votes in one term of one group, and none has two leaders (invariant I8).
fn votes_are_single(world: &World) {
    let mut leaders: BTreeMap<(u8, u64), u64> = BTreeMap::new();
    for node in &world.nodes {
        for (of, leader) in &node.medium.votes().led_by {
            let other = *leaders.entry(*of).or_insert(*leader);
            if other != *leader {
                world.violation(format!("{}: {of:?} is led by {leader}, elsewhere by {other}", node.name));
            }
        }
        for contradiction in std::mem::take(&mut node.medium.votes().contradictions) {
            world.violation(format!("{}: {contradiction}", node.name));
        }
    }
}
