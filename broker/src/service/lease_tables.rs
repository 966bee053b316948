//! Lease tables: the calls of the DynamoDB protocol that KCL and its relatives make.
//!
//! All tables of an application live in one data group, chosen by the hash of account, region and application; the
//! group evaluates conditions where it applies its log. The crate `tidelog-tables` has the rules, and this module finds
//! the groups. Without a leader a call waits for the next one, up to [`Proposals`](crate::replication::Proposals)'
//! deadline.

mod batch;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tidelog_tables::{Bounds, Command, Fault, Owner, Read, Request, Stamp, Write, answer, application_of};
use tokio::sync::Semaphore;

use self::batch::Batch;
use crate::replication::{
    DATA_GROUPS, ExpiredTables, ExpiryTimes, Groups, Leader, ProposeError, TableAnswer,
};
use crate::room::{AnswerRoom, Charge, Full};

/// The lease tables of the cluster, as this node serves them.
pub struct LeaseTables {
    groups: Arc<Groups>,
    /// `None` where they are not served.
    bounds: Option<Bounds>,
    /// Creations of tables on this node, one at a time: between the count of an owner's tables and the creation of the
    /// next one no other may come.
    creations: Semaphore,
}

impl LeaseTables {
    /// The tables of these groups within these bounds; `None` serves none.
    pub fn new(groups: Arc<Groups>, bounds: Option<Bounds>) -> Self {
        Self { groups, bounds, creations: Semaphore::new(1) }
    }

    /// Whether they are served.
    pub fn are_served(&self) -> bool {
        self.bounds.is_some()
    }

    /// Answers one call of an owner.
    ///
    /// # Errors
    /// [`Fault`], in DynamoDB's words.
    pub async fn call(&self, owner: &Owner, operation: &str, body: &[u8]) -> Result<TablesReply, Fault> {
        self.call_within(&AnswerRoom::default(), owner, operation, body).await
    }

    /// Answers one call of an owner with an answer that finds this room.
    ///
    /// # Errors
    /// [`Fault`], in DynamoDB's words.
    pub async fn call_within(
        &self,
        room: &AnswerRoom,
        owner: &Owner,
        operation: &str,
        body: &[u8],
    ) -> Result<TablesReply, Fault> {
        let body = match Request::parse(operation, body, owner)? {
            Request::Write(write) => {
                let answer = self.write(owner, write).await?;
                // The change is made: a throttle would say that it is not.
                return charged(room, answer).map_err(|_| Fault::Internal);
            }
            Request::BatchWrite(writes) => {
                let answers = try_join_all(writes.into_iter().map(|write| self.write(owner, write))).await?;
                if let Some(refused) = answers.into_iter().find(|answer| answer.status != OK) {
                    return charged(room, refused);
                }
                answer::batch_write_body()
            }
            Request::Read(read) => self.read(owner, read).await?,
            Request::BatchGet(reads) => return self.batch_get(room, owner, reads).await,
            Request::ListTables(list) => {
                let names = self.names(owner, 1..=DATA_GROUPS).await?;
                answer::list_tables_body(&list, names.iter().map(String::as_str))
            }
            Request::DescribeLimits => answer::limits_body(),
        };
        charged(room, TableAnswer { status: OK, body: body.into() })
    }

    /// Reads items page by page, while the answer has room and is within its bound. The keys that are left are part of
    /// the answer: a client asks for them again.
    async fn batch_get(
        &self,
        room: &AnswerRoom,
        owner: &Owner,
        reads: Vec<Read>,
    ) -> Result<TablesReply, Fault> {
        let mut batch = Batch::new(room);
        for read in reads {
            let Read::Batch(part) = read else { continue };
            let part = Arc::new(part);
            let group = group_of(owner, application_of(&part.table));
            let mut from = 0;
            while let Some(bytes_max) = batch.page_bytes() {
                let place = (from, bytes_max);
                let reading = self.groups.proposals().read_batch(
                    group,
                    owner.clone(),
                    part.clone(),
                    place,
                    self.now_ms(),
                );
                let page = reading.await.map_err(unavailable)??;
                if !batch.take(&part, from, page.items)? {
                    break;
                }
                from = page.next;
                if from == part.keys.len() {
                    break;
                }
            }
            if from < part.keys.len() {
                batch.left.push((part, from));
            }
        }
        batch.reply()
    }

    /// Removes expired items, and tokens of transactions that are past their time, in the groups that are led here;
    /// returns the number of commands. Both go by the deletion time, which two clocks have to reach.
    ///
    /// # Errors
    /// [`ProposeError`] when a leader did not take a command; the next call tries again.
    pub async fn remove_expired(&self) -> Result<usize, ProposeError> {
        let Some(deletion) = self.groups.clock().deletion() else { return Ok(0) };
        let items_before_ms = i64::try_from(deletion.time_ms).unwrap_or(i64::MAX);
        let times = ExpiryTimes { items_before_ms, tokens_before_ms: items_before_ms - TOKEN_LIFE_MS };
        let mut commands = 0;
        for group in 1..=DATA_GROUPS {
            if self.groups.leadership().leader(group) != Leader::Here {
                continue;
            }
            // Items of one command, and commands of one call, are bounded; the next call goes on.
            for _ in 0..EXPIRY_ROUNDS_MAX {
                let ExpiredTables { tables, owners } = self.groups.proposals().expired(group, times).await;
                if tables.is_empty() && owners.is_empty() {
                    break;
                }
                let of_table = |(owner, table)| {
                    let items_max = EXPIRED_ITEMS_MAX;
                    (owner, Write::Expire { table, before_ms: times.items_before_ms, items_max })
                };
                let of_owner = |owner| (owner, Write::ForgetTokens { before_ms: times.tokens_before_ms });
                for (owner, write) in tables.into_iter().map(of_table).chain(owners.into_iter().map(of_owner))
                {
                    self.groups.proposals().change_tables(group, &self.command(owner, write, 0)).await?;
                    commands += 1;
                }
            }
        }
        Ok(commands)
    }

    /// A command with this node's time, and the bounds of its settings.
    fn command(&self, owner: Owner, write: Write, tables_elsewhere: u64) -> Command {
        let stamp =
            Stamp { now_ms: self.now_ms(), bounds: self.bounds.unwrap_or_default(), tables_elsewhere };
        Command { stamp, owner, write }
    }

    /// Makes one change of an owner's tables.
    ///
    /// # Errors
    /// [`Fault::Internal`] when its outcome is unknown.
    pub async fn write(&self, owner: &Owner, write: Write) -> Result<TableAnswer, Fault> {
        let group = group_of(owner, write.application());
        let creates = matches!(&write, Write::CreateTable(_) | Write::Application(_));
        // The semaphore is never closed.
        let _turn = if creates { self.creations.acquire().await.ok() } else { None };
        let tables_elsewhere = if creates {
            let others = (1..=DATA_GROUPS).filter(|other| *other != group);
            self.names(owner, others).await?.len() as u64
        } else {
            0
        };
        let command = self.command(owner.clone(), write, tables_elsewhere);
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

/// Milliseconds for which the token of a transaction is remembered at least: DynamoDB's ten minutes, and a minute by
/// which the clock of a node may be ahead of the others.
const TOKEN_LIFE_MS: i64 = 11 * 60_000;

/// Expired items that one command removes.
const EXPIRED_ITEMS_MAX: u32 = 1_000;

/// Looks for expired items of a group in one call.
const EXPIRY_ROUNDS_MAX: usize = 20;

/// An answer whose body is charged to the memory for answers.
#[derive(Debug)]
pub struct TablesReply {
    /// The status of HTTP.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
    /// The body's bytes, unless the connection's own charge covers them.
    pub charge: Option<Charge>,
}

/// An answer that finds room.
fn charged(room: &AnswerRoom, answer: TableAnswer) -> Result<TablesReply, Fault> {
    let TableAnswer { status, body } = answer;
    match room.take(body.len()) {
        Ok(charge) => Ok(TablesReply { status, body, charge }),
        Err(Full) => Err(Fault::Throttled),
    }
}

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
