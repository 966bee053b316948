//! The parser of conditions, by recursive descent of bounded depth; [`Cursor`] serves the other expressions too.

use super::condition::COMPARISONS;
use super::substitutions::Substitutions;
use super::token::{Token, tokens};
use super::{
    BYTES_MAX, Comparison, Condition, ExpressionFault, IN_OPERANDS_MAX, NESTING_MAX, OPERATORS_MAX, Operand,
    Which,
};
use crate::fault::Invalid;
use crate::value::{Kind, Value};

/// Why an expression is refused: a fault of it, or something that lease tables do not have.
pub(super) enum Refusal {
    Fault(ExpressionFault),
    NotTaken(&'static str),
}

impl From<ExpressionFault> for Refusal {
    fn from(fault: ExpressionFault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    fn into_invalid(self, which: Which) -> Invalid {
        match self {
            Self::Fault(fault) => Invalid::Expression { which, fault },
            Self::NotTaken(what) => Invalid::NotTaken { what: what.into() },
        }
    }
}

/// Walks over the tokens of one expression.
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    operators: usize,
    pub(super) substitutions: &'a Substitutions,
}

impl Condition {
    /// Parses the expression of a condition or a filter.
    pub(crate) fn parse(which: Which, text: &str, substitutions: &Substitutions) -> Result<Self, Invalid> {
        parse(which, text, substitutions, |cursor| or(cursor, NESTING_MAX))
    }
}

/// Parses a whole expression by `rule`.
pub(super) fn parse<T>(
    which: Which,
    text: &str,
    substitutions: &Substitutions,
    rule: impl FnOnce(&mut Cursor<'_>) -> Result<T, Refusal>,
) -> Result<T, Invalid> {
    let run = || {
        if text.len() > BYTES_MAX {
            return Err(ExpressionFault::TooLong { size: text.len() }.into());
        }
        if text.is_empty() {
            return Err(ExpressionFault::Empty.into());
        }
        let mut cursor = Cursor { text, tokens: tokens(text), at: 0, operators: 0, substitutions };
        let parsed = rule(&mut cursor)?;
        if cursor.peek() == Token::End { Ok(parsed) } else { Err(cursor.syntax()) }
    };
    run().map_err(|refusal: Refusal| refusal.into_invalid(which))
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).map_or(Token::End, |(_, token)| *token)
    }

    fn peek_second(&self) -> Token<'a> {
        self.tokens.get(self.at + 1).map_or(Token::End, |(_, token)| *token)
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Takes the symbol if it is next.
    pub(super) fn takes(&mut self, symbol: &str) -> bool {
        let is_next = self.peek() == Token::Symbol(symbol);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes the key word if it is next, in any case.
    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_word(word);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), Refusal> {
        if self.takes(symbol) { Ok(()) } else { Err(self.syntax()) }
    }

    /// The next token does not fit.
    pub(super) fn syntax(&self) -> Refusal {
        let token = self.peek();
        let before = self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last());
        let start = before.map_or(0, |(start, _)| *start);
        let end = self.tokens.get(self.at + 1).map_or(self.text.len(), |(at, next)| at + next.text().len());
        let near = self.text[start..end].chars().take(80).collect();
        ExpressionFault::Syntax { token: token.text().chars().take(80).collect(), near }.into()
    }

    pub(super) fn count_operator(&mut self) -> Result<(), Refusal> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(ExpressionFault::TooManyOperators { count: self.operators }.into());
        }
        Ok(())
    }

    /// The name of a function, if a call is next.
    pub(super) fn peek_function(&self) -> Option<&'a str> {
        match self.peek() {
            Token::Word(name) if self.peek_second() == Token::Symbol("(") => Some(name),
            _ => None,
        }
    }

    /// An attribute, by its name or a reference.
    pub(super) fn path(&mut self) -> Result<Box<str>, Refusal> {
        let name = match self.peek() {
            Token::Word(name) => name,
            Token::NameReference(reference) => self.substitutions.name(reference)?,
            _ => return Err(self.syntax()),
        };
        self.advance();
        if matches!(self.peek(), Token::Symbol("." | "[")) {
            return Err(Refusal::NotTaken("nested paths"));
        }
        Ok(name.into())
    }

    /// A value, by its reference.
    pub(super) fn value(&mut self) -> Result<Value, Refusal> {
        let Token::ValueReference(reference) = self.peek() else { return Err(self.syntax()) };
        let value = self.substitutions.value(reference)?.clone();
        self.advance();
        Ok(value)
    }

    pub(super) fn operand(&mut self) -> Result<Operand, Refusal> {
        match self.peek() {
            Token::ValueReference(_) => self.value().map(Operand::Value),
            _ => match self.peek_function() {
                Some(function) => Err(function_fault(function)),
                None => self.path().map(Operand::Attribute),
            },
        }
    }
}

/// Functions that this place does not take: unknown ones, those of other expressions, and those that lease tables lack.
pub(super) fn function_fault(name: &str) -> Refusal {
    const ALL: [&str; 4] = ["attribute_exists", "attribute_not_exists", "begins_with", "if_not_exists"];
    const NOT_TAKEN: [&str; 4] = ["size", "contains", "attribute_type", "list_append"];
    let find = |all: [&'static str; 4]| all.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    match (find(ALL), find(NOT_TAKEN)) {
        (Some(function), _) => ExpressionFault::FunctionNotAllowed { function }.into(),
        (None, Some(what)) => Refusal::NotTaken(what),
        (None, None) => ExpressionFault::UnknownFunction { function: name.to_owned() }.into(),
    }
}

/// Conditions with one key word between them; a single one stands for itself.
fn chain(
    cursor: &mut Cursor<'_>,
    word: &str,
    part: impl Fn(&mut Cursor<'_>) -> Result<Condition, Refusal>,
    join: impl FnOnce(Vec<Condition>) -> Condition,
) -> Result<Condition, Refusal> {
    let first = part(cursor)?;
    if !cursor.peek().is_word(word) {
        return Ok(first);
    }
    let mut all = vec![first];
    while cursor.takes_word(word) {
        cursor.count_operator()?;
        all.push(part(cursor)?);
    }
    Ok(join(all))
}

pub(super) fn or(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Refusal> {
    chain(
        cursor,
        "OR",
        |cursor| chain(cursor, "AND", |cursor| not(cursor, depth), Condition::And),
        Condition::Or,
    )
}

fn not(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Refusal> {
    let is_not = cursor.peek().is_word("NOT");
    if !is_not && cursor.peek() != Token::Symbol("(") {
        return simple(cursor);
    }
    cursor.advance();
    let inner = depth.checked_sub(1).ok_or(ExpressionFault::NestedTooDeep)?;
    if is_not {
        cursor.count_operator()?;
        return Ok(Condition::Not(Box::new(not(cursor, inner)?)));
    }
    let condition = or(cursor, inner)?;
    cursor.expect(")")?;
    Ok(condition)
}

/// A function, or an operand with a comparison, BETWEEN or IN.
fn simple(cursor: &mut Cursor<'_>) -> Result<Condition, Refusal> {
    cursor.count_operator()?;
    if let Some(name) = cursor.peek_function() {
        return function(cursor, name);
    }
    let left = cursor.operand()?;
    if cursor.takes_word("BETWEEN") {
        let lower = cursor.operand()?;
        if !cursor.takes_word("AND") {
            return Err(cursor.syntax());
        }
        let upper = cursor.operand()?;
        check_ordered("BETWEEN", &[&left, &lower, &upper])?;
        check_bounds(&lower, &upper)?;
        return Ok(Condition::Between(left, lower, upper));
    }
    if cursor.takes_word("IN") {
        return is_in(cursor, left);
    }
    let symbol = cursor.peek();
    let found = COMPARISONS.iter().find(|(_, operator)| symbol == Token::Symbol(operator));
    let Some((comparison, operator)) = found else { return Err(cursor.syntax()) };
    cursor.advance();
    let right = cursor.operand()?;
    if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
        check_ordered(operator, &[&left, &right])?;
    }
    check_distinct(operator, &left, &[&right])?;
    Ok(Condition::Compare(*comparison, left, right))
}

fn is_in(cursor: &mut Cursor<'_>, left: Operand) -> Result<Condition, Refusal> {
    cursor.expect("(")?;
    let mut all = vec![cursor.operand()?];
    while cursor.takes(",") {
        all.push(cursor.operand()?);
    }
    cursor.expect(")")?;
    if all.len() > IN_OPERANDS_MAX {
        return Err(ExpressionFault::TooManyInOperands { count: all.len() }.into());
    }
    Ok(Condition::In(left, all))
}

fn function(cursor: &mut Cursor<'_>, name: &str) -> Result<Condition, Refusal> {
    const FUNCTIONS: [(&str, usize); 3] =
        [("attribute_exists", 1), ("attribute_not_exists", 1), ("begins_with", 2)];
    let known = FUNCTIONS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some((function, count)) = known else { return Err(function_fault(name)) };
    cursor.advance();
    cursor.advance();
    let mut operands = Vec::new();
    while operands.is_empty() || cursor.takes(",") {
        operands.push(cursor.operand()?);
    }
    cursor.expect(")")?;
    if operands.len() != count {
        return Err(ExpressionFault::OperandCount { function, count: operands.len() }.into());
    }
    let mut operands = operands.into_iter();
    match (operands.next(), operands.next()) {
        (Some(Operand::Attribute(name)), None) if function == "attribute_exists" => {
            Ok(Condition::Exists(name))
        }
        (Some(Operand::Attribute(name)), None) => Ok(Condition::NotExists(name)),
        (Some(operand), Some(prefix)) => begins_with(operand, prefix),
        _ => Err(ExpressionFault::NeedsPath { operator: function }.into()),
    }
}

fn begins_with(operand: Operand, prefix: Operand) -> Result<Condition, Refusal> {
    for one in [&operand, &prefix] {
        check_kind("begins_with", one, |kind| matches!(kind, Kind::S | Kind::B))?;
    }
    Ok(Condition::BeginsWith(operand, prefix))
}

fn check_kind(
    operator: &'static str,
    operand: &Operand,
    is_taken: impl Fn(Kind) -> bool,
) -> Result<(), ExpressionFault> {
    match operand {
        Operand::Value(value) if !is_taken(value.as_ref().kind) => {
            Err(ExpressionFault::OperandType { operator, kind: value.as_ref().kind.name() })
        }
        _ => Ok(()),
    }
}

fn check_ordered(operator: &'static str, operands: &[&Operand]) -> Result<(), ExpressionFault> {
    operands.iter().try_for_each(|operand| check_kind(operator, operand, Kind::is_ordered))
}

fn check_distinct(
    operator: &'static str,
    first: &Operand,
    others: &[&Operand],
) -> Result<(), ExpressionFault> {
    match first {
        Operand::Attribute(name) if others.contains(&first) => {
            Err(ExpressionFault::EqualOperands { operator, name: name.to_string() })
        }
        _ => Ok(()),
    }
}

fn check_bounds(lower: &Operand, upper: &Operand) -> Result<(), ExpressionFault> {
    let (Operand::Value(lower), Operand::Value(upper)) = (lower, upper) else { return Ok(()) };
    let (lower, upper) = (lower.as_ref(), upper.as_ref());
    if lower.kind != upper.kind {
        return Err(ExpressionFault::OperandType { operator: "BETWEEN", kind: upper.kind.name() });
    }
    if lower.order(upper).is_some_and(std::cmp::Ordering::is_le) {
        return Ok(());
    }
    let shown = |value: crate::value::ValueRef<'_>| {
        let mut out = Vec::new();
        crate::value::write_value(&mut out, value);
        String::from_utf8(out).expect("JSON is UTF-8").replace('"', "")
    };
    Err(ExpressionFault::BoundsOutOfOrder { lower: shown(lower), upper: shown(upper) })
}
