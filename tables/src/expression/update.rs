//! Updates of items: SET, REMOVE, ADD and DELETE, and the legacy PUT, ADD and DELETE.

use crate::fault::Invalid;
use crate::value::{Change, Changes, Decimal, Item, Kind, Value, ValueRef};

use super::Operand;

/// An operand of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// An attribute of the item before the update, or a value.
    Operand(Operand),
    /// The attribute of that name, or the operand if it is absent.
    IfNotExists(Box<str>, Operand),
}

/// The right side of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetTo {
    /// The operand.
    Term(Term),
    /// A sum.
    Plus(Term, Term),
    /// A difference.
    Minus(Term, Term),
}

/// One change of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the attribute.
    Set(Box<str>, SetTo),
    /// Removes it; an absent one stays absent.
    Remove(Box<str>),
    /// Adds to a number, an absent one counting as 0, or unites a set.
    Add(Box<str>, Value),
    /// Takes elements out of a set; an empty set is removed.
    Delete(Box<str>, Value),
}

/// All changes of an update. Each attribute is changed once, and all operands read the item as it was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The changes in the order of the request.
    pub actions: Vec<Action>,
    /// True for AttributeUpdates, whose errors have other sentences.
    pub is_legacy: bool,
}

impl Action {
    /// The attribute that changes.
    pub fn name(&self) -> &str {
        let (Self::Set(name, _) | Self::Remove(name) | Self::Add(name, _) | Self::Delete(name, _)) = self;
        name
    }
}

impl Operand {
    fn read<'a>(&'a self, old: &'a Item) -> Result<ValueRef<'a>, Invalid> {
        match self {
            Self::Attribute(name) => old.get(name).ok_or(Invalid::MissingAttribute),
            Self::Value(value) => Ok(value.as_ref()),
        }
    }
}

impl Term {
    fn read<'a>(&'a self, old: &'a Item) -> Result<ValueRef<'a>, Invalid> {
        match self {
            Self::Operand(operand) => operand.read(old),
            Self::IfNotExists(name, operand) => old.get(name).map_or_else(|| operand.read(old), Ok),
        }
    }
}

impl Update {
    /// The changes that the update makes to the item before it.
    ///
    /// # Errors
    /// [`Invalid`] when an operand is absent or of another type, or a sum is no number.
    pub fn changes<'a>(&'a self, old: &'a Item) -> Result<Changes<'a>, Invalid> {
        let mut changes = Changes::new();
        for action in &self.actions {
            let change = match action {
                Action::Set(_, to) => to.read(old)?,
                Action::Remove(_) => Change::Removed,
                Action::Add(name, value) => self.add(old.get(name), value.as_ref())?,
                Action::Delete(name, value) => self.delete(old.get(name), value.as_ref())?,
            };
            changes.insert(action.name(), change);
        }
        Ok(changes)
    }

    fn mismatch(&self) -> Invalid {
        if self.is_legacy { Invalid::UpdateTypeMismatch } else { Invalid::IncorrectOperand }
    }

    fn add<'a>(&self, old: Option<ValueRef<'a>>, value: ValueRef<'a>) -> Result<Change<'a>, Invalid> {
        match old {
            None => Ok(Change::To(value)),
            Some(old) if old.kind != value.kind => Err(self.mismatch()),
            Some(old) if old.kind == Kind::N => sum(old, value, false).map(Change::Made),
            Some(old) => {
                let mut elements: Vec<&[u8]> = old.elements().chain(value.elements()).collect();
                elements.sort_unstable();
                elements.dedup();
                Ok(Change::Made(Value::set(old.kind, elements)))
            }
        }
    }

    fn delete<'a>(&self, old: Option<ValueRef<'a>>, value: ValueRef<'a>) -> Result<Change<'a>, Invalid> {
        let Some(old) = old else { return Ok(Change::Removed) };
        if old.kind != value.kind {
            return Err(self.mismatch());
        }
        let gone: std::collections::BTreeSet<&[u8]> = value.elements().collect();
        let elements: Vec<&[u8]> = old.elements().filter(|element| !gone.contains(element)).collect();
        if elements.is_empty() {
            Ok(Change::Removed)
        } else {
            Ok(Change::Made(Value::set(old.kind, elements)))
        }
    }
}

impl SetTo {
    fn read<'a>(&'a self, old: &'a Item) -> Result<Change<'a>, Invalid> {
        match self {
            Self::Term(term) => term.read(old).map(Change::To),
            Self::Plus(left, right) => sum(left.read(old)?, right.read(old)?, false).map(Change::Made),
            Self::Minus(left, right) => sum(left.read(old)?, right.read(old)?, true).map(Change::Made),
        }
    }
}

fn sum(left: ValueRef<'_>, right: ValueRef<'_>, is_difference: bool) -> Result<Value, Invalid> {
    let number = |value: ValueRef<'_>| value.as_number().ok_or(Invalid::IncorrectOperand);
    let (left, right): (Decimal, Decimal) = (number(left)?, number(right)?);
    let sum = left.plus(if is_difference { right.negated() } else { right });
    sum.map(|sum| Value::number(&sum)).map_err(|error| Invalid::number(error, ""))
}
