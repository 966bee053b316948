use super::*;
use crate::expression::{ExpressionFault, Which};
use crate::value::Kind;

/// One of each variant that has a sentence of its own.
fn all() -> Vec<Invalid> {
    use Invalid as I;
    let text = || "x".to_owned();
    let (kind, attribute, index) = (Kind::S, text(), text());
    vec![
        I::Constraint { value: text(), member: text(), constraint: text() },
        I::NotTaken { what: text() },
        I::Rule(Rule::NoTags),
        I::BadArn { arn: text() },
        I::EmptyValue,
        I::SeveralTypes,
        I::NestedTooDeep,
        I::NullIsFalse,
        I::NotANumber { text: text() },
        I::TooManyDigits,
        I::NumberOverflow,
        I::NumberUnderflow,
        I::EmptySet { kind: Kind::Ss },
        I::EmptySet { kind: Kind::Ns },
        I::EmptySet { kind: Kind::Bs },
        I::DuplicatesInSet { kind: Kind::Ss, elements: text() },
        I::DuplicatesInSet { kind: Kind::Ns, elements: text() },
        I::DuplicatesInSet { kind: Kind::Bs, elements: text() },
        I::EmptyAttributeName,
        I::AttributeNameTooLong,
        I::ItemTooLarge,
        I::UpdatedItemTooLarge,
        I::Expression { which: Which::Filter, fault: ExpressionFault::Empty },
        I::NamesWithoutExpression,
        I::ValuesWithoutExpression { members: vec!["x"] },
        I::EmptySubstitutions { member: "x" },
        I::BadReference { member: "x", reference: text() },
        I::SubstitutionsTooLarge,
        I::UnusedSubstitutions { member: "x", keys: text() },
        I::BothForms { legacy: vec!["x"], expressions: vec!["x"] },
        I::MissingAttribute,
        I::IncorrectOperand,
        I::UpdateTypeMismatch,
        I::ListWithoutOperator { attribute: attribute.clone() },
        I::ValueOfAbsent { attribute: attribute.clone() },
        I::ValueMissing { exists: true, attribute: attribute.clone() },
        I::ValueMissing { exists: false, attribute: attribute.clone() },
        I::ExistsWithOperator { attribute: attribute.clone() },
        I::ValueAndList { attribute: attribute.clone() },
        I::ArgumentCount { operator: "x" },
        I::OperatorOfType { operator: "x", kind },
        I::ActionWithoutValue,
        I::AddOfType { kind },
        I::DeleteOfType { kind },
        I::AttributesToGetEmpty,
        I::AttributesToGetTwice { attribute: attribute.clone() },
        I::KeyMissing { attribute: attribute.clone() },
        I::KeyType { attribute: attribute.clone(), expected: kind, actual: kind },
        I::KeySchemaMismatch,
        I::KeyCount,
        I::BadValue { reference: text(), fault: Box::new(Invalid::EmptyValue) },
        I::OperatorWithoutValue { operator: "x", attribute: text() },
        I::EmptyKey { attribute: attribute.clone() },
        I::KeyTooLong { is_range: true, bytes_max: 1 },
        I::IndexKeyType { attribute: attribute.clone(), expected: kind, actual: kind, index: index.clone() },
        I::EmptyIndexKey { attribute: attribute.clone(), index: index.clone() },
        I::KeyUpdated { attribute: attribute.clone() },
        I::NoSuchIndex { index: index.clone() },
        I::SegmentTooLarge { segment: 1, segments: 1 },
        I::BadStartKey,
        I::StartKeyOutsideOfSegment,
        I::StartKeyOutsideOfQuery,
        I::QueryMissesKey { attribute: attribute.clone() },
        I::QueryNotSupported,
        I::QueryType,
        I::FilterOnKey { attribute: attribute.clone() },
        I::NotProjected { index: index.clone(), attributes: text() },
        I::AllAttributesOfIndex { index: index.clone() },
        I::UndefinedKeyAttributes { keys: text(), definitions: text() },
        I::UnusedDefinitions { definitions: text(), keys: text() },
        I::DuplicateDefinition { attribute: attribute.clone() },
        I::DuplicateIndex { index: index.clone() },
        I::IndexThroughputMissing { index },
        I::TooManyIndexes { indexes: 1 },
        I::TooManyItems { table: text(), items: 1 },
        I::TablesFull { bytes: 1 },
        I::ShareTaken { account: text(), bytes: 1 },
        I::Protected { arn: text() },
        I::TimeToLiveIs { is_enabled: true },
        I::TimeToLiveIs { is_enabled: false },
        I::TimeToLiveOfOther { attribute: attribute.clone() },
        I::TooManyTags { tags: 1 },
        I::DefinitionConflict { attribute },
        I::TooManyInBatch { operation: "x" },
        I::DuplicateKeys,
        I::DuplicateInTransaction,
        I::SeveralApplications,
    ]
}

#[test]
fn every_rule_has_a_sentence() {
    for invalid in all() {
        let debug = format!("{invalid:?}");
        let sentence = invalid.to_string();
        assert!(!sentence.contains(&debug), "no sentence: {sentence}");
    }
}

#[test]
fn bodies_name_the_exception_and_its_namespace() {
    let body = |fault: Fault| String::from_utf8(fault.body()).unwrap();
    assert_eq!(
        body(Fault::Unreadable),
        r#"{"__type":"com.amazon.coral.service#SerializationException","message":"Unable to parse the body as one JSON structure"}"#
    );
    assert_eq!(
        body(Invalid::QueryNotSupported.into()),
        r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"Query key condition not supported"}"#
    );
    let internal = body(Fault::Internal);
    assert!(
        internal
            .starts_with(r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"#)
    );
    assert_eq!(Fault::Internal.status(), 500);
    assert_eq!(
        (Fault::Throttled.exception(), Fault::Throttled.status()),
        ("ProvisionedThroughputExceededException", 400)
    );
}
