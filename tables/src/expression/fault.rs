//! Faults of expressions, with DynamoDB's sentences.

use std::fmt;

/// The member of a request that has an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
    /// `UpdateExpression`
    Update,
    /// `ProjectionExpression`
    Projection,
    /// `KeyConditionExpression`
    KeyCondition,
}

impl Which {
    /// The name of the member.
    pub fn member(self) -> &'static str {
        match self {
            Self::Condition => "ConditionExpression",
            Self::Filter => "FilterExpression",
            Self::Update => "UpdateExpression",
            Self::Projection => "ProjectionExpression",
            Self::KeyCondition => "KeyConditionExpression",
        }
    }

    /// Words for the place where a function is not allowed.
    fn place(self) -> &'static str {
        match self {
            Self::Condition => "a condition expression",
            Self::Filter => "a filter expression",
            Self::Update => "an update expression",
            Self::Projection => "a projection expression",
            Self::KeyCondition => "a key condition expression",
        }
    }
}

/// The reason why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpressionFault {
    /// Nothing but blanks.
    Empty,
    /// More than [`super::BYTES_MAX`] bytes.
    TooLong {
        /// Bytes of the expression.
        size: usize,
    },
    /// Another form.
    Syntax {
        /// The token that does not fit; `<EOF>` at the end.
        token: String,
        /// Text around it.
        near: String,
    },
    /// `#name` without an entry in `ExpressionAttributeNames`.
    UndefinedName {
        /// With its `#`.
        name: String,
    },
    /// `:value` without an entry in `ExpressionAttributeValues`.
    UndefinedValue {
        /// With its `:`.
        name: String,
    },
    /// More than [`super::OPERATORS_MAX`].
    TooManyOperators {
        /// The number at which parsing stopped.
        count: usize,
    },
    /// More than [`super::NESTING_MAX`] parentheses and NOTs inside one another.
    NestedTooDeep,
    /// More than [`super::IN_OPERANDS_MAX`].
    TooManyInOperands {
        /// The number given.
        count: usize,
    },
    /// No such function.
    UnknownFunction {
        /// The word before the parenthesis.
        function: String,
    },
    /// A function of another kind of expression.
    FunctionNotAllowed {
        /// The function.
        function: &'static str,
    },
    /// Too few or too many operands.
    OperandCount {
        /// The function.
        function: &'static str,
        /// The number given.
        count: usize,
    },
    /// An operand whose type an operator does not take.
    OperandType {
        /// The operator or function.
        operator: &'static str,
        /// The operand's type.
        kind: &'static str,
    },
    /// An operand of ADD or DELETE whose type it does not take.
    ActionOperandType {
        /// ADD or DELETE.
        action: &'static str,
        /// The operand's type, in its long form.
        kind: &'static str,
    },
    /// A function of an attribute got a value.
    NeedsPath {
        /// The function.
        operator: &'static str,
    },
    /// Both operands are the same attribute.
    EqualOperands {
        /// The comparison.
        operator: &'static str,
        /// The attribute.
        name: String,
    },
    /// The bounds of a BETWEEN in the wrong order.
    BoundsOutOfOrder {
        /// The lower bound, as JSON without quotes.
        lower: String,
        /// The upper bound.
        upper: String,
    },
    /// SET, REMOVE, ADD or DELETE comes twice.
    SectionTwice {
        /// The key word.
        section: &'static str,
    },
    /// An attribute is named twice.
    PathsOverlap {
        /// The attribute.
        name: String,
    },
    /// An operator in a key condition that is for other conditions.
    OperatorInKeyCondition {
        /// OR, NOT, IN, `<>`, or a function.
        operator: &'static str,
    },
    /// A condition of a key compares two attributes.
    SeveralNamesInKeyCondition,
    /// Two conditions for one attribute of a key.
    SeveralConditionsForKey,
}

impl fmt::Display for ExpressionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("The expression can not be empty;"),
            Self::TooLong { size } => {
                write!(f, "Expression size has exceeded the maximum allowed size; expression size: {size}")
            }
            Self::Syntax { token, near } => write!(f, "Syntax error; token: \"{token}\", near: \"{near}\""),
            Self::UndefinedName { name } => write!(
                f,
                "An expression attribute name used in the document path is not defined; attribute name: {name}"
            ),
            Self::UndefinedValue { name } => write!(
                f,
                "An expression attribute value used in expression is not defined; attribute value: {name}"
            ),
            Self::TooManyOperators { count } => {
                write!(f, "The expression contains too many operators; operator count: {count}")
            }
            Self::NestedTooDeep => {
                write!(f, "The expression has too many nested parentheses; maximum: {}", super::NESTING_MAX)
            }
            Self::TooManyInOperands { count } => {
                write!(f, "The IN operator is provided with too many operands; number of operands: {count}")
            }
            Self::UnknownFunction { function } => write!(f, "Invalid function name; function: {function}"),
            Self::FunctionNotAllowed { .. } => Ok(()),
            Self::OperandCount { function, count } => write!(
                f,
                "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
            ),
            Self::OperandType { operator, kind } => write!(
                f,
                "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
            ),
            Self::ActionOperandType { action, kind } => write!(
                f,
                "Incorrect operand type for operator or function; operator: {action}, operand type: {kind}, typeSet: ALLOWED_FOR_{action}_OPERAND"
            ),
            Self::NeedsPath { operator } => {
                write!(f, "Operator or function requires a document path; operator or function: {operator}")
            }
            Self::EqualOperands { operator, name } => write!(
                f,
                "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: [{name}]"
            ),
            Self::BoundsOutOfOrder { lower, upper } => write!(
                f,
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {lower}, upper bound operand: AttributeValue: {upper}"
            ),
            Self::SectionTwice { section } => {
                write!(f, "The \"{section}\" section can only be used once in an update expression;")
            }
            Self::PathsOverlap { name } => write!(
                f,
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [{name}], path two: [{name}]"
            ),
            Self::OperatorInKeyCondition { operator } => {
                write!(f, "Invalid operator used in KeyConditionExpression: {operator}")
            }
            Self::SeveralNamesInKeyCondition => f.write_str(
                "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
            ),
            Self::SeveralConditionsForKey => {
                f.write_str("KeyConditionExpressions must only contain one condition per key")
            }
        }
    }
}

impl ExpressionFault {
    /// The whole sentence.
    pub fn sentence(&self, which: Which) -> String {
        let member = which.member();
        match self {
            Self::OperatorInKeyCondition { .. }
            | Self::SeveralConditionsForKey
            | Self::SeveralNamesInKeyCondition => self.to_string(),
            Self::FunctionNotAllowed { function } => {
                let place = which.place();
                format!("Invalid {member}: The function is not allowed in {place}; function: {function}")
            }
            fault => format!("Invalid {member}: {fault}"),
        }
    }
}
