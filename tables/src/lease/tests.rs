//! Items of KCL's tables are read by their meaning, and set anew only while they are as they were read.

use super::*;
use crate::command::{Bounds, Command, Stamp};
use crate::request::{ApplicationChange, CreateTable, ItemWrite, Write};
use crate::state::Outcome;

const TABLE: &str = "app";

fn item(json: &str) -> Item {
    Item::from_json(json.as_bytes()).expect("an item")
}

fn lease(shard: &str, counter: u32) -> Item {
    item(&format!(
        r#"{{"leaseKey": {{"S": "{shard}"}}, "leaseCounter": {{"N": "{counter}"}}, "leaseOwner": {{"S": "w"}},
             "checkpoint": {{"S": "49"}}, "checkpointSubSequenceNumber": {{"N": "7"}}, "pendingCheckpoint": {{"S": "5"}},
             "startingHashKey": {{"S": "0"}}, "endingHashKey": {{"S": "9"}}, "parentShardId": {{"SS": ["p"]}}}}"#
    ))
}

fn owner() -> Owner {
    Owner::new("000000000000", "us-east-1")
}

fn apply(tables: &mut Tables, write: Write) -> Result<Outcome, crate::Fault> {
    let stamp = Stamp { now_ms: 1, bounds: Bounds::default(), tables_elsewhere: 0 };
    let bytes = Command { stamp, owner: owner(), write }.encode();
    tables.apply(&Command::decode(&bytes).expect("just encoded"))
}

fn change(item_count: u64) -> ApplicationChange {
    ApplicationChange { application: TABLE.into(), item_count, ..ApplicationChange::default() }
}

/// A table with these leases.
fn tables(leases: &[Item]) -> Tables {
    let mut tables = Tables::new();
    let created = Some(CreateTable::of_leases(TABLE));
    let filled =
        Write::Application(Box::new(ApplicationChange { created, items: leases.to_vec(), ..change(0) }));
    assert_eq!(apply(&mut tables, filled), Ok(Outcome::Done));
    tables
}

fn leases(tables: &Tables) -> Vec<Lease> {
    let page = tables.page(&owner(), TABLE, None, 100, 1).expect("the table");
    page.items.iter().filter_map(Lease::of).collect()
}

fn writes(tables: &mut Tables, item_count: u64, writes: Vec<ItemWrite>) -> Result<Outcome, crate::Fault> {
    apply(tables, Write::Application(Box::new(ApplicationChange { writes, ..change(item_count) })))
}

#[test]
fn items_are_told_apart_by_their_meaning() {
    let found = Lease::of(&lease("shardId-000000000001", 3)).expect("a lease");
    assert_eq!(
        (&*found.shard, found.owner.as_deref(), &*found.counter),
        ("shardId-000000000001", Some("w"), "3")
    );
    assert_eq!((found.sub_sequence_number, found.range, found.is_ended()), (7, Some((0, 9)), false));
    assert_eq!(found.parents, ["p".into()]);
    let many = item(
        r#"{"leaseKey": {"S": "000000000000:clicks:17:s"}, "checkpoint": {"S": "SHARD_END"}, "shardId": {"S": "s"},
            "streamName": {"S": "000000000000:clicks:17"}, "entityType": {"S": "LEASE"}}"#,
    );
    let many = Lease::of(&many).expect("a lease");
    assert_eq!((many.stream_name(), &*many.shard, many.is_ended()), (Some("clicks"), "s", true));
    let lock = r#"{"leaseKey": {"S": "Leader"}, "ownerName": {"S": "w"}, "recordVersionNumber": {"S": "v"},
                   "leaseDuration": {"S": "5000"}, "entityType": {"S": "LEADER"}}"#;
    assert_eq!(Lease::of(&item(lock)), None);
    let expected = Lock { owner: "w".into(), version: "v".into(), duration_ms: 5_000 };
    assert_eq!(Lock::of(&item(lock)), Some(expected.clone()));
    let beside = lock.replace("leaseKey", "key").replace("leaseDuration", "other");
    assert_eq!(Lock::of(&item(&beside)), Some(Lock { duration_ms: LOCK_DURATION_MS, ..expected }));
    let stats = r#"{"leaseKey": {"S": "w"}, "lut": {"N": "1"}, "entityType": {"S": "WORKER_METRIC_STATS"}}"#;
    assert_eq!((Lease::of(&item(stats)), Lock::of(&item(stats))), (None, None));
}

#[test]
fn a_lease_is_set_anew_while_it_is_as_it_was_read() {
    let mut tables = tables(&[lease("a", 1), lease("b", 1)]);
    let read = leases(&tables);
    let set = |lease: &Lease| lease.set_to(TABLE, TRIM_HORIZON);
    assert_eq!(writes(&mut tables, 2, read.iter().map(set).collect()), Ok(Outcome::Done));
    for lease in leases(&tables) {
        assert_eq!(
            (&*lease.checkpoint, lease.sub_sequence_number, lease.owner.as_deref()),
            ("TRIM_HORIZON", 0, None)
        );
        assert_eq!((&*lease.counter, lease.item.get("pendingCheckpoint")), ("2", None));
        assert_eq!(lease.range, Some((0, 9)), "the shard is the one that it was");
    }
    let before = tables.clone();
    // One of the two has changed since it was read: neither is set.
    let again = vec![leases(&tables)[0].set_to(TABLE, LATEST), read[1].set_to(TABLE, LATEST)];
    assert_eq!(writes(&mut tables, 2, again), Ok(Outcome::Overtaken));
    assert_eq!(tables, before);
    let alone = vec![leases(&tables)[0].set_to(TABLE, LATEST)];
    assert_eq!(writes(&mut tables, 3, alone), Ok(Outcome::Overtaken), "a lease has come or gone since");
    assert_eq!(tables, before);
}

#[test]
fn leases_of_children_go_and_those_of_parents_come() {
    let mut tables = tables(&[lease("child", 1)]);
    let parent = NewLease {
        stream: None,
        shard: "parent".into(),
        checkpoint: TRIM_HORIZON.into(),
        range: (0, 99),
        parents: vec!["older".into()],
        has_entity: true,
    };
    let child = leases(&tables)[0].delete(TABLE);
    assert_eq!(writes(&mut tables, 1, vec![child.clone(), parent.create(TABLE)]), Ok(Outcome::Done));
    let [found] = &leases(&tables)[..] else { panic!("one lease") };
    assert_eq!((&*found.key, &*found.counter, found.range), ("parent", "0", Some((0, 99))));
    assert_eq!(writes(&mut tables, 1, vec![parent.create(TABLE)]), Ok(Outcome::Overtaken), "it is there");
    assert_eq!(writes(&mut tables, 1, vec![child]), Ok(Outcome::Overtaken), "it is gone");
}

#[test]
fn an_application_is_dropped_and_replaced_as_a_whole() {
    let mut tables = tables(&[lease("a", 1)]);
    let beside = Write::CreateTable(CreateTable::of_leases("app-CoordinatorState"));
    apply(&mut tables, beside).expect("a table");
    let check = leases(&tables)[0].check(TABLE);
    let dropped: Vec<Box<str>> = vec![TABLE.into(), "app-CoordinatorState".into()];
    let stale = Lease { item: lease("a", 9), ..leases(&tables)[0].clone() }.check(TABLE);
    let before = tables.clone();
    let refused = ApplicationChange { writes: vec![stale], dropped: dropped.clone(), ..change(1) };
    assert_eq!(apply(&mut tables, Write::Application(Box::new(refused))), Ok(Outcome::Overtaken));
    assert_eq!(tables, before);

    // Items that do not fit leave everything as it was, the dropped tables included.
    let no_lease = item(r#"{"other": {"S": "x"}}"#);
    let replaced = |items| ApplicationChange {
        writes: vec![check.clone()],
        dropped: dropped.clone(),
        created: Some(CreateTable::of_leases(TABLE)),
        items,
        ..change(1)
    };
    let refused = Write::Application(Box::new(replaced(vec![lease("b", 1), no_lease])));
    assert!(apply(&mut tables, refused).is_err());
    assert_eq!(tables, before);
    apply(&mut tables, Write::Application(Box::new(replaced(vec![lease("b", 1)])))).expect("replaced");
    assert_eq!(leases(&tables).iter().map(|lease| &*lease.key).collect::<Vec<_>>(), ["b"]);
    assert_eq!(tables.tables_of(&owner(), TABLE).collect::<Vec<_>>(), [TABLE]);

    let check = leases(&tables)[0].check(TABLE);
    let gone = ApplicationChange { writes: vec![check], dropped: vec![TABLE.into()], ..change(1) };
    apply(&mut tables, Write::Application(Box::new(gone))).expect("dropped");
    assert!(tables.is_empty());
    assert_eq!(tables.bytes(), Tables::new().bytes());
}

#[test]
fn a_table_is_read_page_by_page() {
    let all: Vec<Item> = (0..25).map(|at| lease(&format!("shard-{at}"), at)).collect();
    let tables = tables(&all);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = tables.page(&owner(), TABLE, after.as_ref(), 10, 1).expect("the table");
        assert_eq!(page.table_items, 25);
        after = page.items.last().cloned();
        found.extend(page.items);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(
        found,
        tables.table(&owner(), TABLE).expect("the table").items(1).cloned().collect::<Vec<_>>()
    );
    assert_eq!(found.len(), 25);
    assert_eq!(tables.lease_tables(&owner()).map(Table::name).collect::<Vec<_>>(), [TABLE]);
}
