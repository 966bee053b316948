//! The sentence of each fault, as DynamoDB writes it where DynamoDB has one.

use std::fmt::{Formatter, Result, Write as _};

use super::{Fault, Invalid};
use crate::value::Kind;

/// The setting that has the bounds.
const SETTING: &str = "--lease-table-limits";

pub(super) const CONDITION_FAILED: &str = "The conditional request failed";

/// Operations that DynamoDB has and lease tables have not, with the words for them.
const NOT_HERE: [(&[&str], &str); 9] = [
    (&["ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement"], "PartiQL"),
    (&["GlobalTable", "ReplicaAutoScaling"], "global tables"),
    (&["Backup", "RestoreTable"], "backups and restores"),
    (&["Export", "Import"], "exports and imports"),
    (&["KinesisStreamingDestination"], "Kinesis destinations"),
    (&["ResourcePolicy"], "resource policies"),
    (&["AutoScaling"], "auto scaling"),
    (&["TransactGetItems"], "transactions that read"),
    (&["ContributorInsights"], "contributor insights"),
];

pub(super) fn write_fault(fault: &Fault, f: &mut Formatter<'_>) -> Result {
    match fault {
        Fault::Invalid(invalid) => write_invalid(invalid, f),
        Fault::Unreadable => f.write_str("Unable to parse the body as one JSON structure"),
        Fault::WrongType { found: "STRUCTURE_VALUE", .. } => {
            f.write_str("Start of structure or map found where not expected")
        }
        Fault::WrongType { found: "LIST_VALUE", expected } => {
            write!(f, "Unrecognized collection type class java.lang.{expected}")
        }
        Fault::WrongType { found, expected } => write!(f, "{found} cannot be converted to {expected}"),
        Fault::NotBase64 => f.write_str("Invalid Base64 in a value of type B"),
        Fault::UnknownOperation { operation } => {
            let known = NOT_HERE.iter().find(|(names, _)| names.iter().any(|name| operation.contains(name)));
            match known {
                Some((_, what)) => write!(f, "Tidelog keeps lease tables, not a database: no {what}"),
                None => write!(f, "Tidelog keeps lease tables, not a database: no operation {operation}"),
            }
        }
        Fault::ConditionFailed { .. } => f.write_str(CONDITION_FAILED),
        Fault::TransactionCanceled { reasons } => {
            f.write_str("Transaction cancelled, please refer cancellation reasons for specific reasons [")?;
            for (at, reason) in reasons.iter().enumerate() {
                f.write_str(if at > 0 { ", " } else { "" })?;
                f.write_str(reason.code())?;
            }
            f.write_char(']')
        }
        Fault::NoTable { table } => write!(f, "Requested resource not found: Table: {table} not found"),
        Fault::NoResource { arn } => write!(f, "Requested resource not found: ResourcArn: {arn} not found"),
        Fault::NoIndex => f.write_str("Requested resource not found"),
        Fault::TableExists { table } => write!(f, "Table already exists: {table}"),
        Fault::TooManyTables { tables, account, region } => write!(
            f,
            "Subscriber limit exceeded: There is a limit of {tables} tables per subscriber. Account {account} has them in region {region}; the setting is {SETTING} tables={tables}"
        ),
        Fault::TokenReused => f.write_str(
            "Request rejected because the ClientRequestToken was used for a transaction with other parameters in the last ten minutes",
        ),
        Fault::OtherOwner { arn, account, operation } => write!(
            f,
            "User: arn:aws:iam::{account}:root is not authorized to perform: dynamodb:{operation} on resource: {arn}"
        ),
        Fault::Throttled => f.write_str(
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
        ),
        Fault::Internal => f.write_str("The request processing has failed because of an unknown error, exception or failure."),
    }
}

/// Begins many sentences of DynamoDB.
const INVALID: &str = "One or more parameter values were invalid: ";

pub(super) fn write_invalid(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::Constraint { value, member, constraint } => {
            let value =
                if constraint == "Member must not be null" { "null".into() } else { format!("'{value}'") };
            write!(
                f,
                "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"
            )
        }
        I::NotTaken { what } => write!(f, "Tidelog keeps lease tables, not a database: no {what}"),
        I::Rule(rule) => write!(f, "{rule}"),
        I::BadArn { arn } => write!(f, "Invalid TableArn: Invalid ResourceArn provided as input {arn}"),
        I::ItemTooLarge => f.write_str("Item size has exceeded the maximum allowed size"),
        I::UpdatedItemTooLarge => f.write_str("Item size to update has exceeded the maximum allowed size"),
        I::TooManyItems { table, items } => write!(
            f,
            "Tidelog keeps lease tables, not a database: table {table} has {items} items, its bound; the setting is {SETTING} items={items}"
        ),
        I::TablesFull { bytes } => write!(
            f,
            "Tidelog keeps lease tables, not a database: the tables of all accounts in this data group would take more than {bytes} bytes, their bound; the setting is {SETTING} bytes={bytes}"
        ),
        I::ShareTaken { account, bytes } => write!(
            f,
            "Tidelog keeps lease tables, not a database: the last eighth of the {bytes} bytes of this data group is for accounts that have less than account {account}; the setting is {SETTING} bytes={bytes}"
        ),
        I::SeveralApplications => f.write_str(
            "Tidelog keeps lease tables, not a database: no transaction over tables of several applications",
        ),
        _ => write_of_values(invalid, f),
    }
}

fn write_of_values(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::EmptyValue => {
            f.write_str("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
        }
        I::SeveralTypes => f.write_str(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
        I::NestedTooDeep => f.write_str("Nesting Levels have exceeded supported limits"),
        I::NullIsFalse => write!(f, "{INVALID}Null attribute value types must have the value of true"),
        I::NotANumber { text } => write!(f, "The parameter cannot be converted to a numeric value: {text}"),
        I::TooManyDigits => f.write_str("Attempting to store more than 38 significant digits in a Number"),
        I::NumberOverflow => {
            f.write_str("Number overflow. Attempting to store a number with magnitude larger than supported range")
        }
        I::NumberUnderflow => {
            f.write_str("Number underflow. Attempting to store a number with magnitude smaller than supported range")
        }
        I::EmptySet { kind: Kind::Ss } => write!(f, "{INVALID}An string set  may not be empty"),
        I::EmptySet { kind: Kind::Ns } => write!(f, "{INVALID}An number set  may not be empty"),
        I::EmptySet { .. } => write!(f, "{INVALID}Binary sets should not be empty"),
        I::DuplicatesInSet { kind: Kind::Ss, elements } => {
            write!(f, "{INVALID}Input collection [{elements}] contains duplicates.")
        }
        I::DuplicatesInSet { kind: Kind::Ns, .. } => f.write_str("Input collection contains duplicates"),
        I::DuplicatesInSet { elements, .. } => {
            write!(f, "{INVALID}Input collection [{elements}]of type BS contains duplicates.")
        }
        I::EmptyAttributeName => write!(f, "{INVALID}Empty attribute name"),
        I::AttributeNameTooLong => write!(f, "{INVALID}Attribute name is too large, must be less than 65536 bytes"),
        _ => write_of_expressions(invalid, f),
    }
}

fn write_of_expressions(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::Expression { which, fault } => f.write_str(&fault.sentence(*which)),
        I::NamesWithoutExpression => {
            f.write_str("ExpressionAttributeNames can only be specified when using expressions")
        }
        I::ValuesWithoutExpression { members } => {
            let verb = if members.len() > 1 { "are" } else { "is" };
            let members = members.join(" and ");
            write!(
                f,
                "ExpressionAttributeValues can only be specified when using expressions: {members} {verb} null"
            )
        }
        I::EmptySubstitutions { member } => write!(f, "{member} must not be empty"),
        I::BadReference { member, reference } => {
            write!(f, "{member} contains invalid key: Syntax error; key: \"{reference}\"")
        }
        I::BadValue { reference, fault } => {
            write!(f, "ExpressionAttributeValues contains invalid value: {fault} for key {reference}")
        }
        I::SubstitutionsTooLarge => f.write_str(
            "Expression attribute names and values have exceeded the maximum allowed size of 2 MB",
        ),
        I::UnusedSubstitutions { member, keys } => {
            write!(f, "Value provided in {member} unused in expressions: keys: {{{keys}}}")
        }
        I::BothForms { legacy, expressions } => write!(
            f,
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
            legacy.join(", "),
            expressions.join(", ")
        ),
        I::MissingAttribute => {
            f.write_str("The provided expression refers to an attribute that does not exist in the item")
        }
        I::IncorrectOperand => f.write_str("An operand in the update expression has an incorrect data type"),
        I::UpdateTypeMismatch => f.write_str("Type mismatch for attribute to update"),
        _ => write_of_legacy(invalid, f),
    }
}

fn write_of_legacy(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::ListWithoutOperator { attribute } => write!(
            f,
            "{INVALID}AttributeValueList can only be used with a ComparisonOperator for Attribute: {attribute}"
        ),
        I::ValueOfAbsent { attribute } => {
            write!(f, "{INVALID}Value cannot be used when Exists is false for Attribute: {attribute}")
        }
        I::ValueMissing { exists: true, attribute } => {
            write!(f, "{INVALID}Value must be provided when Exists is true for Attribute: {attribute}")
        }
        I::ValueMissing { attribute, .. } => {
            write!(f, "{INVALID}Value must be provided when Exists is null for Attribute: {attribute}")
        }
        I::ExistsWithOperator { attribute } => {
            write!(f, "{INVALID}Exists and ComparisonOperator cannot be used together for Attribute: {attribute}")
        }
        I::ValueAndList { attribute } => {
            write!(f, "{INVALID}Value and AttributeValueList cannot be used together for Attribute: {attribute}")
        }
        I::OperatorWithoutValue { operator, attribute } => write!(
            f,
            "{INVALID}Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {attribute}"
        ),
        I::ArgumentCount { operator } => {
            write!(f, "{INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator")
        }
        I::OperatorOfType { operator, kind } => {
            write!(f, "{INVALID}ComparisonOperator {operator} is not valid for {} AttributeValue type", kind.name())
        }
        I::ActionWithoutValue => {
            write!(f, "{INVALID}Only DELETE action is allowed when no attribute value is specified")
        }
        I::AddOfType { kind } => write!(f, "{INVALID}ADD action is not supported for the type {}", kind.long_name()),
        I::DeleteOfType { kind } => {
            write!(f, "{INVALID}DELETE action with value is not supported for the type {}", kind.long_name())
        }
        I::AttributesToGetEmpty => f.write_str(
            "1 validation error detected: Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        I::AttributesToGetTwice { attribute } => {
            write!(f, "{INVALID}Duplicate value in attribute name: {attribute}")
        }
        _ => write_of_keys(invalid, f),
    }
}

fn write_of_keys(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::KeyMissing { attribute } => write!(f, "{INVALID}Missing the key {attribute} in the item"),
        I::KeyType { attribute, expected, actual } => write!(
            f,
            "{INVALID}Type mismatch for key {attribute} expected: {} actual: {}",
            expected.name(),
            actual.name()
        ),
        I::KeyCount => f.write_str("The number of conditions on the keys is invalid"),
        I::KeySchemaMismatch => f.write_str("The provided key element does not match the schema"),
        I::EmptyKey { attribute } => write!(
            f,
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {attribute}"
        ),
        I::KeyTooLong { is_range, bytes_max } => {
            let part = if *is_range { "rangekey" } else { "hashkey" };
            write!(f, "{INVALID}Size of {part} has exceeded the maximum size limit of{bytes_max} bytes")
        }
        I::IndexKeyType { attribute, expected, actual, index } => write!(
            f,
            "{INVALID}Type mismatch for Index Key {attribute} Expected: {} Actual: {} IndexName: {index}",
            expected.name(),
            actual.name()
        ),
        I::EmptyIndexKey { attribute, index } => write!(
            f,
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: {index}, IndexKey: {attribute}"
        ),
        I::KeyUpdated { attribute } => {
            write!(f, "{INVALID}Cannot update attribute {attribute}. This attribute is part of the key")
        }
        _ => write_of_reads(invalid, f),
    }
}

fn write_of_reads(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::NoSuchIndex { index } => write!(f, "The table does not have the specified index: {index}"),
        I::SegmentTooLarge { segment, segments } => write!(
            f,
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is not less than TotalSegments: {segments}"
        ),
        I::BadStartKey => f.write_str("The provided starting key is invalid"),
        I::StartKeyOutsideOfSegment => f.write_str(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment.",
        ),
        I::StartKeyOutsideOfQuery => f.write_str(
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        I::QueryMissesKey { attribute } => write!(f, "Query condition missed key schema element: {attribute}"),
        I::QueryNotSupported => f.write_str("Query key condition not supported"),
        I::QueryType => write!(f, "{INVALID}Condition parameter type does not match schema type"),
        I::FilterOnKey { attribute } => write!(
            f,
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: {attribute}"
        ),
        I::NotProjected { index, attributes } => {
            write!(f, "{INVALID}Global secondary index {index} does not project [{attributes}]")
        }
        I::AllAttributesOfIndex { index } => write!(
            f,
            "{INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index {index} because its projection type is not ALL"
        ),
        _ => write_of_tables(invalid, f),
    }
}

fn write_of_tables(invalid: &Invalid, f: &mut Formatter<'_>) -> Result {
    use Invalid as I;
    match invalid {
        I::UndefinedKeyAttributes { keys, definitions } => write!(
            f,
            "{INVALID}Some index key attributes are not defined in AttributeDefinitions. Keys: [{keys}], AttributeDefinitions: [{definitions}]"
        ),
        I::UnusedDefinitions { definitions, keys } => write!(
            f,
            "{INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [{definitions}], keys used: [{keys}]"
        ),
        I::DuplicateDefinition { attribute } => {
            write!(f, "{INVALID}Duplicate AttributeName in AttributeDefinitions: {attribute}")
        }
        I::DefinitionConflict { attribute } => {
            write!(f, "{INVALID}Attribute {attribute} is defined with another type already")
        }
        I::DuplicateIndex { index } => write!(f, "{INVALID}Duplicate index name: {index}"),
        I::IndexThroughputMissing { index } => {
            write!(f, "{INVALID}ProvisionedThroughput is not specified for index: {index}")
        }
        I::TooManyIndexes { indexes } => {
            write!(f, "{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {indexes}")
        }
        I::Protected { arn } => write!(
            f,
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first. Resource: {arn}"
        ),
        I::TimeToLiveIs { is_enabled: true } => f.write_str("TimeToLive is already enabled"),
        I::TimeToLiveIs { .. } => f.write_str("TimeToLive is already disabled"),
        I::TimeToLiveOfOther { attribute } => {
            write!(
                f,
                "TimeToLive is active on a different AttributeName: current AttributeName is {attribute}"
            )
        }
        I::TooManyTags { tags } => write!(f, "{INVALID}Too many tags: a table has {tags} at most"),
        I::TooManyInBatch { operation } => write!(f, "Too many items requested for the {operation} call"),
        I::DuplicateKeys => f.write_str("Provided list of item keys contains duplicates"),
        I::DuplicateInTransaction => {
            f.write_str("Transaction request cannot include multiple operations on one item")
        }
        // A test has every variant, and finds those without a sentence.
        other => write!(f, "{INVALID}{other:?}"),
    }
}
