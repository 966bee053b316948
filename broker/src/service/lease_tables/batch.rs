//! The answer of BatchGetItem, page by page: bounded, and charged to the memory for answers as it grows.

use std::sync::Arc;

use tidelog_tables::request::BatchPart;
use tidelog_tables::{Fault, answer};

use super::{OK, TablesReply};
use crate::room::{AnswerRoom, Growing};

/// Bytes of the items of one answer; DynamoDB's bound.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bytes of one page, for which a group does not apply its log.
const PAGE_BYTES: usize = 1 << 20;

/// An answer that is not complete yet.
pub(super) struct Batch {
    charge: Growing,
    /// Tables with the JSON of their items, with commas between them.
    found: Vec<(Box<str>, Vec<u8>)>,
    /// Parts of the request with keys that are left to ask for again, and the number of keys that were read.
    pub left: Vec<(Arc<BatchPart>, usize)>,
    bytes: usize,
    is_full: bool,
}

impl Batch {
    pub fn new(room: &AnswerRoom) -> Self {
        let charge = room.growing();
        Self { charge, found: Vec::new(), left: Vec::new(), bytes: 0, is_full: false }
    }

    /// Bytes of the next page; `None` when there is no room for one.
    pub fn page_bytes(&self) -> Option<usize> {
        let left = ANSWER_BYTES_MAX.saturating_sub(self.bytes);
        (!self.is_full && left > 0).then_some(left.min(PAGE_BYTES))
    }

    /// Takes a page of a table's items, if there is room for it: then true.
    ///
    /// # Errors
    /// [`Fault::Throttled`] when there is not even room for the first one.
    pub fn take(&mut self, part: &BatchPart, from: usize, items: Vec<u8>) -> Result<bool, Fault> {
        if !self.charge.grow(self.bytes + items.len()) {
            self.is_full = true;
            return if self.bytes == 0 { Err(Fault::Throttled) } else { Ok(false) };
        }
        self.bytes += items.len();
        match self.found.last_mut().filter(|_| from > 0) {
            Some((_, found)) if !found.is_empty() && !items.is_empty() => {
                found.push(b',');
                found.extend(items);
            }
            Some((_, found)) => found.extend(items),
            None => self.found.push((part.table.clone(), items)),
        }
        Ok(true)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`Fault::Throttled`] when there is no room for it with the keys that are left.
    pub fn reply(mut self) -> Result<TablesReply, Fault> {
        let lists = self.found.iter_mut().map(|(table, items)| {
            items.insert(0, b'[');
            items.push(b']');
            (&**table, std::mem::take(items))
        });
        let left = self.left.iter().map(|(part, read)| (&**part, *read));
        let body = answer::batch_get_body_until(lists, left);
        if !self.charge.grow(body.len()) {
            return Err(Fault::Throttled);
        }
        Ok(TablesReply { status: OK, body: body.into(), charge: self.charge.into_charge() })
    }
}
