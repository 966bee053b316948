//! Snapshots: all tables of a group as bytes, written piece by piece. Equal states have equal bytes; keys and indexes
//! are not part of them, because they follow from items. `tables/FORMAT.md` has the bytes.

use std::io::{self, Write};

use super::Tables;
use super::definition::size_with_owner;
use super::size::NOTHING;
use super::table::{Table, snapshot_bytes};
use crate::codec::{Damaged, Reader, number_len, put_bytes};
use crate::owner::Owner;
use crate::value::Item;

/// The version of the bytes of a snapshot without tokens of transactions.
const VERSION: u8 = 1;

/// The version of the bytes of a snapshot with such tokens behind the tables.
const VERSION_WITH_TOKENS: u8 = 2;

const TABLE: u8 = 1;
const END: u8 = 0;

/// Bytes of a snapshot without tables: version and end.
pub(super) const BYTES_OF_NONE: u64 = 2;

/// Bytes of the number of items.
const COUNT_BYTES: usize = 8;

/// Bytes of a table in a snapshot besides its description and its items: its mark, its owner, the number of its items.
pub(super) fn bytes_around(owner: &Owner) -> u64 {
    let text = |text: &str| number_len(text.len() as u64) + text.len();
    (1 + text(&owner.account) + text(&owner.region) + COUNT_BYTES) as u64
}

impl Tables {
    /// Writes a snapshot of [`Self::bytes`] bytes, one item at a time.
    ///
    /// # Errors
    /// The errors of the writer.
    pub fn write_snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let version = if self.tokens.is_empty() { VERSION } else { VERSION_WITH_TOKENS };
        out.write_all(&[version])?;
        let mut piece = Vec::new();
        for (owner, tables) in &self.owners {
            for table in tables.values() {
                piece.clear();
                piece.push(TABLE);
                put_bytes(&mut piece, owner.account.as_bytes());
                put_bytes(&mut piece, owner.region.as_bytes());
                table.encode_definition(&mut piece);
                piece.extend_from_slice(&(table.items.len() as u64).to_le_bytes());
                out.write_all(&piece)?;
                for item in table.items.values() {
                    piece.clear();
                    put_bytes(&mut piece, item.bytes());
                    out.write_all(&piece)?;
                }
            }
        }
        piece.clear();
        piece.push(END);
        if !self.tokens.is_empty() {
            self.encode_tokens(&mut piece);
        }
        out.write_all(&piece)
    }

    /// The bytes of a snapshot.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        self.write_snapshot(&mut out).expect("writing to memory cannot fail");
        out
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// [`Damaged`] when it is none, or of another version.
    pub fn read_snapshot(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let has_tokens = match reader.byte()? {
            VERSION => false,
            VERSION_WITH_TOKENS => true,
            _ => return Err(Damaged),
        };
        let mut tables = Self::new();
        while reader.byte()? == TABLE {
            let owner = Owner { account: reader.name()?, region: reader.name()? };
            let table = read_table(&mut reader)?;
            let last = tables.owners.last_key_value();
            let is_in_order = last.is_none_or(|(last, tables)| {
                *last < owner
                    || (*last == owner && tables.last_key_value().is_some_and(|(name, _)| *name < table.name))
            });
            if !is_in_order {
                return Err(Damaged);
            }
            tables.resize(&owner.account, NOTHING, size_with_owner(&owner, &table));
            tables.owners.entry(owner).or_default().insert(table.name.clone(), table);
        }
        if bytes.get(bytes.len() - reader.0.len() - 1) != Some(&END) {
            return Err(Damaged);
        }
        if has_tokens {
            tables.decode_tokens(&mut reader)?;
        }
        reader.end()?;
        Ok(tables)
    }
}

fn read_table(reader: &mut Reader<'_>) -> Result<Table, Damaged> {
    let mut table = Table::decode_definition(reader)?;
    let count = u64::from_le_bytes(reader.take(COUNT_BYTES)?.try_into().expect("8 bytes"));
    let mut items = Vec::new();
    for _ in 0..count {
        let item = Item::decode(reader.bytes()?)?;
        let key = table.schema.key_of_item(&item).map_err(|_| Damaged)?;
        if items.last().is_some_and(|(last, _)| *last >= key) {
            return Err(Damaged);
        }
        table.item_bytes += snapshot_bytes(&item);
        items.push((key, item));
    }
    table.items = items.into_iter().collect();
    for index in &mut table.indexes {
        index.rebuild(&table.items);
    }
    table.order_items();
    Ok(table)
}
