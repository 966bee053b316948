//! The rules that a request can break: every variant is a ValidationException.

use crate::expression::{ExpressionFault, Which};
use crate::value::Kind;

use super::Rule;

/// A rule that the request breaks. `sentences.rs` has the text of each, to the letter as DynamoDB writes it where
/// DynamoDB has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the facts of the sentences, which describe them")]
pub enum Invalid {
    // Members of any request.
    /// A bound of the service model.
    Constraint {
        value: String,
        member: String,
        constraint: String,
    },
    /// Something that DynamoDB has and lease tables have not, or a member that is not known.
    NotTaken {
        what: String,
    },
    /// Two members that exclude each other, or a member with a value that another one forbids.
    Rule(Rule),
    /// The ARN of a table has another form.
    BadArn {
        arn: String,
    },

    // Values.
    EmptyValue,
    SeveralTypes,
    NestedTooDeep,
    NullIsFalse,
    NotANumber {
        text: String,
    },
    TooManyDigits,
    NumberOverflow,
    NumberUnderflow,
    EmptySet {
        kind: Kind,
    },
    DuplicatesInSet {
        kind: Kind,
        elements: String,
    },
    EmptyAttributeName,
    AttributeNameTooLong,
    ItemTooLarge,
    UpdatedItemTooLarge,

    // Expressions.
    Expression {
        which: Which,
        fault: ExpressionFault,
    },
    NamesWithoutExpression,
    ValuesWithoutExpression {
        members: Vec<&'static str>,
    },
    EmptySubstitutions {
        member: &'static str,
    },
    BadReference {
        member: &'static str,
        reference: String,
    },
    BadValue {
        reference: String,
        fault: Box<Invalid>,
    },
    SubstitutionsTooLarge,
    UnusedSubstitutions {
        member: &'static str,
        keys: String,
    },
    BothForms {
        legacy: Vec<&'static str>,
        expressions: Vec<&'static str>,
    },
    MissingAttribute,
    IncorrectOperand,
    UpdateTypeMismatch,

    // Legacy forms.
    ListWithoutOperator {
        attribute: String,
    },
    ValueOfAbsent {
        attribute: String,
    },
    ValueMissing {
        exists: bool,
        attribute: String,
    },
    ExistsWithOperator {
        attribute: String,
    },
    ValueAndList {
        attribute: String,
    },
    OperatorWithoutValue {
        operator: &'static str,
        attribute: String,
    },
    ArgumentCount {
        operator: &'static str,
    },
    OperatorOfType {
        operator: &'static str,
        kind: Kind,
    },
    ActionWithoutValue,
    AddOfType {
        kind: Kind,
    },
    DeleteOfType {
        kind: Kind,
    },
    AttributesToGetEmpty,
    AttributesToGetTwice {
        attribute: String,
    },

    // Keys.
    KeyMissing {
        attribute: String,
    },
    KeyType {
        attribute: String,
        expected: Kind,
        actual: Kind,
    },
    KeySchemaMismatch,
    KeyCount,
    EmptyKey {
        attribute: String,
    },
    KeyTooLong {
        is_range: bool,
        bytes_max: usize,
    },
    IndexKeyType {
        attribute: String,
        expected: Kind,
        actual: Kind,
        index: String,
    },
    EmptyIndexKey {
        attribute: String,
        index: String,
    },
    KeyUpdated {
        attribute: String,
    },

    // Scan and Query.
    NoSuchIndex {
        index: String,
    },
    SegmentTooLarge {
        segment: u32,
        segments: u32,
    },
    BadStartKey,
    StartKeyOutsideOfSegment,
    StartKeyOutsideOfQuery,
    QueryMissesKey {
        attribute: String,
    },
    QueryNotSupported,
    QueryType,
    FilterOnKey {
        attribute: String,
    },
    NotProjected {
        index: String,
        attributes: String,
    },
    AllAttributesOfIndex {
        index: String,
    },

    // Tables.
    UndefinedKeyAttributes {
        keys: String,
        definitions: String,
    },
    UnusedDefinitions {
        definitions: String,
        keys: String,
    },
    DuplicateDefinition {
        attribute: String,
    },
    DuplicateIndex {
        index: String,
    },
    IndexThroughputMissing {
        index: String,
    },
    TooManyIndexes {
        indexes: usize,
    },
    TooManyItems {
        table: String,
        items: u64,
    },
    TablesFull {
        bytes: u64,
    },
    ShareTaken {
        account: String,
        bytes: u64,
    },
    Protected {
        arn: String,
    },
    TimeToLiveIs {
        is_enabled: bool,
    },
    TimeToLiveOfOther {
        attribute: String,
    },
    TooManyTags {
        tags: usize,
    },
    DefinitionConflict {
        attribute: String,
    },

    // Batches and transactions.
    TooManyInBatch {
        operation: &'static str,
    },
    DuplicateKeys,
    DuplicateInTransaction,
    SeveralApplications,
}

impl Invalid {
    /// A text that is none of an enumeration. DynamoDB shows the set in an order of its own.
    pub(crate) fn not_in_set(value: &str, member: &str, set: &[&str]) -> Self {
        Self::constraint(value, member, format!("Member must satisfy enum value set: [{}]", set.join(", ")))
    }

    /// A bound of the service model that a value breaks.
    pub(crate) fn constraint(value: &str, member: &str, constraint: impl Into<String>) -> Self {
        let value = value.chars().take(200).collect();
        Self::Constraint { value, member: member.into(), constraint: constraint.into() }
    }

    /// A member that has to be there.
    pub(crate) fn required(member: &str) -> Self {
        Self::Constraint {
            value: String::new(),
            member: member.into(),
            constraint: "Member must not be null".into(),
        }
    }
}
