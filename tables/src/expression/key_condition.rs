//! Key conditions of Query: one equality for the hash key, at most one test for the range key.

use super::parser::{self, Refusal, parse};
use super::substitutions::Substitutions;
use super::{Comparison, Condition, ExpressionFault, NESTING_MAX, Operand, Which};
use crate::fault::Invalid;
use crate::value::Value;

/// A test of one attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTest {
    /// A comparison, other than `<>`.
    Compare(Comparison, Value),
    /// Both bounds belong to it.
    Between(Value, Value),
    /// A prefix of S or B.
    BeginsWith(Value),
}

/// The tests, each of another attribute. A table or an index decides whether they are those of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCondition(pub Vec<(Box<str>, KeyTest)>);

impl KeyCondition {
    /// Parses a `KeyConditionExpression`.
    pub(crate) fn parse(text: &str, substitutions: &Substitutions) -> Result<Self, Invalid> {
        parse(Which::KeyCondition, text, substitutions, |cursor| {
            let mut tests = Vec::new();
            collect(parser::or(cursor, NESTING_MAX)?, &mut tests)?;
            Ok(tests)
        })
        .map(Self)
    }

    /// The test of that attribute.
    pub fn of(&self, name: &str) -> Option<&KeyTest> {
        self.0.iter().find(|(own, _)| **own == *name).map(|(_, test)| test)
    }
}

fn collect(condition: Condition, tests: &mut Vec<(Box<str>, KeyTest)>) -> Result<(), Refusal> {
    let not_here = |operator| Err(ExpressionFault::OperatorInKeyCondition { operator }.into());
    let (name, test) = match condition {
        Condition::And(all) => return all.into_iter().try_for_each(|condition| collect(condition, tests)),
        Condition::Or(_) => return not_here("OR"),
        Condition::Not(_) => return not_here("NOT"),
        Condition::In(..) => return not_here("IN"),
        Condition::Exists(_) => return not_here("attribute_exists"),
        Condition::NotExists(_) => return not_here("attribute_not_exists"),
        Condition::Compare(Comparison::NotEqual, ..) => return not_here("<>"),
        Condition::Compare(comparison, Operand::Attribute(name), Operand::Value(value)) => {
            (name, KeyTest::Compare(comparison, value))
        }
        Condition::Between(Operand::Attribute(name), Operand::Value(lower), Operand::Value(upper)) => {
            (name, KeyTest::Between(lower, upper))
        }
        Condition::BeginsWith(Operand::Attribute(name), Operand::Value(prefix)) => {
            (name, KeyTest::BeginsWith(prefix))
        }
        Condition::Compare(_, Operand::Attribute(_), Operand::Attribute(_)) => {
            return Err(ExpressionFault::SeveralNamesInKeyCondition.into());
        }
        Condition::Compare(comparison, ..) => return needs_path(comparison.operator()),
        Condition::Between(..) => return needs_path("BETWEEN"),
        Condition::BeginsWith(..) => return needs_path("begins_with"),
    };
    if tests.iter().any(|(own, _)| *own == name) {
        return Err(ExpressionFault::SeveralConditionsForKey.into());
    }
    tests.push((name, test));
    Ok(())
}

fn needs_path(operator: &'static str) -> Result<(), Refusal> {
    Err(ExpressionFault::NeedsPath { operator }.into())
}
