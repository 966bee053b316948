//! TimeToLive, continuous backups and tags of tables.

use super::parts::{Parts, required};
use super::{Tag, Write, table_name};
use crate::fault::{Fault, Invalid, Rule};
use crate::json::Json;
use crate::owner::Owner;

/// Characters of a tag's key and value; DynamoDB's bounds.
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

pub(super) fn update_time_to_live(mut parts: Parts<'_>, owner: &Owner) -> Result<Write, Fault> {
    let table = table_name(&mut parts, owner, "UpdateTimeToLive")?;
    let mut specification = required(parts.structure("TimeToLiveSpecification")?, "timeToLiveSpecification")?;
    parts.finish()?;
    let is_enabled = required(specification.flag("Enabled")?, "timeToLiveSpecification.enabled")?;
    let attribute = required(specification.text("AttributeName")?, "timeToLiveSpecification.attributeName")?;
    specification.finish()?;
    check_length(&attribute, "timeToLiveSpecification.attributeName", 1..=255)?;
    Ok(Write::TimeToLive { table, attribute: attribute.into(), is_enabled })
}

pub(super) fn update_continuous_backups(mut parts: Parts<'_>, owner: &Owner) -> Result<Write, Fault> {
    let table = table_name(&mut parts, owner, "UpdateContinuousBackups")?;
    let member = "pointInTimeRecoverySpecification";
    let mut specification = required(parts.structure("PointInTimeRecoverySpecification")?, member)?;
    parts.finish()?;
    let is_enabled = specification.flag("PointInTimeRecoveryEnabled")?;
    specification.finish()?;
    let is_enabled = required(is_enabled, "pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled")?;
    Ok(Write::ContinuousBackups { table, is_enabled })
}

fn resource(parts: &mut Parts<'_>, owner: &Owner, operation: &'static str) -> Result<Box<str>, Fault> {
    owner.table_of_arn(&required(parts.text("ResourceArn")?, "resourceArn")?, operation)
}

fn check_length(text: &str, member: &str, bounds: std::ops::RangeInclusive<usize>) -> Result<(), Fault> {
    let length = text.chars().count();
    let rule = if length < *bounds.start() {
        format!("Member must have length greater than or equal to {}", bounds.start())
    } else if length > *bounds.end() {
        format!("Member must have length less than or equal to {}", bounds.end())
    } else {
        return Ok(());
    };
    Err(Invalid::constraint(text, member, rule).into())
}

/// Reads a list of `{Key, Value}`.
pub(super) fn tags(list: Vec<Json<'_>>) -> Result<Vec<Tag>, Fault> {
    let mut tags: Vec<Tag> = Vec::with_capacity(list.len());
    for json in list {
        let mut tag = Parts::of(json)?;
        let key = required(tag.text("Key")?, "tags.member.key")?;
        let value = required(tag.text("Value")?, "tags.member.value")?;
        tag.finish()?;
        check_length(&key, "tags.member.key", 1..=TAG_KEY_MAX)?;
        check_length(&value, "tags.member.value", 0..=TAG_VALUE_MAX)?;
        tags.push((key.into(), value.into()));
    }
    Ok(tags)
}

pub(super) fn tag_resource(mut parts: Parts<'_>, owner: &Owner) -> Result<Write, Fault> {
    let table = resource(&mut parts, owner, "TagResource")?;
    let list = required(parts.list("Tags")?, "tags")?;
    parts.finish()?;
    if list.is_empty() {
        return Err(Invalid::Rule(Rule::NoTags).into());
    }
    Ok(Write::Tag { table, tags: tags(list)? })
}

pub(super) fn untag_resource(mut parts: Parts<'_>, owner: &Owner) -> Result<Write, Fault> {
    let table = resource(&mut parts, owner, "UntagResource")?;
    let list = required(parts.list("TagKeys")?, "tagKeys")?;
    parts.finish()?;
    if list.is_empty() {
        return Err(Invalid::Rule(Rule::NoTagKeys).into());
    }
    let mut keys = Vec::with_capacity(list.len());
    for json in list {
        let Json::Text(key) = json else { return Err(Fault::wrong_type(&json, "String")) };
        check_length(&key, "tagKeys.member", 1..=TAG_KEY_MAX)?;
        keys.push(key.into());
    }
    Ok(Write::Untag { table, keys })
}

pub(super) fn list_tags(mut parts: Parts<'_>, owner: &Owner) -> Result<Box<str>, Fault> {
    let table = resource(&mut parts, owner, "ListTagsOfResource")?;
    // All tags of a table fit in one answer, so no token was ever given out.
    parts.text("NextToken")?;
    parts.finish()?;
    Ok(table)
}
