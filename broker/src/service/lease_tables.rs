//! Lease tables: the calls of the DynamoDB protocol that KCL and its relatives make.
//!
//! All tables of an application live in one data group, chosen by the hash of account, region and application; the
//! group evaluates conditions where it applies its log. The crate `tidelog-tables` has the rules, and this module finds
//! the groups. Without a leader a call waits for the next one, up to [`Proposals`](crate::replication::Proposals)'
//! deadline.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tidelog_tables::{Bounds, Command, Fault, Owner, Read, Request, Stamp, Write, answer};

use crate::replication::{DATA_GROUPS, Groups, ProposeError, TableAnswer};

/// The lease tables of the cluster, as this node serves them.
pub struct LeaseTables {
    groups: Arc<Groups>,
    /// `None` where they are not served.
    bounds: Option<Bounds>,
}

impl LeaseTables {
    /// The tables of these groups within these bounds; `None` serves none.
    pub fn new(groups: Arc<Groups>, bounds: Option<Bounds>) -> Self {
        Self { groups, bounds }
    }

    /// Whether they are served.
    pub fn are_served(&self) -> bool {
        self.bounds.is_some()
    }

    /// Answers one call of an owner.
    ///
    /// # Errors
    /// [`Fault`], in DynamoDB's words.
    pub async fn call(&self, owner: &Owner, operation: &str, body: &[u8]) -> Result<TableAnswer, Fault> {
        let body = match Request::parse(operation, body, owner)? {
            Request::Write(write) => return self.write(owner, write).await,
            Request::BatchWrite(writes) => {
                let answers = try_join_all(writes.into_iter().map(|write| self.write(owner, write))).await?;
                if let Some(refused) = answers.into_iter().find(|answer| answer.status != OK) {
                    return Ok(refused);
                }
                answer::batch_write_body()
            }
            Request::Read(read) => self.read(owner, read).await?,
            Request::BatchGet(reads) => {
                let names: Vec<Box<str>> = reads.iter().map(|read| read.table().into()).collect();
                let parts = try_join_all(reads.into_iter().map(|read| self.read(owner, read))).await?;
                answer::batch_get_body(names.iter().map(|name| &**name).zip(parts))
            }
            Request::ListTables(list) => {
                let names = self.names(owner, 1..=DATA_GROUPS).await?;
                answer::list_tables_body(&list, names.iter().map(String::as_str))
            }
            Request::DescribeLimits => answer::limits_body(),
        };
        Ok(TableAnswer { status: OK, body: body.into() })
    }

    /// Makes one change of an owner's tables.
    ///
    /// # Errors
    /// [`Fault::Internal`] when its outcome is unknown.
    pub async fn write(&self, owner: &Owner, write: Write) -> Result<TableAnswer, Fault> {
        let group = group_of(owner, write.application());
        let tables_elsewhere = match &write {
            Write::CreateTable(_) | Write::Application(_) => {
                let others = (1..=DATA_GROUPS).filter(|other| *other != group);
                self.names(owner, others).await?.len() as u64
            }
            _ => 0,
        };
        let stamp =
            Stamp { now_ms: self.now_ms(), bounds: self.bounds.unwrap_or_default(), tables_elsewhere };
        let command = Command { stamp, owner: owner.clone(), write };
        self.groups.proposals().change_tables(group, &command).await.map_err(unavailable)
    }

    async fn read(&self, owner: &Owner, read: Read) -> Result<Vec<u8>, Fault> {
        let group = group_of(owner, read.application());
        let reading = self.groups.proposals().read_table(group, owner.clone(), read, self.now_ms());
        reading.await.map_err(unavailable)?
    }

    /// The names of the owner's tables of leases, in order.
    ///
    /// # Errors
    /// [`ProposeError`] when nobody could say in time what was committed.
    pub async fn applications(&self, owner: &Owner) -> Result<Vec<String>, ProposeError> {
        let proposals = self.groups.proposals();
        let asking = (1..=DATA_GROUPS).map(|group| proposals.application_names(group, owner.clone()));
        let mut names = try_join_all(asking).await?.concat();
        names.sort_unstable();
        Ok(names)
    }

    async fn names(&self, owner: &Owner, groups: impl Iterator<Item = u8>) -> Result<Vec<String>, Fault> {
        let asking = groups.map(|group| self.groups.proposals().table_names(group, owner.clone()));
        Ok(try_join_all(asking).await.map_err(unavailable)?.concat())
    }

    /// The time that changes and reads of tables go by, milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.groups.clock().now_ms()).unwrap_or(i64::MAX)
    }
}

const OK: u16 = 200;

/// No leader took the call in time, or its outcome is unknown: clients retry, and their conditions make that safe.
fn unavailable(_: ProposeError) -> Fault {
    Fault::Internal
}

/// The data group of an application's tables.
pub fn group_of(owner: &Owner, application: &str) -> u8 {
    let Owner { account, region } = owner;
    let hash = crc32fast::hash(format!("{account}/{region}/{application}").as_bytes());
    // The remainder is below the number of data groups.
    1 + (hash % u32::from(DATA_GROUPS)) as u8
}

#[cfg(test)]
mod tests {
    use tidelog_tables::application_of;

    use super::*;

    #[test]
    fn an_application_has_one_group_and_applications_are_spread() {
        let owner = Owner::new("000000000000", "us-east-1");
        let group = |table: &str| group_of(&owner, application_of(table));
        assert_eq!(group("orders"), group("orders-CoordinatorState"));
        assert_eq!(group("orders"), group("orders-WorkerMetricStats"));
        let groups: std::collections::BTreeSet<u8> = (0..100).map(|at| group(&format!("app-{at}"))).collect();
        assert!(groups.iter().copied().eq(1..=DATA_GROUPS), "{groups:?}");
    }
}
