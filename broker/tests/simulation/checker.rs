//! Compares the records sent with the records read, in time linear in both, and names every promise that was
//! broken.

use std::collections::BTreeMap;

use crate::history::{History, Record, ShardRead, StreamRead};

/// Everything wrong with a stream as one reader has read it.
pub fn check_stream(name: &str, history: &History, shards: &StreamRead) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen: Vec<Option<(&ShardRead, &Record)>> = vec![None; history.attempts.len()];
    // Per shard: the newest number, and the latest moment at which a record up to its end was sent.
    let mut ends: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for shard in shards {
        check_numbers(shard, &mut found);
        check_contents(name, history, shard, &mut seen, &mut found);
        let end = check_order(history, shard, &ends, &mut found);
        ends.insert(&shard.id, end);
    }
    check_cover(shards, &mut found);
    check_acknowledged(name, history, &seen, &mut found);
    found.iter().map(|violation| format!("{name}: {violation}")).collect()
}

/// Ordinals are 1, 2, 3, … without a gap, numbers rise, arrivals never fall.
fn check_numbers(shard: &ShardRead, found: &mut Vec<String>) {
    let mut before: Option<&Record> = None;
    for (record, ordinal) in shard.records.iter().zip(1..) {
        if record.ordinal() != ordinal {
            found.push(format!("{}: gap: ordinal {} where {ordinal} was due", shard.id, record.ordinal()));
            return;
        }
        if let Some(before) = before {
            // All numbers have 56 digits, so that texts order as they do.
            if record.number <= before.number {
                found.push(format!("{}: number {} after {}", shard.id, record.number, before.number));
            }
            if record.arrival_ms < before.arrival_ms {
                let (now, then) = (record.arrival_ms, before.arrival_ms);
                found.push(format!("{}: ordinal {ordinal} arrived at {now}, after {then}", shard.id));
            }
        }
        before = Some(record);
    }
}

/// Every record is an attempt's on this stream, with its key, in the shard of its key, and once.
fn check_contents<'read>(
    name: &str,
    history: &History,
    shard: &'read ShardRead,
    seen: &mut [Option<(&'read ShardRead, &'read Record)>],
    found: &mut Vec<String>,
) {
    for record in &shard.records {
        let Some((number, attempt)) =
            record.attempt.and_then(|number| Some((number, history.attempts.get(number)?)))
        else {
            found.push(format!("{}: {} holds what nobody sent", shard.id, record.number));
            continue;
        };
        if attempt.stream != name || attempt.key != record.key {
            found.push(format!("{}: attempt {number} under another stream or key: {record:?}", shard.id));
        }
        let hash_key = tidelog::model::hash_key::of_partition_key(&record.key);
        if !(shard.range.0..=shard.range.1).contains(&hash_key) {
            found.push(format!("{}: attempt {number} in a shard that does not hold its key", shard.id));
        }
        if let Some((other, earlier)) = seen[number].replace((shard, record)) {
            let twice = (&other.id, &earlier.number, &shard.id, &record.number);
            found.push(format!("attempt {number} is stored twice: {twice:?}"));
        }
    }
}

/// Checks that a record acknowledged before another was sent has the lower number, through parents and
/// children too: a child takes nothing before every parent is sealed. Returns the end of the shard for its
/// children.
fn check_order<'read>(
    history: &History,
    shard: &'read ShardRead,
    ends: &BTreeMap<&str, (&'read str, u64)>,
    found: &mut Vec<String>,
) -> (&'read str, u64) {
    let parents = shard.parents.iter().filter_map(|parent| ends.get(parent.as_str()));
    let (mut newest, mut latest_sent) =
        parents.fold(("", 0), |(number, sent), end| (number.max(end.0), sent.max(end.1)));
    for record in &shard.records {
        if record.number.as_str() <= newest {
            found.push(format!("{}: {} is not above its parents' {newest}", shard.id, record.number));
        }
        newest = newest.max(&record.number);
        let Some(attempt) = record.attempt.and_then(|number| history.attempts.get(number)) else { continue };
        if let Some((acknowledged, _)) = attempt.acknowledged
            && acknowledged < latest_sent
        {
            let number = record.attempt.unwrap_or_default();
            found.push(format!(
                "{}: attempt {number} was acknowledged before one below it was sent",
                shard.id
            ));
        }
        latest_sent = latest_sent.max(attempt.sent);
    }
    (newest, latest_sent)
}

/// One open shard covers each hash key, and every closed shard has children.
fn check_cover(shards: &StreamRead, found: &mut Vec<String>) {
    let mut open: Vec<(u128, u128)> =
        shards.iter().filter(|shard| !shard.is_closed).map(|shard| shard.range).collect();
    open.sort_unstable();
    let mut due = Some(0);
    for (start, end) in open {
        if due != Some(start) {
            found.push(format!("open shards leave a gap or overlap at {start}"));
            return;
        }
        due = end.checked_add(1);
    }
    if due.is_some() {
        found.push("open shards do not reach the last hash key".into());
    }
    for closed in shards.iter().filter(|shard| shard.is_closed) {
        if !shards.iter().any(|shard| shard.parents.contains(&closed.id)) {
            found.push(format!("{} is closed and has no child", closed.id));
        }
    }
}

/// Every acknowledged attempt is there, under its number.
fn check_acknowledged(
    name: &str,
    history: &History,
    seen: &[Option<(&ShardRead, &Record)>],
    found: &mut Vec<String>,
) {
    let on_stream =
        history.attempts.iter().zip(seen).enumerate().filter(|(_, (attempt, _))| attempt.stream == name);
    for (number, (attempt, read)) in on_stream {
        let Some((_, place)) = &attempt.acknowledged else { continue };
        match read {
            None => found.push(format!("attempt {number} was acknowledged as {place:?} and is lost")),
            Some((shard, record)) if shard.id != place.shard || record.number != place.number => {
                let (id, number_read) = (&shard.id, &record.number);
                found
                    .push(format!("attempt {number}: acknowledged as {place:?}, read as {id} {number_read}"));
            }
            Some(_) => {}
        }
    }
}

/// Checks that readable records stay readable: the records that a consumer has read of a shard are the first
/// ones that are there.
pub fn check_kept(name: &str, earlier: &BTreeMap<String, Vec<Record>>, now: &StreamRead) -> Vec<String> {
    let mut found = Vec::new();
    for (id, records) in earlier {
        let kept: &[Record] = now.iter().find(|shard| shard.id == *id).map_or(&[], |shard| &shard.records);
        for (index, record) in records.iter().enumerate() {
            if kept.get(index) != Some(record) {
                found.push(format!("{name}: {id}: {record:?} was read and is now {:?}", kept.get(index)));
                break;
            }
        }
    }
    found
}
