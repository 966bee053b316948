//! The tables of one group: a pure function of the commands of its log.
//!
//! Equal sequences of commands give equal states on every node, and equal states have equal snapshots. Reads take the
//! time as an argument, because items of a table with TimeToLive are absent once they have expired.

mod application;
mod definition;
mod describe;
mod read;
mod search;
mod size;
mod snapshot;
mod table;
mod tokens;
mod write;

use std::collections::BTreeMap;

pub use read::BatchPage;
pub use table::Table;

use tokens::Tokens;

use crate::command::Command;
use crate::fault::Fault;
use crate::json::structure;
use crate::owner::Owner;
use crate::value::{Item, write_attributes};

/// All tables of one group, by owner and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    owners: BTreeMap<Owner, BTreeMap<Box<str>, Table>>,
    /// Transactions that were done under a token; their owners have tables.
    tokens: BTreeMap<Owner, Tokens>,
    /// Bytes of a snapshot, without the number of tokens.
    bytes: u64,
    /// Bytes in memory.
    memory: u64,
    /// Bytes in memory of each account that has some.
    accounts: BTreeMap<Box<str>, u64>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            owners: BTreeMap::new(),
            tokens: BTreeMap::new(),
            bytes: snapshot::BYTES_OF_NONE,
            memory: 0,
            accounts: BTreeMap::new(),
        }
    }
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the answer is empty.
    Done,
    /// Done, with the attributes that the request asked for.
    Attributes(Item),
    /// Done, with a whole body.
    Body(Vec<u8>),
    /// Items that Expire has removed, or tokens that ForgetTokens has.
    Expired(u32),
    /// Nothing was changed: the leases are not as they were when the change was decided on.
    Overtaken,
}

impl Outcome {
    /// The body of the answer.
    pub fn into_body(self) -> Vec<u8> {
        match self {
            Self::Done | Self::Expired(_) | Self::Overtaken => b"{}".to_vec(),
            Self::Attributes(item) => structure(|out| {
                write_attributes(out.member("Attributes"), item.attributes());
            }),
            Self::Body(body) => body,
        }
    }
}

impl Tables {
    /// No tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a snapshot of this state.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.token_count_bytes()
    }

    /// True without any table.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// All owners that have tables.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.keys()
    }

    /// The tables of an owner, in the order of their names.
    pub fn tables(&self, owner: &Owner) -> impl Iterator<Item = &Table> {
        self.owners.get(owner).into_iter().flat_map(BTreeMap::values)
    }

    /// The table of that name.
    pub fn table(&self, owner: &Owner, name: &str) -> Option<&Table> {
        self.owners.get(owner)?.get(name)
    }

    fn find(&self, owner: &Owner, name: &str) -> Result<&Table, Fault> {
        self.table(owner, name).ok_or_else(|| Fault::NoTable { table: name.to_owned() })
    }

    /// Changes a table, and keeps account of its bytes.
    fn with_table<T>(
        &mut self,
        owner: &Owner,
        name: &str,
        change: impl FnOnce(&mut Table) -> T,
    ) -> Result<T, Fault> {
        let table = self.owners.get_mut(owner).and_then(|tables| tables.get_mut(name));
        let table = table.ok_or_else(|| Fault::NoTable { table: name.to_owned() })?;
        let before = table.size();
        let result = change(table);
        let after = table.size();
        self.resize(&owner.account, before, after);
        Ok(result)
    }

    /// Applies a command. A refused one has changed nothing.
    ///
    /// # Errors
    /// [`Fault`] for the client whose command it is; the state goes on.
    pub fn apply(&mut self, command: &Command) -> Result<Outcome, Fault> {
        write::apply(self, command)
    }
}
