//! Conditions: of writes, and of filters.

use std::cmp::Ordering;

use crate::value::{Kind, Value, ValueRef};

/// An attribute of the item, by name, or a value of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The attribute of that name.
    Attribute(Box<str>),
    /// A value.
    Value(Value),
}

/// Compares two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Comparison {
    /// Equal, and both there.
    Equal,
    /// Not [`Self::Equal`]: true when a side is absent.
    NotEqual,
    /// Below; false for other types than S, N and B, and for two types.
    Less,
    /// Below or equal.
    LessOrEqual,
    /// Above.
    Greater,
    /// Above or equal.
    GreaterOrEqual,
}

/// Every comparison in the order of its bytes, with its operator.
pub(super) const COMPARISONS: [(Comparison, &str); 6] = [
    (Comparison::Equal, "="),
    (Comparison::NotEqual, "<>"),
    (Comparison::Less, "<"),
    (Comparison::LessOrEqual, "<="),
    (Comparison::Greater, ">"),
    (Comparison::GreaterOrEqual, ">="),
];

impl Comparison {
    pub(super) fn operator(self) -> &'static str {
        COMPARISONS[self as usize].1
    }

    fn holds(self, left: Option<ValueRef<'_>>, right: Option<ValueRef<'_>>) -> bool {
        let (Some(left), Some(right)) = (left, right) else { return self == Self::NotEqual };
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left.order(right) == Some(Ordering::Less),
            Self::LessOrEqual => left.order(right).is_some_and(Ordering::is_le),
            Self::Greater => left.order(right) == Some(Ordering::Greater),
            Self::GreaterOrEqual => left.order(right).is_some_and(Ordering::is_ge),
        }
    }
}

/// A condition over one item, or over an absent one, which has no attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// The condition does not hold.
    Not(Box<Condition>),
    /// The comparison holds.
    Compare(Comparison, Operand, Operand),
    /// The first operand lies between the others, or is one of them.
    Between(Operand, Operand, Operand),
    /// The first operand is one of the others.
    In(Operand, Vec<Operand>),
    /// The attribute is there.
    Exists(Box<str>),
    /// The attribute is absent.
    NotExists(Box<str>),
    /// The first operand begins with the second one; both are S, or both are B.
    BeginsWith(Operand, Operand),
}

impl Operand {
    fn value<'v>(&'v self, get: &dyn Fn(&str) -> Option<ValueRef<'v>>) -> Option<ValueRef<'v>> {
        match self {
            Self::Attribute(name) => get(name),
            Self::Value(value) => Some(value.as_ref()),
        }
    }
}

impl Condition {
    /// Evaluates the condition; `get` gives the attributes of the item.
    pub fn holds<'v>(&'v self, get: &dyn Fn(&str) -> Option<ValueRef<'v>>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|condition| condition.holds(get)),
            Self::Or(all) => all.iter().any(|condition| condition.holds(get)),
            Self::Not(condition) => !condition.holds(get),
            Self::Compare(comparison, left, right) => comparison.holds(left.value(get), right.value(get)),
            Self::Between(operand, lower, upper) => {
                let value = operand.value(get);
                Comparison::GreaterOrEqual.holds(value, lower.value(get))
                    && Comparison::LessOrEqual.holds(value, upper.value(get))
            }
            Self::In(operand, all) => {
                let value = operand.value(get);
                all.iter().any(|one| Comparison::Equal.holds(value, one.value(get)))
            }
            Self::Exists(name) => get(name).is_some(),
            Self::NotExists(name) => get(name).is_none(),
            Self::BeginsWith(operand, prefix) => match (operand.value(get), prefix.value(get)) {
                (Some(value), Some(prefix)) => {
                    value.kind == prefix.kind
                        && matches!(value.kind, Kind::S | Kind::B)
                        && value.payload().starts_with(prefix.payload())
                }
                _ => false,
            },
        }
    }

    /// Calls for each attribute that the condition names.
    pub fn for_each_name<'c>(&'c self, see: &mut dyn FnMut(&'c str)) {
        let mut operand = |operand: &'c Operand| {
            if let Operand::Attribute(name) = operand {
                see(name);
            }
        };
        match self {
            Self::And(all) | Self::Or(all) => all.iter().for_each(|condition| condition.for_each_name(see)),
            Self::Not(condition) => condition.for_each_name(see),
            Self::Compare(_, left, right) | Self::BeginsWith(left, right) => {
                [left, right].into_iter().for_each(operand);
            }
            Self::Between(one, lower, upper) => [one, lower, upper].into_iter().for_each(operand),
            Self::In(one, all) => {
                operand(one);
                all.iter().for_each(operand);
            }
            Self::Exists(name) | Self::NotExists(name) => see(name),
        }
    }
}
