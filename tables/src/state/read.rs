//! Reads of one table.

use std::collections::BTreeSet;

use super::{Tables, describe};
use crate::expression::Projection;
use crate::fault::{Fault, Invalid};
use crate::json::structure;
use crate::owner::Owner;
use crate::request::{BatchPart, GetItem, Read};
use crate::value::{Item, write_attributes, write_attributes_where};

/// Appends the attributes that a projection chooses, or all.
fn write_projected(out: &mut Vec<u8>, item: &Item, projection: Option<&Projection>) {
    match projection {
        None => write_attributes(out, item.attributes()),
        Some(projection) => write_attributes_where(out, item.attributes(), |name| projection.has(name)),
    }
}

/// Items of one table of a BatchGetItem, as far as a page has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPage {
    /// The JSON of the items, with commas between them.
    pub items: Vec<u8>,
    /// The number of keys up to the end of the page: all of them when it is the last one.
    pub next: usize,
}

impl Tables {
    /// Reads items of one table of a BatchGetItem from a key on, until their JSON has that many bytes; at least one
    /// item.
    ///
    /// # Errors
    /// [`Fault`] when there is no such table, or the keys do not fit it.
    pub fn read_batch(
        &self,
        owner: &Owner,
        part: &BatchPart,
        (from, bytes_max): (usize, usize),
        now_ms: i64,
    ) -> Result<BatchPage, Fault> {
        Ok(self.find(owner, &part.table)?.get_page(part, from, bytes_max, now_ms)?)
    }

    /// Answers a read of one table: the whole body, or for [`Read::Batch`] the list of its items.
    ///
    /// # Errors
    /// [`Fault`] when there is no such table, or the read does not fit its keys and indexes.
    pub fn read(&self, owner: &Owner, read: &Read, now_ms: i64) -> Result<Vec<u8>, Fault> {
        let name = read.table();
        let no_table = |_| match read {
            Read::ListTags(table) => Fault::NoResource { arn: owner.arn(table) },
            _ => Fault::NoTable { table: name.to_owned() },
        };
        let table = self.find(owner, name).map_err(no_table)?;
        match read {
            Read::GetItem(get) => table.get_item(get, now_ms),
            Read::Scan(scan) => Ok(table.scan(scan, now_ms)?),
            Read::Query(query) => Ok(table.query(query, now_ms)?),
            Read::Batch(part) => Ok(table.get_items(part, now_ms)?),
            Read::DescribeTable(_) => Ok(describe::table_body("Table", owner, table, "ACTIVE")),
            Read::DescribeContinuousBackups(_) => {
                Ok(describe::continuous_backups_body(table.has_continuous_backups))
            }
            Read::DescribeTimeToLive(_) => Ok(describe::time_to_live_body(table)),
            Read::ListTags(_) => Ok(describe::tags_body(table)),
        }
    }
}

impl super::Table {
    fn get_item(&self, get: &GetItem, now_ms: i64) -> Result<Vec<u8>, Fault> {
        let key = self.schema.key_of_key(&get.key)?;
        Ok(structure(|out| {
            if let Some(item) = self.get(&key, now_ms) {
                write_projected(out.member("Item"), item, get.projection.as_ref());
            }
        }))
    }

    fn get_items(&self, part: &BatchPart, now_ms: i64) -> Result<Vec<u8>, Invalid> {
        let BatchPage { items, .. } = self.get_page(part, 0, usize::MAX, now_ms)?;
        Ok([b"[", &*items, b"]"].concat())
    }

    fn get_page(
        &self,
        part: &BatchPart,
        from: usize,
        bytes_max: usize,
        now_ms: i64,
    ) -> Result<BatchPage, Invalid> {
        let mut keys = Vec::with_capacity(part.keys.len());
        for key in &part.keys {
            keys.push(self.schema.key_of_key(key)?);
        }
        let mut seen = BTreeSet::new();
        if !keys.iter().all(|key| seen.insert(key)) {
            return Err(Invalid::DuplicateKeys);
        }
        let mut page = BatchPage { items: Vec::new(), next: keys.len() };
        for (at, key) in keys.iter().enumerate().skip(from) {
            if page.items.len() >= bytes_max {
                page.next = at;
                break;
            }
            let Some(item) = self.get(key, now_ms) else { continue };
            if !page.items.is_empty() {
                page.items.push(b',');
            }
            write_projected(&mut page.items, item, part.projection.as_ref());
        }
        Ok(page)
    }
}
