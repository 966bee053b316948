//! Calls of the model as requests, in either form.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::naive::{Action, Call, Condition, Operator, SetTo, Value, Verb};

/// Makes the texts of expressions, and collects their values.
#[derive(Default)]
struct Text {
    values: Map<String, Json>,
}

impl Text {
    fn value(&mut self, value: &Value) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value.json());
        name
    }

    fn all(&mut self, conditions: &[Condition], word: &str) -> String {
        let parts: Vec<String> =
            conditions.iter().map(|condition| format!("({})", self.condition(condition))).collect();
        parts.join(word)
    }

    fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::And(all) => self.all(all, " AND "),
            Condition::Or(all) => self.all(all, " or "),
            Condition::Not(inner) => format!("NOT ({})", self.condition(inner)),
            Condition::Compare(name, operator, value) => {
                format!("{name} {} {}", symbol(*operator), self.value(value))
            }
            Condition::Exists(name) => format!("attribute_exists({name})"),
            Condition::NotExists(name) => format!("attribute_not_exists ({name})"),
            Condition::BeginsWith(name, prefix) => {
                format!("begins_with({name}, {})", self.value(&Value::Text(prefix.clone())))
            }
            Condition::Between(name, lower, upper) => {
                let (lower, upper) = (self.value(&Value::Number(*lower)), self.value(&Value::Number(*upper)));
                format!("{name} BETWEEN {lower} AND {upper}")
            }
            Condition::In(name, all) => {
                let all: Vec<String> = all.iter().map(|value| self.value(value)).collect();
                format!("{name} IN ({})", all.join(", "))
            }
        }
    }

    fn set_to(&mut self, to: &SetTo) -> String {
        match to {
            SetTo::Value(value) => self.value(value),
            SetTo::Attribute(name) => name.clone(),
            SetTo::IfNotExists(name, value) => format!("if_not_exists({name}, {})", self.value(value)),
            SetTo::Plus(name, by) => format!("{name} + {}", self.value(&Value::Number(*by))),
            SetTo::Minus(name, by) => format!("{name} - {}", self.value(&Value::Number(*by))),
        }
    }

    fn update(&mut self, actions: &BTreeMap<String, Action>) -> String {
        let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, action) in actions {
            let (section, text) = match action {
                Action::Set(to) => ("SET", format!("{name} = {}", self.set_to(to))),
                Action::Remove => ("REMOVE", name.clone()),
                Action::Add(value) => ("ADD", format!("{name} {}", self.value(value))),
                Action::Delete(set) => ("DELETE", format!("{name} {}", self.value(&Value::Set(set.clone())))),
            };
            sections.entry(section).or_default().push(text);
        }
        let sections = sections.into_iter().map(|(section, parts)| format!("{section} {}", parts.join(", ")));
        sections.collect::<Vec<_>>().join(" ")
    }

    fn put_values(self, body: &mut Json) {
        if !self.values.is_empty() {
            body["ExpressionAttributeValues"] = self.values.into();
        }
    }
}

fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "=",
        Operator::NotEqual => "<>",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
    }
}

/// `Expected`, when the condition has that form.
fn expected(condition: &Condition) -> Option<Json> {
    let entry = match condition {
        Condition::Compare(_, Operator::Equal, value) => json!({"Value": value.json()}),
        Condition::Compare(_, operator, value) => {
            let operator = match operator {
                Operator::Equal => "EQ",
                Operator::NotEqual => "NE",
                Operator::Less => "LT",
                Operator::LessOrEqual => "LE",
                Operator::Greater => "GT",
                Operator::GreaterOrEqual => "GE",
            };
            json!({"ComparisonOperator": operator, "AttributeValueList": [value.json()]})
        }
        Condition::Exists(_) => json!({"ComparisonOperator": "NOT_NULL"}),
        Condition::NotExists(_) => json!({"Exists": false}),
        _ => return None,
    };
    let (Condition::Compare(name, ..) | Condition::Exists(name) | Condition::NotExists(name)) = condition
    else {
        return None;
    };
    Some(json!({name: entry}))
}

/// `AttributeUpdates`, when all actions have that form.
fn attribute_updates(actions: &BTreeMap<String, Action>) -> Option<Json> {
    let entry = |action: &Action| {
        Some(match action {
            Action::Set(SetTo::Value(value)) => json!({"Action": "PUT", "Value": value.json()}),
            Action::Set(_) => return None,
            Action::Remove => json!({"Action": "DELETE"}),
            Action::Add(value) => json!({"Action": "ADD", "Value": value.json()}),
            Action::Delete(set) => json!({"Action": "DELETE", "Value": Value::Set(set.clone()).json()}),
        })
    };
    let entries: Option<Map<String, Json>> =
        actions.iter().map(|(name, action)| Some((name.clone(), entry(action)?))).collect();
    entries.map(Json::Object)
}

/// Puts the condition and the update into the body in the legacy form, if both have it.
fn put_legacy(call: &Call, body: &mut Json) -> bool {
    let condition = call.condition.as_ref().map(expected);
    let update = match &call.verb {
        Verb::Update(actions) => Some(attribute_updates(actions)),
        _ => None,
    };
    if !call.legacy || condition == Some(None) || update == Some(None) {
        return false;
    }
    for (member, value) in [("Expected", condition.flatten()), ("AttributeUpdates", update.flatten())] {
        if let Some(value) = value {
            body[member] = value;
        }
    }
    true
}

pub fn request(call: &Call) -> (&'static str, Json) {
    let key = json!({"leaseKey": {"S": format!("key{}", call.key)}});
    let (operation, mut body) = match &call.verb {
        Verb::Put(item) => {
            let mut whole = key;
            item.iter().for_each(|(name, value)| whole[name] = value.json());
            ("PutItem", json!({"TableName": "leases", "Item": whole}))
        }
        Verb::Update(_) => ("UpdateItem", json!({"TableName": "leases", "Key": key})),
        Verb::Delete => ("DeleteItem", json!({"TableName": "leases", "Key": key})),
    };
    if put_legacy(call, &mut body) {
        return (operation, body);
    }
    let mut text = Text::default();
    if let Some(condition) = &call.condition {
        body["ConditionExpression"] = text.condition(condition).into();
    }
    if let Verb::Update(actions) = &call.verb
        && !actions.is_empty()
    {
        body["UpdateExpression"] = text.update(actions).into();
    }
    text.put_values(&mut body);
    (operation, body)
}

pub fn filter(condition: &Condition) -> Json {
    let mut text = Text::default();
    let mut body = json!({"FilterExpression": text.condition(condition)});
    text.put_values(&mut body);
    body
}
