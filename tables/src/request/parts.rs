//! The members of one structure of a request: each is taken once, and the rest is ignored by name or refused.

use std::borrow::Cow;

use crate::fault::{Fault, Invalid};
use crate::json::{Json, Members};

/// Members that lease tables take without a meaning, in every operation.
const IGNORED: [&str; 9] = [
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
    "SSESpecification",
    "TableClass",
    "OnDemandThroughput",
    "ResourcePolicy",
    "WarmThroughput",
    "MultiRegionConsistency",
    "RecoveryPeriodInDays",
];

/// Members that DynamoDB has and lease tables have not, with the words for them.
const REFUSED: [(&str, &str); 8] = [
    ("LocalSecondaryIndexes", "local indexes"),
    ("ConditionalOperator", "ConditionalOperator"),
    ("ScanFilter", "ScanFilter"),
    ("QueryFilter", "QueryFilter"),
    ("KeyConditions", "KeyConditions"),
    ("ReplicaUpdates", "global tables"),
    ("GlobalTableWitnessUpdates", "global tables"),
    ("VectorIndexes", "vector indexes"),
];

/// Members that are not taken yet.
pub(crate) struct Parts<'a>(Members<'a>);

impl<'a> Parts<'a> {
    /// The members of a structure. Members of null are absent.
    pub(crate) fn of(json: Json<'a>) -> Result<Self, Fault> {
        let Json::Map(mut members) = json else { return Err(Fault::wrong_type(&json, "Structure")) };
        members.retain(|(_, value)| *value != Json::Null);
        Ok(Self(members))
    }

    /// Takes a member. The last one of a name counts.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let at = self.0.iter().rposition(|(own, _)| own == name)?;
        let (_, value) = self.0.remove(at);
        self.0.retain(|(own, _)| own != name);
        Some(value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// True for a member that is there and no empty structure or list, as SDKs of Java write an absent one.
    pub(crate) fn has_content(&self, name: &str) -> bool {
        let is_empty = |json: &Json<'_>| match json {
            Json::Map(members) => members.is_empty(),
            Json::List(list) => list.is_empty(),
            _ => false,
        };
        self.0.iter().any(|(own, json)| own == name && !is_empty(json))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(Fault::wrong_type(&other, "String")),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(Fault::wrong_type(&other, "Boolean")),
        }
    }

    /// Takes a whole number within bounds; `member` is its name in messages.
    pub(crate) fn number(
        &mut self,
        name: &str,
        member: &str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, Fault> {
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Json::Integer(number)) => number,
            Some(other) => return Err(Fault::wrong_type(&other, "Integer")),
        };
        let rule = if number < *bounds.start() {
            format!("Member must have value greater than or equal to {}", bounds.start())
        } else if number > *bounds.end() {
            format!("Member must have value less than or equal to {}", bounds.end())
        } else {
            return Ok(Some(number));
        };
        Err(Invalid::constraint(&number.to_string(), member, rule).into())
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Json<'a>>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::List(list)) => Ok(Some(list)),
            Some(other) => Err(Fault::wrong_type(&other, "List")),
        }
    }

    pub(crate) fn structure(&mut self, name: &str) -> Result<Option<Parts<'a>>, Fault> {
        self.take(name).map(Self::of).transpose()
    }

    /// Takes one of several texts, each with its meaning.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &str,
        member: &str,
        all: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match all.iter().find(|(known, _)| *known == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let names: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
                Err(Invalid::not_in_set(&text, member, &names).into())
            }
        }
    }

    /// All members, with their names.
    pub(crate) fn into_members(self) -> Members<'a> {
        self.0
    }

    /// Refuses the members that nothing has taken, but those to be ignored.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        for (name, _) in &self.0 {
            if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| refused == name) {
                return Err(Invalid::NotTaken { what: (*what).into() }.into());
            }
            if !IGNORED.contains(&name.as_ref()) {
                let name: String = name.chars().take(100).collect();
                return Err(Invalid::NotTaken { what: format!("member {name}") }.into());
            }
        }
        Ok(())
    }
}

/// A member that has to be there; `member` is its name in messages.
pub(crate) fn required<T>(value: Option<T>, member: &str) -> Result<T, Fault> {
    value.ok_or_else(|| Invalid::required(member).into())
}
