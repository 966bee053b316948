//! Requests: DynamoDB JSON 1.0 to typed reads and writes. Every rule that needs no table is checked here.

mod batch;
mod index;
mod item;
mod operation;
mod parts;
mod search;
mod settings;
mod table;

pub use index::{IndexChange, IndexProjection, IndexSpec};
pub use operation::Operation;
pub use table::{Billing, CreateTable, Tag, Throughput, UpdateTable};

pub(crate) use parts::Parts;
pub(crate) use table::{INDEXES_MAX, TAGS_MAX, resolve};

use parts::required;

use crate::expression::{Condition, KeyCondition, Projection, Update};
use crate::fault::Fault;
use crate::owner::{Owner, application_of};
use crate::value::Item;

/// A request that has passed every check that needs no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reads one table. The group of [`Read::application`] answers.
    Read(Read),
    /// Changes tables of one application, through the log of its group.
    Write(Write),
    /// Reads items of several tables: each part goes to its group, and
    /// [`batch_get_body`](crate::answer::batch_get_body) joins the answers.
    BatchGet(Vec<Read>),
    /// Writes items of several applications: each part is a command of its own, and the answer is
    /// [`batch_write_body`](crate::answer::batch_write_body).
    BatchWrite(Vec<Write>),
    /// Lists the tables of all groups; [`list_tables_body`](crate::answer::list_tables_body) makes the answer.
    ListTables(ListTables),
    /// The answer is [`limits_body`](crate::answer::limits_body).
    DescribeLimits,
}

/// A read of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// GetItem
    GetItem(GetItem),
    /// Scan
    Scan(Scan),
    /// Query
    Query(Query),
    /// One table of a BatchGetItem
    Batch(BatchPart),
    /// DescribeTable
    DescribeTable(Box<str>),
    /// DescribeContinuousBackups
    DescribeContinuousBackups(Box<str>),
    /// DescribeTimeToLive
    DescribeTimeToLive(Box<str>),
    /// ListTagsOfResource
    ListTags(Box<str>),
}

/// Changes that become one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// PutItem, UpdateItem or DeleteItem.
    Item(ItemWrite),
    /// The part of a BatchWriteItem that one application has; each write stands for itself.
    Batch(Vec<ItemWrite>),
    /// TransactWriteItems: all or none.
    Transaction(Vec<ItemWrite>),
    /// CreateTable
    CreateTable(CreateTable),
    /// UpdateTable
    UpdateTable(UpdateTable),
    /// DeleteTable
    DeleteTable(Box<str>),
    /// UpdateContinuousBackups, a flag without effect.
    ContinuousBackups {
        /// The table.
        table: Box<str>,
        /// Whether point-in-time recovery is shown as enabled.
        is_enabled: bool,
    },
    /// UpdateTimeToLive
    TimeToLive {
        /// The table.
        table: Box<str>,
        /// The attribute with the time, in seconds since the epoch.
        attribute: Box<str>,
        /// Whether items expire.
        is_enabled: bool,
    },
    /// TagResource
    Tag {
        /// The table.
        table: Box<str>,
        /// Keys and values.
        tags: Vec<Tag>,
    },
    /// UntagResource
    Untag {
        /// The table.
        table: Box<str>,
        /// Keys.
        keys: Vec<Box<str>>,
    },
    /// Changes all tables of one application, or nothing; an operator of the broker asks for it.
    Application(Box<ApplicationChange>),
    /// Removes items that had expired before a time; no client asks for it. The time comes from the clock that
    /// retention goes by, some grace before the present, because a removal cannot be undone.
    Expire {
        /// The table.
        table: Box<str>,
        /// Milliseconds since the epoch.
        before_ms: i64,
        /// Items that one command removes.
        items_max: u32,
    },
    /// TransactWriteItems with a ClientRequestToken: done once, however often it is sent while the token is remembered.
    TransactionOnce {
        /// All or none of them.
        writes: Vec<ItemWrite>,
        /// The client's token.
        token: Box<str>,
    },
    /// Forgets the tokens of transactions that an owner has done before a time; no client asks for it. The time comes
    /// from the clock that retention goes by.
    ForgetTokens {
        /// Milliseconds since the epoch.
        before_ms: i64,
    },
}

/// A change of the tables of one application, decided on leases that were read before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationChange {
    /// The application, which is also the name of its table of leases.
    pub application: Box<str>,
    /// Items that the table of leases has to have: one that came since would be missed.
    pub item_count: u64,
    /// Writes of leases; the conditions of all of them have to hold.
    pub writes: Vec<ItemWrite>,
    /// Tables that go. The writes are conditions only then.
    pub dropped: Vec<Box<str>>,
    /// A table that comes, after those have gone.
    pub created: Option<CreateTable>,
    /// The items of that table.
    pub items: Vec<Item>,
}

impl ApplicationChange {
    /// The put of an item without a condition.
    pub(crate) fn put(table: &str, item: &Item) -> ItemWrite {
        ItemWrite {
            table: table.into(),
            condition: None,
            verb: Verb::Put(item.clone()),
            returns: Returns::None,
            return_failed_item: false,
        }
    }
}

/// One condition and one write of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemWrite {
    /// The table.
    pub table: Box<str>,
    /// Has to hold for the item as it is before.
    pub condition: Option<Condition>,
    /// The change.
    pub verb: Verb,
    /// The attributes in the answer.
    pub returns: Returns,
    /// Whether a failed condition shows the item.
    pub return_failed_item: bool,
}

/// The change of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Replaces the item, or creates it.
    Put(Item),
    /// Changes attributes of the item, or creates it.
    Update {
        /// Attributes of the key.
        key: Item,
        /// Changes of other attributes.
        update: Update,
    },
    /// Deletes the item; an absent one is no error.
    Delete {
        /// Attributes of the key.
        key: Item,
    },
    /// Changes nothing: a ConditionCheck of a transaction.
    Check {
        /// Attributes of the key.
        key: Item,
    },
}

/// Attributes that the answer to a write has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Returns {
    /// None.
    None,
    /// All of the item before.
    AllOld,
    /// All of the item afterwards.
    AllNew,
    /// The attributes that the update names, as they were.
    UpdatedOld,
    /// The attributes that the update names, as they are afterwards.
    UpdatedNew,
}

/// GetItem
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetItem {
    /// The table.
    pub table: Box<str>,
    /// Attributes of the key.
    pub key: Item,
    /// The attributes to give; all without it.
    pub projection: Option<Projection>,
}

/// One table of a BatchGetItem
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// The table.
    pub table: Box<str>,
    /// Keys of the items.
    pub keys: Vec<Item>,
    /// The attributes to give; all without it.
    pub projection: Option<Projection>,
}

/// Members that Scan and Query share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The table.
    pub table: Box<str>,
    /// The index instead of the table's own order.
    pub index: Option<Box<str>>,
    /// Has to hold for the items to give.
    pub filter: Option<Condition>,
    /// The attributes to give; all without it.
    pub projection: Option<Projection>,
    /// Items, or their count.
    pub select: Option<Select>,
    /// Items to look at.
    pub limit: Option<u32>,
    /// The item behind which the page begins.
    pub start: Option<Item>,
}

/// The parts of items that a search gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The attributes of the projection.
    Specific,
    /// None: their count alone.
    Count,
    /// All.
    All,
    /// All that the index has.
    Projected,
}

/// Scan
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The search.
    pub search: Search,
    /// The part of the table to look at; all without it.
    pub segment: Option<Segment>,
}

/// One of several equal parts of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From 0; below `segments`.
    pub segment: u32,
    /// The number of parts.
    pub segments: u32,
}

/// Query
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The search.
    pub search: Search,
    /// Tests of the key's attributes.
    pub key: KeyCondition,
    /// Whether the range key ascends.
    pub forward: bool,
}

/// ListTables
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTables {
    /// The list begins behind this name.
    pub start: Option<Box<str>>,
    /// Names of one answer.
    pub limit: usize,
}

impl Request {
    /// Reads the request of an operation, which is named as in the target: `UpdateItem`.
    ///
    /// # Errors
    /// [`Fault`] with the exception that DynamoDB answers.
    pub fn parse(operation: &str, body: &[u8], owner: &Owner) -> Result<Self, Fault> {
        let operation = Operation::from_name(operation)?;
        let json = crate::json::parse(body).map_err(|_| Fault::Unreadable)?;
        operation.parse(Parts::of(json)?, owner)
    }
}

impl Read {
    /// The table.
    pub fn table(&self) -> &str {
        match self {
            Self::GetItem(get) => &get.table,
            Self::Scan(scan) => &scan.search.table,
            Self::Query(query) => &query.search.table,
            Self::Batch(part) => &part.table,
            Self::DescribeTable(table)
            | Self::DescribeContinuousBackups(table)
            | Self::DescribeTimeToLive(table)
            | Self::ListTags(table) => table,
        }
    }

    /// The application whose group has the table.
    pub fn application(&self) -> &str {
        application_of(self.table())
    }
}

impl Write {
    /// The table, or the first one of several.
    pub fn table(&self) -> &str {
        match self {
            Self::Item(write) => &write.table,
            Self::Batch(writes) | Self::Transaction(writes) | Self::TransactionOnce { writes, .. } => {
                writes.first().map_or("", |write| &write.table)
            }
            Self::ForgetTokens { .. } => "",
            Self::CreateTable(create) => &create.table,
            Self::Application(change) => &change.application,
            Self::UpdateTable(update) => &update.table,
            Self::DeleteTable(table)
            | Self::ContinuousBackups { table, .. }
            | Self::TimeToLive { table, .. }
            | Self::Tag { table, .. }
            | Self::Untag { table, .. }
            | Self::Expire { table, .. } => table,
        }
    }

    /// The application whose group has the tables.
    pub fn application(&self) -> &str {
        application_of(self.table())
    }
}

/// Takes `TableName`.
fn table_name(parts: &mut Parts<'_>, owner: &Owner, operation: &'static str) -> Result<Box<str>, Fault> {
    owner.table_name(&required(parts.text("TableName")?, "tableName")?, operation)
}
