//! Lease tables of the data groups: changes through their logs, and reads of the state that this node has applied.
//!
//! Reads are linearizable: this node first applies everything that was committed before. The group's apply task answers
//! them, so that no lock holds it up; one page of a scan, 1 MiB, is the most that it is kept from applying.

use bytes::Bytes;
use tidelog_proto::stored::data_command;
use tidelog_tables::{self as tables, Fault, Owner, Read};

use super::Proposals;
use crate::replication::error::ProposeError;
use crate::replication::types::outcome::{Outcome, TableAnswer};

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

    /// The result of `look` on the tables of a group.
    async fn with_tables<T: Send + 'static>(
        &self,
        group: u8,
        look: impl FnOnce(&tables::Tables) -> T + Send + 'static,
    ) -> Result<T, ProposeError> {
        self.read_index(group).await?;
        let looking = self.rafts.of(group).with_state_machine(move |machine| {
            let seen = machine.state().data().map(|state| look(state.lease_tables()));
            Box::pin(async move { seen })
        });
        looking.await.ok().flatten().ok_or(ProposeError::NotProposed)
    }
}
