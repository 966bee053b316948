//! The operations, by their names.

use super::parts::Parts;
use super::{Read, Request, Write, batch, item, search, settings, table};
use crate::fault::Fault;
use crate::owner::Owner;

/// The operations of lease tables. DescribeLimits is there because tools that show an account's tables ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are DynamoDB's, by name")]
pub enum Operation {
    BatchGetItem,
    BatchWriteItem,
    CreateTable,
    DeleteItem,
    DeleteTable,
    DescribeContinuousBackups,
    DescribeLimits,
    DescribeTable,
    DescribeTimeToLive,
    GetItem,
    ListTables,
    ListTagsOfResource,
    PutItem,
    Query,
    Scan,
    TagResource,
    TransactWriteItems,
    UntagResource,
    UpdateContinuousBackups,
    UpdateItem,
    UpdateTable,
    UpdateTimeToLive,
}

impl Operation {
    /// All of them, in the order of their names.
    pub const ALL: [Operation; 22] = [
        Self::BatchGetItem,
        Self::BatchWriteItem,
        Self::CreateTable,
        Self::DeleteItem,
        Self::DeleteTable,
        Self::DescribeContinuousBackups,
        Self::DescribeLimits,
        Self::DescribeTable,
        Self::DescribeTimeToLive,
        Self::GetItem,
        Self::ListTables,
        Self::ListTagsOfResource,
        Self::PutItem,
        Self::Query,
        Self::Scan,
        Self::TagResource,
        Self::TransactWriteItems,
        Self::UntagResource,
        Self::UpdateContinuousBackups,
        Self::UpdateItem,
        Self::UpdateTable,
        Self::UpdateTimeToLive,
    ];

    /// The name in the target of a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::BatchGetItem => "BatchGetItem",
            Self::BatchWriteItem => "BatchWriteItem",
            Self::CreateTable => "CreateTable",
            Self::DeleteItem => "DeleteItem",
            Self::DeleteTable => "DeleteTable",
            Self::DescribeContinuousBackups => "DescribeContinuousBackups",
            Self::DescribeLimits => "DescribeLimits",
            Self::DescribeTable => "DescribeTable",
            Self::DescribeTimeToLive => "DescribeTimeToLive",
            Self::GetItem => "GetItem",
            Self::ListTables => "ListTables",
            Self::ListTagsOfResource => "ListTagsOfResource",
            Self::PutItem => "PutItem",
            Self::Query => "Query",
            Self::Scan => "Scan",
            Self::TagResource => "TagResource",
            Self::TransactWriteItems => "TransactWriteItems",
            Self::UntagResource => "UntagResource",
            Self::UpdateContinuousBackups => "UpdateContinuousBackups",
            Self::UpdateItem => "UpdateItem",
            Self::UpdateTable => "UpdateTable",
            Self::UpdateTimeToLive => "UpdateTimeToLive",
        }
    }

    /// The operation of that name.
    ///
    /// # Errors
    /// [`Fault::UnknownOperation`] for any other name.
    pub fn from_name(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|operation| operation.name() == name);
        found.ok_or_else(|| Fault::UnknownOperation { operation: name.chars().take(100).collect() })
    }

    pub(super) fn parse(self, parts: Parts<'_>, owner: &Owner) -> Result<Request, Fault> {
        Ok(match self {
            Self::BatchGetItem => Request::BatchGet(batch::batch_get_item(parts, owner)?),
            Self::BatchWriteItem => Request::BatchWrite(batch::batch_write_item(parts, owner)?),
            Self::CreateTable => Request::Write(Write::CreateTable(table::create_table(parts, owner)?)),
            Self::DeleteItem => Request::Write(Write::Item(item::delete_item(parts, owner)?)),
            Self::DeleteTable => {
                Request::Write(Write::DeleteTable(table::table_alone(parts, owner, "DeleteTable")?))
            }
            Self::DescribeContinuousBackups => Request::Read(Read::DescribeContinuousBackups(
                table::table_alone(parts, owner, "DescribeContinuousBackups")?,
            )),
            Self::DescribeLimits => {
                parts.finish()?;
                Request::DescribeLimits
            }
            Self::DescribeTable => {
                Request::Read(Read::DescribeTable(table::table_alone(parts, owner, "DescribeTable")?))
            }
            Self::DescribeTimeToLive => Request::Read(Read::DescribeTimeToLive(table::table_alone(
                parts,
                owner,
                "DescribeTimeToLive",
            )?)),
            Self::GetItem => Request::Read(Read::GetItem(item::get_item(parts, owner)?)),
            Self::ListTables => Request::ListTables(table::list_tables(parts)?),
            Self::ListTagsOfResource => Request::Read(Read::ListTags(settings::list_tags(parts, owner)?)),
            Self::PutItem => Request::Write(Write::Item(item::put_item(parts, owner)?)),
            Self::Query => Request::Read(Read::Query(search::query(parts, owner)?)),
            Self::Scan => Request::Read(Read::Scan(search::scan(parts, owner)?)),
            Self::TagResource => Request::Write(settings::tag_resource(parts, owner)?),
            Self::TransactWriteItems => Request::Write(batch::transact_write_items(parts, owner)?),
            Self::UntagResource => Request::Write(settings::untag_resource(parts, owner)?),
            Self::UpdateContinuousBackups => {
                Request::Write(settings::update_continuous_backups(parts, owner)?)
            }
            Self::UpdateItem => Request::Write(Write::Item(item::update_item(parts, owner)?)),
            Self::UpdateTable => Request::Write(Write::UpdateTable(table::update_table(parts, owner)?)),
            Self::UpdateTimeToLive => Request::Write(settings::update_time_to_live(parts, owner)?),
        })
    }
}
