//! Conditions, updates, projections and key conditions: their grammar, their legacy forms, and their meaning.
//!
//! Both forms of a request make the same trees, which name attributes and contain values: the substitutions of `#name`
//! and `:value` are done by then. Parsing is bounded in bytes, operators and nesting, so that no text exhausts the
//! stack.

mod condition;
mod encoding;
mod fault;
mod key_condition;
pub(crate) mod legacy;
mod parser;
mod projection;
mod substitutions;
mod token;
mod update;
mod update_parser;

pub use condition::{Comparison, Condition, Operand};
pub use fault::{ExpressionFault, Which};
pub use key_condition::{KeyCondition, KeyTest};
pub use projection::Projection;
pub use update::{Action, SetTo, Term, Update};

pub(crate) use substitutions::Substitutions;

/// Bytes of one expression; DynamoDB's bound.
pub const BYTES_MAX: usize = 4_096;

/// Operators and functions of one expression; DynamoDB's bound.
pub const OPERATORS_MAX: usize = 300;

/// Operands of one IN; DynamoDB's bound.
pub const IN_OPERANDS_MAX: usize = 100;

/// Parentheses and NOTs inside one another.
pub const NESTING_MAX: usize = 64;
