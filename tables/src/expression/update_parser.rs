//! The parser of update expressions.

use super::parser::{Cursor, Refusal, function_fault, parse};
use super::substitutions::Substitutions;
use super::token::Token;
use super::{Action, ExpressionFault, Operand, SetTo, Term, Update, Which};
use crate::fault::Invalid;
use crate::value::{Kind, Value};

const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

impl Update {
    /// Parses an `UpdateExpression`.
    pub(crate) fn parse(text: &str, substitutions: &Substitutions) -> Result<Self, Invalid> {
        parse(Which::Update, text, substitutions, |cursor| {
            let mut actions = Vec::new();
            let mut seen = [false; SECTIONS.len()];
            while cursor.peek() != Token::End {
                let word = cursor.peek();
                let Some(at) = SECTIONS.iter().position(|section| word.is_word(section)) else {
                    return Err(cursor.syntax());
                };
                if std::mem::replace(&mut seen[at], true) {
                    return Err(ExpressionFault::SectionTwice { section: SECTIONS[at] }.into());
                }
                cursor.advance();
                section(cursor, SECTIONS[at], &mut actions)?;
            }
            Ok(Self { actions, is_legacy: false })
        })
    }
}

fn section(cursor: &mut Cursor<'_>, section: &'static str, actions: &mut Vec<Action>) -> Result<(), Refusal> {
    loop {
        cursor.count_operator()?;
        let name = cursor.path()?;
        if actions.iter().any(|action| action.name() == &*name) {
            return Err(ExpressionFault::PathsOverlap { name: name.into() }.into());
        }
        actions.push(match section {
            "SET" => {
                cursor.expect("=")?;
                Action::Set(name, set_to(cursor)?)
            }
            "REMOVE" => Action::Remove(name),
            "ADD" => Action::Add(
                name,
                operand_of(cursor, section, |kind| kind == Kind::N || kind.of_elements().is_some())?,
            ),
            _ => Action::Delete(name, operand_of(cursor, section, |kind| kind.of_elements().is_some())?),
        });
        if !cursor.takes(",") {
            return Ok(());
        }
    }
}

fn operand_of(
    cursor: &mut Cursor<'_>,
    action: &'static str,
    is_taken: impl Fn(Kind) -> bool,
) -> Result<Value, Refusal> {
    let value = cursor.value()?;
    let kind = value.as_ref().kind;
    if is_taken(kind) {
        return Ok(value);
    }
    Err(ExpressionFault::ActionOperandType { action, kind: kind.long_name() }.into())
}

fn set_to(cursor: &mut Cursor<'_>) -> Result<SetTo, Refusal> {
    let left = term(cursor)?;
    let operator = match cursor.peek() {
        Token::Symbol("+") => "+",
        Token::Symbol("-") => "-",
        _ => return Ok(SetTo::Term(left)),
    };
    cursor.advance();
    cursor.count_operator()?;
    let right = term(cursor)?;
    for one in [&left, &right] {
        if let Term::Operand(Operand::Value(value)) | Term::IfNotExists(_, Operand::Value(value)) = one
            && value.as_ref().kind != Kind::N
        {
            return Err(ExpressionFault::OperandType { operator, kind: value.as_ref().kind.name() }.into());
        }
    }
    Ok(if operator == "+" { SetTo::Plus(left, right) } else { SetTo::Minus(left, right) })
}

fn term(cursor: &mut Cursor<'_>) -> Result<Term, Refusal> {
    const FUNCTION: &str = "if_not_exists";
    if cursor.takes("(") {
        let inner = cursor.operand()?;
        cursor.expect(")")?;
        return Ok(Term::Operand(inner));
    }
    let Some(function) = cursor.peek_function() else { return cursor.operand().map(Term::Operand) };
    if !function.eq_ignore_ascii_case(FUNCTION) {
        return Err(function_fault(function));
    }
    cursor.count_operator()?;
    cursor.advance();
    cursor.advance();
    let mut operands = Vec::new();
    while operands.is_empty() || cursor.takes(",") {
        operands.push(cursor.operand()?);
    }
    cursor.expect(")")?;
    let count = operands.len();
    let mut operands = operands.into_iter();
    match (operands.next(), operands.next(), count) {
        (Some(Operand::Attribute(name)), Some(otherwise), 2) => Ok(Term::IfNotExists(name, otherwise)),
        (_, _, 2) => Err(ExpressionFault::NeedsPath { operator: FUNCTION }.into()),
        _ => Err(ExpressionFault::OperandCount { function: FUNCTION, count }.into()),
    }
}
