//! Writes that set leases anew, each on the condition that the lease is as it was read.

use super::{
    CHECKPOINT, COUNTER, ENTITY, ENTITY_LEASE, KEY, Lease, OWNER, PARENTS, RANGE_END, RANGE_START, SHARD,
    STREAM, SUB_SEQUENCE_NUMBER,
};
use crate::expression::{Action, Comparison, Condition, Operand, SetTo, Term, Update};
use crate::request::{Billing, CreateTable, ItemWrite, Returns, Verb};
use crate::schema::{KeyAttribute, KeySchema};
use crate::value::{Decimal, Item, Kind, Value};

/// Attributes of a lease that belong to the position before, or to the worker that had it.
const OF_THE_PAST: [&str; 7] = [
    OWNER,
    "checkpointOwner",
    "pendingCheckpoint",
    "pendingCheckpointSubSequenceNumber",
    "pendingCheckpointState",
    "childShardIds",
    "throughputKBps",
];
const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";

/// A lease that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLease {
    /// `ACCOUNT:STREAM:EPOCH`, for an application that reads several streams.
    pub stream: Option<Box<str>>,
    /// The id of the shard.
    pub shard: String,
    /// The checkpoint.
    pub checkpoint: String,
    /// The hash keys of the shard, both ends included.
    pub range: (u128, u128),
    /// Ids of the parents of the shard.
    pub parents: Vec<String>,
    /// Whether the table says of each item which kind it is, as those of KCL 3.5 do.
    pub has_entity: bool,
}

fn whole(number: u64) -> Value {
    Value::number(&Decimal::parse(&number.to_string()).expect("a number of 64 bits has few digits"))
}

fn set(name: &str, value: Value) -> Action {
    Action::Set(name.into(), SetTo::Term(Term::Operand(Operand::Value(value))))
}

fn key_of(key: &str) -> Item {
    Item::new([(KEY, Value::text(key))])
}

impl Lease {
    /// Holds while the lease is as it was read: each renewal, checkpoint and change of the owner changes one of these.
    fn is_unchanged(&self) -> Condition {
        let same = |name: &str| match self.item.get(name) {
            Some(value) => Condition::Compare(
                Comparison::Equal,
                Operand::Attribute(name.into()),
                Operand::Value(value.to_value()),
            ),
            None => Condition::NotExists(name.into()),
        };
        Condition::And(vec![same(KEY), same(COUNTER), same(CHECKPOINT), same(OWNER)])
    }

    fn write(&self, table: &str, verb: Verb) -> ItemWrite {
        let condition = Some(self.is_unchanged());
        ItemWrite { table: table.into(), condition, verb, returns: Returns::None, return_failed_item: false }
    }

    /// Sets the lease to a checkpoint, without an owner.
    pub fn set_to(&self, table: &str, checkpoint: &str) -> ItemWrite {
        let removed = OF_THE_PAST.into_iter().map(|name| Action::Remove(name.into()));
        let actions = [
            set(CHECKPOINT, Value::text(checkpoint)),
            set(SUB_SEQUENCE_NUMBER, whole(0)),
            set(SWITCHES, whole(0)),
            Action::Add(COUNTER.into(), whole(1)),
        ];
        let update = Update { actions: actions.into_iter().chain(removed).collect(), is_legacy: false };
        self.write(table, Verb::Update { key: key_of(&self.key), update })
    }

    /// Deletes the lease.
    pub fn delete(&self, table: &str) -> ItemWrite {
        self.write(table, Verb::Delete { key: key_of(&self.key) })
    }

    /// Changes nothing; the transaction that it is part of fails when the lease has changed.
    pub fn check(&self, table: &str) -> ItemWrite {
        self.write(table, Verb::Check { key: key_of(&self.key) })
    }

    /// The item of a lease without its owner, for another table.
    pub fn without_owner(&self) -> Item {
        self.item.only(|name| name != OWNER && name != "checkpointOwner")
    }
}

impl NewLease {
    /// The key of the item.
    pub fn key(&self) -> String {
        match &self.stream {
            Some(stream) => format!("{stream}:{}", self.shard),
            None => self.shard.clone(),
        }
    }

    /// The item, as KCL makes it for a shard that it has found.
    pub fn item(&self) -> Item {
        let (start, end) = self.range;
        let mut attributes = vec![
            (KEY, Value::text(&self.key())),
            (CHECKPOINT, Value::text(&self.checkpoint)),
            (SUB_SEQUENCE_NUMBER, whole(0)),
            (SWITCHES, whole(0)),
            (COUNTER, whole(0)),
            (RANGE_START, Value::text(&start.to_string())),
            (RANGE_END, Value::text(&end.to_string())),
        ];
        if let Some(stream) = &self.stream {
            attributes.extend([(STREAM, Value::text(stream)), (SHARD, Value::text(&self.shard))]);
        }
        if !self.parents.is_empty() {
            let parents = self.parents.iter().map(String::as_bytes).collect();
            attributes.push((PARENTS, Value::set(Kind::Ss, parents)));
        }
        if self.has_entity {
            attributes.push((ENTITY, Value::text(ENTITY_LEASE)));
        }
        Item::new(attributes)
    }

    /// Creates the lease; refused when there is one.
    pub fn create(&self, table: &str) -> ItemWrite {
        ItemWrite {
            table: table.into(),
            condition: Some(Condition::NotExists(KEY.into())),
            verb: Verb::Put(self.item()),
            returns: Returns::None,
            return_failed_item: false,
        }
    }
}

impl CreateTable {
    /// A table of leases, as KCL 2 and 3 create it.
    pub fn of_leases(table: &str) -> Self {
        let key = KeyAttribute { name: KEY.into(), kind: Kind::S };
        Self {
            table: table.into(),
            schema: KeySchema { hash: key.clone(), range: None },
            definitions: vec![key],
            billing: Billing::PerRequest,
            is_protected: false,
            tags: Vec::new(),
            indexes: Vec::new(),
        }
    }
}
