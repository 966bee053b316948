//! The model: items of three types of values in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(String),
    Set(BTreeSet<i64>),
}

pub type Item = BTreeMap<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::Less, Self::LessOrEqual, Self::Greater, Self::GreaterOrEqual];
}

#[derive(Clone, Debug)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(String, Operator, Value),
    Exists(String),
    NotExists(String),
    BeginsWith(String, String),
    Between(String, i64, i64),
    In(String, Vec<Value>),
}

#[derive(Clone, Debug)]
pub enum SetTo {
    Value(Value),
    Attribute(String),
    IfNotExists(String, Value),
    Plus(String, i64),
    Minus(String, i64),
}

#[derive(Clone, Debug)]
pub enum Action {
    Set(SetTo),
    Remove,
    Add(Value),
    Delete(BTreeSet<i64>),
}

#[derive(Clone, Debug)]
pub enum Verb {
    Put(Item),
    Update(BTreeMap<String, Action>),
    Delete,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub key: u8,
    pub condition: Option<Condition>,
    pub verb: Verb,
    /// Send the legacy form where there is one.
    pub legacy: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Condition,
    Invalid,
}

#[derive(Default)]
pub struct Model(BTreeMap<u8, Item>);

impl Value {
    pub fn json(&self) -> Json {
        match self {
            Self::Number(number) => json!({"N": number.to_string()}),
            Self::Text(text) => json!({"S": text}),
            Self::Set(set) => json!({"NS": set.iter().map(ToString::to_string).collect::<Vec<_>>()}),
        }
    }
}

impl Condition {
    pub fn holds(&self, item: Option<&Item>) -> bool {
        let get = |name: &String| item.and_then(|item| item.get(name));
        match self {
            Self::And(all) => all.iter().all(|condition| condition.holds(item)),
            Self::Or(all) => all.iter().any(|condition| condition.holds(item)),
            Self::Not(condition) => !condition.holds(item),
            Self::Compare(name, operator, value) => compare(get(name), *operator, value),
            Self::Exists(name) => get(name).is_some(),
            Self::NotExists(name) => get(name).is_none(),
            Self::BeginsWith(name, prefix) => {
                matches!(get(name), Some(Value::Text(text)) if text.starts_with(prefix.as_str()))
            }
            Self::Between(name, lower, upper) => {
                matches!(get(name), Some(Value::Number(number)) if (lower..=upper).contains(&number))
            }
            Self::In(name, all) => get(name).is_some_and(|value| all.contains(value)),
        }
    }
}

fn compare(left: Option<&Value>, operator: Operator, right: &Value) -> bool {
    let order = match (left, right) {
        (Some(Value::Number(left)), Value::Number(right)) => Some(left.cmp(right)),
        (Some(Value::Text(left)), Value::Text(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match operator {
        Operator::Equal => left == Some(right),
        Operator::NotEqual => left != Some(right),
        Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn number(item: &Item, name: &str) -> Result<i64, Refusal> {
    match item.get(name) {
        Some(Value::Number(number)) => Ok(*number),
        _ => Err(Refusal::Invalid),
    }
}

fn changed(old: &Item, name: &str, action: &Action) -> Result<Option<Value>, Refusal> {
    Ok(match (action, old.get(name)) {
        (Action::Set(SetTo::Value(value)), _) => Some(value.clone()),
        (Action::Set(SetTo::Attribute(other)), _) => Some(old.get(other).ok_or(Refusal::Invalid)?.clone()),
        (Action::Set(SetTo::IfNotExists(other, value)), _) => Some(old.get(other).unwrap_or(value).clone()),
        (Action::Set(SetTo::Plus(other, by)), _) => Some(Value::Number(number(old, other)? + by)),
        (Action::Set(SetTo::Minus(other, by)), _) => Some(Value::Number(number(old, other)? - by)),
        (Action::Remove, _) | (Action::Delete(_), None) => None,
        (Action::Add(value), None) => Some(value.clone()),
        (Action::Add(Value::Number(by)), Some(Value::Number(number))) => Some(Value::Number(number + by)),
        (Action::Add(Value::Set(more)), Some(Value::Set(set))) => Some(Value::Set(set | more)),
        (Action::Add(_), Some(_)) => return Err(Refusal::Invalid),
        (Action::Delete(less), Some(Value::Set(set))) => {
            let left = set - less;
            (!left.is_empty()).then_some(Value::Set(left))
        }
        (Action::Delete(_), Some(_)) => return Err(Refusal::Invalid),
    })
}

impl Model {
    pub fn apply(&mut self, call: &Call) -> Result<(), Refusal> {
        let old = self.0.get(&call.key);
        if call.condition.as_ref().is_some_and(|condition| !condition.holds(old)) {
            return Err(Refusal::Condition);
        }
        let new = match &call.verb {
            Verb::Put(item) => item.clone(),
            Verb::Update(actions) => {
                let empty = Item::new();
                let old = old.unwrap_or(&empty);
                let mut new = old.clone();
                for (name, action) in actions {
                    match changed(old, name, action)? {
                        Some(value) => _ = new.insert(name.clone(), value),
                        None => _ = new.remove(name),
                    }
                }
                new
            }
            Verb::Delete => {
                self.0.remove(&call.key);
                return Ok(());
            }
        };
        // The index takes texts that are not empty.
        if !matches!(new.get("a"), None | Some(Value::Text(_)))
            || new.get("a") == Some(&Value::Text(String::new()))
        {
            return Err(Refusal::Invalid);
        }
        self.0.insert(call.key, new);
        Ok(())
    }

    pub fn items(&self, is_chosen: impl Fn(&Item) -> bool) -> BTreeMap<String, Json> {
        let json = |item: &Item| item.iter().map(|(name, value)| (name.clone(), value.json())).collect();
        let chosen = self.0.iter().filter(|(_, item)| is_chosen(item));
        chosen.map(|(key, item)| (format!("key{key}"), Json::Object(json(item)))).collect()
    }
}
