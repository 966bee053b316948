//! Lease tables of the data groups: changes through their logs, and reads of the state that this node has applied.
//!
//! Reads are linearizable: this node first applies everything that was committed before. The group's apply task answers
//! them, so that no lock holds it up; one page of a scan or of a BatchGetItem, about 1 MiB, is the most that it is kept
//! from applying.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::stored::data_command;
use tidelog_tables::lease::Page;
use tidelog_tables::request::BatchPart;
use tidelog_tables::{self as tables, BatchPage, Fault, Item, Owner, Read};

use super::Proposals;
use crate::replication::error::ProposeError;
use crate::replication::types::outcome::{Outcome, TableAnswer};

/// The number of changes so far, and each table of leases: owner, name and number of items.
pub type ChangedTables = (u64, Vec<(Owner, Box<str>, usize)>);

/// Tables with expired items that one look finds; the next look finds further ones.
const EXPIRED_TABLES_MAX: usize = 1_000;

/// The times before which items have expired and tokens of transactions are forgotten, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct ExpiryTimes {
    /// Items that expired by then are removed.
    pub items_before_ms: i64,
    /// Tokens of transactions that were done before are forgotten.
    pub tokens_before_ms: i64,
}

/// Tables and owners that have something to remove.
#[derive(Clone, Debug, Default)]
pub struct ExpiredTables {
    /// Tables with expired items.
    pub tables: Vec<(Owner, Box<str>)>,
    /// Owners with tokens that are to be forgotten.
    pub owners: Vec<Owner>,
}

impl Proposals {
    /// Changes tables of a group; returns the answer for the client.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn change_tables(
        &self,
        group: u8,
        command: &tables::Command,
    ) -> Result<TableAnswer, ProposeError> {
        let command = Bytes::from(command.encode());
        match self.propose_data(group, data_command::Command::LeaseTables(command)).await? {
            Outcome::Table(answer) => Ok(answer),
            other => panic!("a change of lease tables was answered with {other:?}"),
        }
    }

    /// Answers a read of one table of a group: the whole body, or of a batch the list of its items.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed; inside, the refusal for the client.
    pub async fn read_table(
        &self,
        group: u8,
        owner: Owner,
        read: Read,
        now_ms: i64,
    ) -> Result<Result<Vec<u8>, Fault>, ProposeError> {
        let answer = move |tables: &tables::Tables| tables.read(&owner, &read, now_ms);
        self.with_tables(group, answer).await
    }

    /// Reads items of one table of a BatchGetItem, as far as one page has them: from a key on, and until their JSON has
    /// that many bytes.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed; inside, the refusal for the client.
    pub async fn read_batch(
        &self,
        group: u8,
        owner: Owner,
        part: Arc<BatchPart>,
        place: (usize, usize),
        now_ms: i64,
    ) -> Result<Result<BatchPage, Fault>, ProposeError> {
        let page = move |tables: &tables::Tables| tables.read_batch(&owner, &part, place, now_ms);
        self.with_tables(group, page).await
    }

    /// Work that time has made for a group as this node has applied it; none when it does not run here.
    pub async fn expired(&self, group: u8, times: ExpiryTimes) -> ExpiredTables {
        let look = move |tables: &tables::Tables, _| {
            let of_owner = |owner: &Owner| {
                let tables = tables.tables(owner).filter(|table| table.has_expired(times.items_before_ms));
                tables.map(|table| (owner.clone(), table.name().into())).collect::<Vec<_>>()
            };
            ExpiredTables {
                tables: tables.owners().flat_map(of_owner).take(EXPIRED_TABLES_MAX).collect(),
                owners: tables.owners_with_tokens(times.tokens_before_ms).cloned().collect(),
            }
        };
        self.applied_tables(group, look).await.unwrap_or_default()
    }

    /// The names of an owner's tables in a group.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed.
    pub async fn table_names(&self, group: u8, owner: Owner) -> Result<Vec<String>, ProposeError> {
        let names = move |tables: &tables::Tables| {
            tables.tables(&owner).map(|table| table.name().to_owned()).collect()
        };
        self.with_tables(group, names).await
    }

    /// The number of changes that the tables of a group have seen on this node, and the tables of leases with their
    /// items; `None` when there was no change since `seen`. As this node has applied them: its leader may be ahead.
    ///
    /// # Errors
    /// [`ProposeError`] while the group is not running.
    pub async fn changed_tables(
        &self,
        group: u8,
        seen: Option<u64>,
    ) -> Result<Option<ChangedTables>, ProposeError> {
        self.applied_tables(group, move |tables, changes| {
            if seen == Some(changes) {
                return None;
            }
            let of_owner = |owner: &Owner| {
                let owner = owner.clone();
                tables
                    .lease_tables(&owner)
                    .map(|table| (owner.clone(), table.name().into(), table.len()))
                    .collect::<Vec<_>>()
            };
            Some((changes, tables.owners().flat_map(of_owner).collect()))
        })
        .await
    }

    /// A part of a table behind one of its items, as this node has applied it; `None` when there is no such table.
    ///
    /// # Errors
    /// [`ProposeError`] while the group is not running.
    pub async fn table_page(
        &self,
        group: u8,
        (owner, table): (Owner, Box<str>),
        after: Option<Item>,
        items_max: usize,
        now_ms: i64,
    ) -> Result<Option<Page>, ProposeError> {
        let page =
            move |tables: &tables::Tables, _| tables.page(&owner, &table, after.as_ref(), items_max, now_ms);
        self.applied_tables(group, page).await
    }

    /// The names of an owner's tables of leases in a group.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed.
    pub async fn application_names(&self, group: u8, owner: Owner) -> Result<Vec<String>, ProposeError> {
        let names = move |tables: &tables::Tables| {
            tables.lease_tables(&owner).map(|table| table.name().to_owned()).collect()
        };
        self.with_tables(group, names).await
    }

    /// The names of the tables of an application; `None` when it has no table of leases.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed.
    pub async fn tables_of_application(
        &self,
        group: u8,
        owner: Owner,
        application: String,
    ) -> Result<Option<Vec<String>>, ProposeError> {
        let names = move |tables: &tables::Tables| {
            let is_there = tables.lease_tables(&owner).any(|table| table.name() == application);
            is_there.then(|| tables.tables_of(&owner, &application).map(str::to_owned).collect())
        };
        self.with_tables(group, names).await
    }

    /// The result of `look` on the tables of a group.
    async fn with_tables<T: Send + 'static>(
        &self,
        group: u8,
        look: impl FnOnce(&tables::Tables) -> T + Send + 'static,
    ) -> Result<T, ProposeError> {
        self.read_index(group).await?;
        self.applied_tables(group, |tables, _| look(tables)).await
    }

    /// The result of `look` on the tables of a group as this node has applied them, and the number of their changes.
    async fn applied_tables<T: Send + 'static>(
        &self,
        group: u8,
        look: impl FnOnce(&tables::Tables, u64) -> T + Send + 'static,
    ) -> Result<T, ProposeError> {
        let looking = self.rafts.of(group).with_state_machine(move |machine| {
            let state = machine.state().data();
            let seen = state.map(|state| look(state.lease_tables(), state.lease_table_changes()));
            Box::pin(async move { seen })
        });
        looking.await.ok().flatten().ok_or(ProposeError::NotProposed)
    }
}
