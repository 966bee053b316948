//! Rules without facts, each with DynamoDB's sentence.

use std::fmt;

/// A rule whose sentence has no parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// KeySchema begins with another type than HASH.
    KeysWithoutHash,
    /// The second element of KeySchema is no RANGE.
    KeysWithoutRange,
    /// Hash key and range key are one attribute.
    KeysOfOneName,
    /// INCLUDE without attributes, or with too many.
    IncludeWithoutNames,
    /// Attributes without INCLUDE.
    NamesWithoutInclude,
    /// A projection without its type.
    NoProjectionType,
    /// A change of an index is none, or several.
    IndexChangeCount,
    /// The name of the new index is taken.
    IndexExists,
    /// Capacity units with PAY_PER_REQUEST.
    UnitsPerRequest,
    /// PROVISIONED without capacity units.
    UnitsMissing,
    /// UpdateTable without a change.
    NothingToUpdate,
    /// TagResource without tags.
    NoTags,
    /// UntagResource without keys.
    NoTagKeys,
    /// PutItem or DeleteItem asks for another item than the old one.
    ReturnsOldOnly,
    /// A consistent read of an index.
    ConsistentIndex,
    /// Attributes are chosen for a count.
    AttributesOfCount,
    /// Some attributes are chosen, and all.
    AttributesOfAll,
    /// Some attributes are chosen, and all of the index.
    AttributesOfProjected,
    /// SPECIFIC_ATTRIBUTES without attributes.
    SpecificOfNothing,
    /// ALL_PROJECTED_ATTRIBUTES without an index.
    ProjectedOfTable,
    /// Segment without TotalSegments.
    SegmentAlone,
    /// TotalSegments without Segment.
    TotalSegmentsAlone,
    /// Query without a condition for the key.
    NoKeyCondition,
    /// A table without writes in BatchWriteItem.
    EmptyBatch,
    /// A write of a batch is none, or both.
    BatchWriteCount,
    /// A part of a transaction is none, or several.
    TransactItemCount,
}

/// Every rule with its sentence.
const SENTENCES: [(Rule, &str); 26] = [
    (Rule::KeysWithoutHash, "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
    (Rule::KeysWithoutRange, "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"),
    (Rule::KeysOfOneName, "Both the Hash Key and the Range Key element in the KeySchema have the same name"),
    (
        Rule::IncludeWithoutNames,
        "One or more parameter values were invalid: ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
    ),
    (
        Rule::NamesWithoutInclude,
        "One or more parameter values were invalid: ProjectionType is not INCLUDE, but NonKeyAttributes is specified",
    ),
    (Rule::NoProjectionType, "One or more parameter values were invalid: Unknown ProjectionType: null"),
    (
        Rule::IndexChangeCount,
        "One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate Update, Create or Delete must be specified",
    ),
    (Rule::IndexExists, "Attempting to create an index which already exists"),
    (
        Rule::UnitsPerRequest,
        "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
    ),
    (
        Rule::UnitsMissing,
        "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
    ),
    (
        Rule::NothingToUpdate,
        "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
    ),
    (Rule::NoTags, "Atleast one Tag needs to be provided as Input."),
    (Rule::NoTagKeys, "Atleast one Tag Key needs to be provided as Input."),
    (Rule::ReturnsOldOnly, "ReturnValues can only be ALL_OLD or NONE"),
    (Rule::ConsistentIndex, "Consistent reads are not supported on global secondary indexes"),
    (Rule::AttributesOfCount, "Cannot specify the AttributesToGet when choosing to get only the Count"),
    (Rule::AttributesOfAll, "Cannot specify the AttributesToGet when choosing to get ALL_ATTRIBUTES"),
    (
        Rule::AttributesOfProjected,
        "Cannot specify the AttributesToGet when choosing to get ALL_PROJECTED_ATTRIBUTES",
    ),
    (
        Rule::SpecificOfNothing,
        "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
    ),
    (Rule::ProjectedOfTable, "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"),
    (
        Rule::SegmentAlone,
        "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
    ),
    (
        Rule::TotalSegmentsAlone,
        "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
    ),
    (
        Rule::NoKeyCondition,
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    ),
    (Rule::EmptyBatch, "The batch write request list for a table cannot be null or empty"),
    (
        Rule::BatchWriteCount,
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
    ),
    (Rule::TransactItemCount, "TransactItems can only contain one of Check, Put, Update or Delete"),
];

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SENTENCES[*self as usize].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_rules() {
        for (place, (rule, _)) in SENTENCES.iter().enumerate() {
            assert_eq!(*rule as usize, place);
        }
        assert_eq!(SENTENCES.len(), Rule::TransactItemCount as usize + 1);
    }
}
