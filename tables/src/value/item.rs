//! An item: its attributes, sorted by name, in one allocation.

use std::collections::BTreeMap;

use super::{DEPTH_MAX, Kind, Value, ValueRef, check_members};
use crate::codec::{Damaged, Reader, put_bytes};
use crate::fault::Fault;

/// Attributes of one item, or those of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item(Box<[u8]>);

/// Iterates over attributes in the order of their names.
#[derive(Clone)]
pub struct Attributes<'a>(Reader<'a>);

/// One attribute's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Set to a value of the request or of the item before.
    To(ValueRef<'a>),
    /// Set to a value that the update has made.
    Made(Value),
    /// Absent afterwards.
    Removed,
}

/// Attributes that a write changes, by name.
pub type Changes<'a> = BTreeMap<&'a str, Change<'a>>;

impl<'a> Attributes<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self(Reader(payload))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = self.0.text().expect("checked when it was read");
        Some((name, ValueRef::next(&mut self.0)))
    }
}

pub(super) fn put_attribute(out: &mut Vec<u8>, name: &str, value: ValueRef<'_>) {
    put_bytes(out, name.as_bytes());
    value.encode(out);
}

impl Item {
    /// An item of these attributes.
    pub fn new<'a>(attributes: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let sorted: BTreeMap<&str, Value> = attributes.into_iter().collect();
        let mut out = Vec::new();
        for (name, value) in &sorted {
            put_attribute(&mut out, name, value.as_ref());
        }
        Self(out.into())
    }

    /// An item of bytes that are known to be canonical.
    pub(crate) fn of_checked(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Checks bytes from outside.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        check_members(bytes, DEPTH_MAX)?;
        Ok(Self(bytes.into()))
    }

    /// Reads an item from DynamoDB's JSON: `{"leaseKey": {"S": "shard"}}`.
    ///
    /// # Errors
    /// [`Fault`] for another form, as PutItem refuses it.
    pub fn from_json(json: &[u8]) -> Result<Self, Fault> {
        super::read_attributes(&crate::json::parse(json).map_err(|_| Fault::Unreadable)?)
    }

    /// The item as DynamoDB's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * 2);
        super::write_attributes(&mut out, self.attributes());
        out
    }

    /// The stored form.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// True without any attribute.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The attributes in the order of their names.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(&self.0)
    }

    /// The attribute of that name.
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        self.attributes()
            .take_while(|(own, _)| *own <= name)
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value)
    }

    /// The text of an attribute of type S.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(ValueRef::as_text)
    }

    /// Bytes that DynamoDB counts for the item.
    pub fn size(&self) -> usize {
        self.attributes().map(|(name, value)| name.len() + value.size()).sum()
    }

    /// True when the item has more than `bound` bytes, as DynamoDB counts them.
    pub fn is_above(&self, bound: usize) -> bool {
        // An empty list or map counts for three bytes and takes two here, besides the kind that stands before it.
        self.0.len() * 2 > bound && self.size() > bound
    }

    /// The item with changes, in one pass over its bytes.
    #[must_use]
    pub fn with(&self, changes: &Changes<'_>) -> Self {
        let mut out = Vec::with_capacity(self.0.len() + 64 * changes.len());
        let mut changes = changes.iter().peekable();
        for (name, value) in self.attributes() {
            while let Some((added, change)) = changes.next_if(|(changed, _)| **changed < name) {
                put_change(&mut out, added, change);
            }
            match changes.next_if(|(changed, _)| **changed == name) {
                Some((_, change)) => put_change(&mut out, name, change),
                None => put_attribute(&mut out, name, value),
            }
        }
        for (name, change) in changes {
            put_change(&mut out, name, change);
        }
        Self(out.into())
    }

    /// The attributes whose names are chosen.
    #[must_use]
    pub fn only(&self, is_chosen: impl Fn(&str) -> bool) -> Self {
        let mut out = Vec::new();
        for (name, value) in self.attributes().filter(|(name, _)| is_chosen(name)) {
            put_attribute(&mut out, name, value);
        }
        Self(out.into())
    }
}

fn put_change(out: &mut Vec<u8>, name: &str, change: &Change<'_>) {
    match change {
        Change::To(value) => put_attribute(out, name, *value),
        Change::Made(value) => put_attribute(out, name, value.as_ref()),
        Change::Removed => {}
    }
}

/// Builds the payload of a map from members in any order; the last of two with one name counts.
pub(super) fn map_payload(members: &BTreeMap<std::borrow::Cow<'_, str>, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in members {
        put_attribute(&mut out, name, value.as_ref());
    }
    out
}

impl From<&Item> for Value {
    fn from(item: &Item) -> Self {
        Self::new(Kind::M, item.0.clone())
    }
}
