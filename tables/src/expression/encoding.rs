//! Conditions and updates as bytes of commands. A tag stands before each part; depth is bounded when it is read.

use super::condition::COMPARISONS;
use super::{Action, Comparison, Condition, NESTING_MAX, Operand, SetTo, Term, Update};
use crate::codec::{Damaged, Reader, put_bytes, put_number};
use crate::value::Value;

/// A level of parentheses makes an OR, an AND and a NOT at most.
const DEPTH_MAX: usize = 3 * (NESTING_MAX + 1);

impl Operand {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Attribute(name) => {
                out.push(0);
                put_bytes(out, name.as_bytes());
            }
            Self::Value(value) => value.as_ref().encode(out),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        if reader.0.first() == Some(&0) {
            reader.byte()?;
            return reader.name().map(Self::Attribute);
        }
        Value::decode(reader).map(Self::Value)
    }
}

impl Condition {
    /// Bytes of the condition in a command.
    pub(crate) fn encoded_len(&self) -> usize {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.len()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |tag: u8, parts: &[&Operand]| {
            out.push(tag);
            parts.iter().for_each(|operand| operand.encode(out));
        };
        match self {
            Self::Compare(comparison, left, right) => put(10 + *comparison as u8, &[left, right]),
            Self::Between(operand, lower, upper) => put(4, &[operand, lower, upper]),
            Self::BeginsWith(operand, prefix) => put(8, &[operand, prefix]),
            Self::And(all) | Self::Or(all) => {
                out.push(if matches!(self, Self::And(_)) { 1 } else { 2 });
                put_number(out, all.len() as u64);
                all.iter().for_each(|condition| condition.encode(out));
            }
            Self::Not(condition) => {
                out.push(3);
                condition.encode(out);
            }
            Self::In(operand, all) => {
                put(5, &[operand]);
                put_number(out, all.len() as u64);
                all.iter().for_each(|operand| operand.encode(out));
            }
            Self::Exists(name) | Self::NotExists(name) => {
                out.push(if matches!(self, Self::Exists(_)) { 6 } else { 7 });
                put_bytes(out, name.as_bytes());
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::decode_within(reader, DEPTH_MAX)
    }

    fn decode_within(reader: &mut Reader<'_>, depth: usize) -> Result<Self, Damaged> {
        let inner = depth.checked_sub(1).ok_or(Damaged)?;
        let operand = Operand::decode;
        Ok(match reader.byte()? {
            tag @ (1 | 2) => {
                let mut all = Vec::new();
                for _ in 0..reader.count()? {
                    all.push(Self::decode_within(reader, inner)?);
                }
                if tag == 1 { Self::And(all) } else { Self::Or(all) }
            }
            3 => Self::Not(Box::new(Self::decode_within(reader, inner)?)),
            4 => Self::Between(operand(reader)?, operand(reader)?, operand(reader)?),
            5 => {
                let one = operand(reader)?;
                let mut all = Vec::new();
                for _ in 0..reader.count()? {
                    all.push(operand(reader)?);
                }
                Self::In(one, all)
            }
            6 => Self::Exists(reader.name()?),
            7 => Self::NotExists(reader.name()?),
            8 => Self::BeginsWith(operand(reader)?, operand(reader)?),
            tag => {
                let (comparison, _): (Comparison, _) =
                    *COMPARISONS.get(usize::from(tag).wrapping_sub(10)).ok_or(Damaged)?;
                Self::Compare(comparison, operand(reader)?, operand(reader)?)
            }
        })
    }
}

impl Term {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Operand(operand) => {
                out.push(0);
                operand.encode(out);
            }
            Self::IfNotExists(name, operand) => {
                out.push(1);
                put_bytes(out, name.as_bytes());
                operand.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match reader.byte()? {
            0 => Self::Operand(Operand::decode(reader)?),
            1 => Self::IfNotExists(reader.name()?, Operand::decode(reader)?),
            _ => return Err(Damaged),
        })
    }
}

impl Action {
    fn encode(&self, out: &mut Vec<u8>) {
        let tag = match self {
            Self::Set(_, SetTo::Term(_)) => 0,
            Self::Set(_, SetTo::Plus(..)) => 1,
            Self::Set(_, SetTo::Minus(..)) => 2,
            Self::Remove(_) => 3,
            Self::Add(..) => 4,
            Self::Delete(..) => 5,
        };
        out.push(tag);
        put_bytes(out, self.name().as_bytes());
        match self {
            Self::Set(_, SetTo::Term(term)) => term.encode(out),
            Self::Set(_, SetTo::Plus(left, right) | SetTo::Minus(left, right)) => {
                left.encode(out);
                right.encode(out);
            }
            Self::Remove(_) => {}
            Self::Add(_, value) | Self::Delete(_, value) => value.as_ref().encode(out),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let tag = reader.byte()?;
        let name = reader.name()?;
        Ok(match tag {
            0 => Self::Set(name, SetTo::Term(Term::decode(reader)?)),
            1 => Self::Set(name, SetTo::Plus(Term::decode(reader)?, Term::decode(reader)?)),
            2 => Self::Set(name, SetTo::Minus(Term::decode(reader)?, Term::decode(reader)?)),
            3 => Self::Remove(name),
            tag @ (4 | 5) => {
                let value = Value::decode(reader)?;
                let kind = value.as_ref().kind;
                let is_set = kind.of_elements().is_some();
                match tag {
                    4 if is_set || kind == crate::value::Kind::N => Self::Add(name, value),
                    5 if is_set => Self::Delete(name, value),
                    _ => return Err(Damaged),
                }
            }
            _ => return Err(Damaged),
        })
    }
}

impl Update {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_legacy));
        put_number(out, self.actions.len() as u64);
        self.actions.iter().for_each(|action| action.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let is_legacy = reader.flag()?;
        let mut actions = Vec::new();
        for _ in 0..reader.count()? {
            actions.push(Action::decode(reader)?);
        }
        Ok(Self { actions, is_legacy })
    }
}
