//! Attribute values of the ten types, in one encoding that serves the log, snapshots and memory.
//!
//! A value is a kind and a payload. Payloads are canonical: numbers are normalised, sets and members of maps are
//! sorted, so that equal values have equal bytes, and values of S, N and B compare as their bytes do. Lists, maps and
//! sets put the length before each part. An [`Item`] is the payload of a map, in a single allocation.

mod from_json;
mod item;
mod number;
mod to_json;

use std::cmp::Ordering;

pub use item::{Attributes, Change, Changes, Item};
pub use number::{DIGITS_MAX, Decimal, NumberError};

pub(crate) use from_json::{read_attributes, read_value};
pub(crate) use to_json::{write_attributes, write_attributes_where, write_value};

use crate::codec::{Damaged, Reader, put_bytes};

/// Values inside one another; DynamoDB's bound.
pub const DEPTH_MAX: usize = 32;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Text.
    S = 1,
    /// A number.
    N,
    /// Bytes.
    B,
    /// A boolean.
    Bool,
    /// No value.
    Null,
    /// Named values.
    M,
    /// Values in order.
    L,
    /// A set of texts.
    Ss,
    /// A set of numbers.
    Ns,
    /// A set of bytes.
    Bs,
}

/// Kinds with the names that requests have for them, and those in messages about operands.
const KINDS: [(Kind, &str, &str); 10] = [
    (Kind::S, "S", "STRING"),
    (Kind::N, "N", "NUMBER"),
    (Kind::B, "B", "BINARY"),
    (Kind::Bool, "BOOL", "BOOLEAN"),
    (Kind::Null, "NULL", "NULL"),
    (Kind::M, "M", "MAP"),
    (Kind::L, "L", "LIST"),
    (Kind::Ss, "SS", "STRING_SET"),
    (Kind::Ns, "NS", "NUMBER_SET"),
    (Kind::Bs, "BS", "BINARY_SET"),
];

impl Kind {
    /// The name in requests: `S`, `BOOL`.
    pub fn name(self) -> &'static str {
        KINDS[self as usize - 1].1
    }

    /// The name in messages about the operands of update expressions: `STRING`, `BOOLEAN`.
    pub fn long_name(self) -> &'static str {
        KINDS[self as usize - 1].2
    }

    /// The kind of that name in requests.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind)
    }

    pub(crate) fn from_byte(byte: u8) -> Result<Self, Damaged> {
        let at = usize::from(byte).checked_sub(1).ok_or(Damaged)?;
        KINDS.get(at).map(|(kind, ..)| *kind).ok_or(Damaged)
    }

    /// True for the kinds that have an order and can be keys.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::S | Self::N | Self::B)
    }

    /// The kind of the elements, when this is a set.
    pub fn of_elements(self) -> Option<Self> {
        match self {
            Self::Ss => Some(Self::S),
            Self::Ns => Some(Self::N),
            Self::Bs => Some(Self::B),
            _ => None,
        }
    }
}

/// A value inside an item, or one of its own ([`Value`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRef<'a> {
    /// The type.
    pub kind: Kind,
    payload: &'a [u8],
}

/// A value of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    kind: Kind,
    payload: Box<[u8]>,
}

impl Value {
    pub(crate) fn new(kind: Kind, payload: impl Into<Box<[u8]>>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::new(Kind::S, text.as_bytes())
    }

    /// A number.
    pub fn number(number: &Decimal) -> Self {
        let mut payload = Vec::new();
        number.encode(&mut payload);
        Self::new(Kind::N, payload)
    }

    /// A set of distinct payloads, in any order. There has to be at least one.
    pub(crate) fn set(kind: Kind, mut elements: Vec<&[u8]>) -> Self {
        elements.sort_unstable();
        let mut payload = Vec::new();
        for element in elements {
            put_bytes(&mut payload, element);
        }
        Self::new(kind, payload)
    }

    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        ValueRef { kind: self.kind, payload: &self.payload }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        ValueRef::decode(reader, DEPTH_MAX).map(ValueRef::to_value)
    }
}

impl<'a> ValueRef<'a> {
    /// Bytes that the value is stored as: UTF-8 of S, bytes of B, the ordered form of N.
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// The text of S.
    pub fn as_text(self) -> Option<&'a str> {
        (self.kind == Kind::S).then(|| std::str::from_utf8(self.payload).expect("checked when it was read"))
    }

    /// The number of N.
    pub fn as_number(self) -> Option<Decimal> {
        (self.kind == Kind::N).then(|| Decimal::decode(self.payload).expect("checked when it was read"))
    }

    /// The payloads of the elements of a set.
    pub fn elements(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let mut rest = Reader(if self.kind.of_elements().is_some() { self.payload } else { &[] });
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| rest.bytes().expect("checked when it was read"))
        })
    }

    /// The values of a list.
    pub fn list(self) -> impl Iterator<Item = ValueRef<'a>> + Clone {
        let mut rest = Reader(if self.kind == Kind::L { self.payload } else { &[] });
        std::iter::from_fn(move || (!rest.is_empty()).then(|| ValueRef::next(&mut rest)))
    }

    /// The members of a map.
    pub fn members(self) -> Attributes<'a> {
        Attributes::new(if self.kind == Kind::M { self.payload } else { &[] })
    }

    /// The value, copied.
    pub fn to_value(self) -> Value {
        Value::new(self.kind, self.payload)
    }

    /// The order of two values of one type among S, N and B; none of any others.
    pub fn order(self, other: ValueRef<'_>) -> Option<Ordering> {
        (self.kind == other.kind && self.kind.is_ordered()).then(|| self.payload.cmp(other.payload))
    }

    /// Bytes that DynamoDB counts for the value.
    pub fn size(self) -> usize {
        match self.kind {
            Kind::S | Kind::B => self.payload.len(),
            Kind::N => size_of_number(self.payload),
            Kind::Bool | Kind::Null => 1,
            Kind::Ss | Kind::Bs => self.elements().map(<[u8]>::len).sum(),
            Kind::Ns => self.elements().map(size_of_number).sum(),
            Kind::L => 3 + self.list().map(|value| 1 + value.size()).sum::<usize>(),
            Kind::M => 3 + self.members().map(|(name, value)| 1 + name.len() + value.size()).sum::<usize>(),
        }
    }

    /// Appends kind, length and payload.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        put_bytes(out, self.payload);
    }

    /// Reads and checks a value with at most `depth` values inside one another.
    pub(crate) fn decode(reader: &mut Reader<'a>, depth: usize) -> Result<Self, Damaged> {
        let kind = Kind::from_byte(reader.byte()?)?;
        let value = Self { kind, payload: reader.bytes()? };
        value.check(depth)?;
        Ok(value)
    }

    fn next(rest: &mut Reader<'a>) -> Self {
        let kind = rest.byte().and_then(Kind::from_byte).expect("checked when it was read");
        Self { kind, payload: rest.bytes().expect("checked when it was read") }
    }

    fn check(self, depth: usize) -> Result<(), Damaged> {
        let inner = depth.checked_sub(1).ok_or(Damaged)?;
        match self.kind {
            Kind::S | Kind::N | Kind::B => check_scalar(self.kind, self.payload),
            Kind::Bool if matches!(self.payload, [0 | 1]) => Ok(()),
            Kind::Null if self.payload.is_empty() => Ok(()),
            Kind::Bool | Kind::Null => Err(Damaged),
            Kind::M => check_members(self.payload, inner),
            Kind::L => {
                let mut rest = Reader(self.payload);
                while !rest.is_empty() {
                    Self::decode(&mut rest, inner)?;
                }
                Ok(())
            }
            Kind::Ss | Kind::Ns | Kind::Bs => check_set(self.kind, self.payload),
        }
    }
}

fn size_of_number(payload: &[u8]) -> usize {
    Decimal::decode(payload).expect("checked when it was read").size()
}

fn check_scalar(kind: Kind, payload: &[u8]) -> Result<(), Damaged> {
    match kind {
        Kind::S => std::str::from_utf8(payload).map(|_| ()).map_err(|_| Damaged),
        Kind::N => Decimal::decode(payload).map(|_| ()),
        _ => Ok(()),
    }
}

/// Elements of a set are sorted and distinct, and there is one at least.
fn check_set(kind: Kind, payload: &[u8]) -> Result<(), Damaged> {
    let of_elements = kind.of_elements().ok_or(Damaged)?;
    let mut rest = Reader(payload);
    let mut before: Option<&[u8]> = None;
    while !rest.is_empty() {
        let element = rest.bytes()?;
        check_scalar(of_elements, element)?;
        if before.is_some_and(|before| before >= element) {
            return Err(Damaged);
        }
        before = Some(element);
    }
    before.map(|_| ()).ok_or(Damaged)
}

/// Members of a map are sorted by name and distinct.
fn check_members(payload: &[u8], depth: usize) -> Result<(), Damaged> {
    let mut rest = Reader(payload);
    let mut before: Option<&str> = None;
    while !rest.is_empty() {
        let name = rest.text()?;
        if before.is_some_and(|before| before >= name) {
            return Err(Damaged);
        }
        before = Some(name);
        ValueRef::decode(&mut rest, depth)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
