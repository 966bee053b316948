//! Projections: the attributes that a read gives.

use super::parser::{Cursor, Refusal, parse};
use super::substitutions::Substitutions;
use super::{ExpressionFault, Which};
use crate::fault::Invalid;

/// Names of attributes, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection(pub Vec<Box<str>>);

impl Projection {
    /// Parses a `ProjectionExpression`.
    pub(crate) fn parse(text: &str, substitutions: &Substitutions) -> Result<Self, Invalid> {
        parse(Which::Projection, text, substitutions, list).map(Self)
    }

    /// True for an attribute that is chosen.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| **own == *name)
    }
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<Box<str>>, Refusal> {
    let mut names: Vec<Box<str>> = Vec::new();
    while names.is_empty() || cursor.takes(",") {
        cursor.count_operator()?;
        let name = cursor.path()?;
        if names.contains(&name) {
            return Err(ExpressionFault::PathsOverlap { name: name.into() }.into());
        }
        names.push(name);
    }
    Ok(names)
}
