//! Scan and Query.

use super::item::{Expressions, projection};
use super::parts::Parts;
use super::{Query, Scan, Search, Segment, Select, table_name};
use crate::expression::{KeyCondition, Which};
use crate::fault::{Fault, Invalid, Rule};
use crate::owner::{Owner, check_name};
use crate::value::read_attributes;

/// Segments of one scan; DynamoDB's bound.
const SEGMENTS_MAX: i64 = 1_000_000;

const SELECTS: [(&str, Select); 4] = [
    ("SPECIFIC_ATTRIBUTES", Select::Specific),
    ("COUNT", Select::Count),
    ("ALL_ATTRIBUTES", Select::All),
    ("ALL_PROJECTED_ATTRIBUTES", Select::Projected),
];

fn rule(rule: Rule) -> Fault {
    Invalid::Rule(rule).into()
}

/// Takes the members that Scan and Query share.
fn search(
    parts: &mut Parts<'_>,
    owner: &Owner,
    operation: &'static str,
    expressions: &Expressions<'_>,
) -> Result<Search, Fault> {
    let table = table_name(parts, owner, operation)?;
    let index = parts.text("IndexName")?;
    if let Some(index) = &index {
        check_name(index, "indexName")?;
    }
    let is_consistent = parts.flag("ConsistentRead")?.unwrap_or(false);
    let limit = parts.number("Limit", "limit", 1..=i64::from(i32::MAX))?;
    let select = parts.choice("Select", "select", &SELECTS)?;
    let start = parts.take("ExclusiveStartKey").map(|json| read_attributes(&json)).transpose()?;
    let projection = projection(parts, expressions)?;
    if index.is_some() && is_consistent {
        return Err(rule(Rule::ConsistentIndex));
    }
    match (select, &projection, &index) {
        (Some(Select::Count), Some(_), _) => {
            return Err(rule(Rule::AttributesOfCount));
        }
        (Some(Select::All), Some(_), _) => {
            return Err(rule(Rule::AttributesOfAll));
        }
        (Some(Select::Projected), Some(_), _) => {
            return Err(rule(Rule::AttributesOfProjected));
        }
        (Some(Select::Specific), None, _) => {
            return Err(rule(Rule::SpecificOfNothing));
        }
        (Some(Select::Projected), None, None) => {
            return Err(rule(Rule::ProjectedOfTable));
        }
        _ => {}
    }
    let filter = expressions.condition(Which::Filter)?;
    let limit = limit.map(|limit| limit as u32);
    Ok(Search { table, index: index.map(Into::into), filter, projection, select, limit, start })
}

pub(super) fn scan(mut parts: Parts<'_>, owner: &Owner) -> Result<Scan, Fault> {
    const LEGACY: [&str; 3] = ["AttributesToGet", "ScanFilter", "ConditionalOperator"];
    let expressions = Expressions::take(&mut parts, &[Which::Projection, Which::Filter], &LEGACY)?;
    let segments = parts.number("TotalSegments", "totalSegments", 1..=SEGMENTS_MAX)?;
    let segment = parts.number("Segment", "segment", 0..=SEGMENTS_MAX - 1)?;
    let search = search(&mut parts, owner, "Scan", &expressions)?;
    parts.finish()?;
    expressions.check_used()?;
    let segment = match (segment, segments) {
        (None, None) => None,
        (Some(_), None) => {
            return Err(rule(Rule::SegmentAlone));
        }
        (None, Some(_)) => {
            return Err(rule(Rule::TotalSegmentsAlone));
        }
        (Some(segment), Some(segments)) => {
            let (segment, segments) = (segment as u32, segments as u32);
            if segment >= segments {
                return Err(Invalid::SegmentTooLarge { segment, segments }.into());
            }
            Some(Segment { segment, segments })
        }
    };
    Ok(Scan { search, segment })
}

pub(super) fn query(mut parts: Parts<'_>, owner: &Owner) -> Result<Query, Fault> {
    const LEGACY: [&str; 4] = ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"];
    let all = [Which::Projection, Which::Filter, Which::KeyCondition];
    let expressions = Expressions::take(&mut parts, &all, &LEGACY)?;
    let forward = parts.flag("ScanIndexForward")?.unwrap_or(true);
    let search = search(&mut parts, owner, "Query", &expressions)?;
    parts.finish()?;
    let Some(key) = expressions.parse(Which::KeyCondition, KeyCondition::parse)? else {
        return Err(rule(Rule::NoKeyCondition));
    };
    expressions.check_used()?;
    Ok(Query { search, key, forward })
}
