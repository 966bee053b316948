//! Random item calls against a naive model, which knows nothing of encodings, keys in bytes or indexes.

mod naive;
mod wire;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::endpoint::{Endpoint, with};
use naive::{Action, Call, Condition, Model, Operator, Refusal, SetTo, Value, Verb};

const ATTRIBUTES: [&str; 4] = ["a", "b", "c", "d"];

fn attribute() -> impl Strategy<Value = String> {
    prop::sample::select(&ATTRIBUTES[..]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..4).prop_map(Value::Number),
        prop::sample::select(&["", "x", "xy", "y"][..]).prop_map(|text| Value::Text(text.to_owned())),
        set().prop_map(Value::Set),
    ]
}

fn set() -> impl Strategy<Value = std::collections::BTreeSet<i64>> {
    prop::collection::btree_set(0_i64..4, 1..4)
}

fn scalar() -> impl Strategy<Value = Value> {
    value().prop_filter("ordered", |value| !matches!(value, Value::Set(_)))
}

fn condition() -> impl Strategy<Value = Condition> {
    let operator = prop::sample::select(&Operator::ALL[..]);
    let leaf = prop_oneof![
        (attribute(), operator, scalar())
            .prop_map(|(name, operator, value)| Condition::Compare(name, operator, value)),
        (attribute(), value()).prop_map(|(name, value)| Condition::Compare(name, Operator::Equal, value)),
        attribute().prop_map(Condition::Exists),
        attribute().prop_map(Condition::NotExists),
        (attribute(), "[xy]{1,2}").prop_map(|(name, prefix)| Condition::BeginsWith(name, prefix)),
        (attribute(), -3_i64..1, 0_i64..4)
            .prop_map(|(name, lower, upper)| Condition::Between(name, lower, upper)),
        (attribute(), prop::collection::vec(value(), 1..3)).prop_map(|(name, all)| Condition::In(name, all)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        value().prop_map(|value| Action::Set(SetTo::Value(value))),
        attribute().prop_map(|name| Action::Set(SetTo::Attribute(name))),
        (attribute(), value()).prop_map(|(name, value)| Action::Set(SetTo::IfNotExists(name, value))),
        (attribute(), -3_i64..4).prop_map(|(name, number)| Action::Set(SetTo::Plus(name, number))),
        (attribute(), -3_i64..4).prop_map(|(name, number)| Action::Set(SetTo::Minus(name, number))),
        Just(Action::Remove),
        (-3_i64..4).prop_map(|number| Action::Add(Value::Number(number))),
        set().prop_map(|set| Action::Add(Value::Set(set))),
        set().prop_map(Action::Delete),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        2 => prop::collection::btree_map(attribute(), value(), 0..4).prop_map(Verb::Put),
        4 => prop::collection::btree_map(attribute(), action(), 0..4).prop_map(Verb::Update),
        1 => Just(Verb::Delete),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    (0_u8..6, prop::option::of(condition()), verb(), any::<bool>())
        .prop_map(|(key, condition, verb, legacy)| Call { key, condition, verb, legacy })
}

/// A table with an index over the attribute `a`, when it is text.
fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    endpoint.ok(
        "UpdateTable",
        json!({
            "TableName": "leases", "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [{"Create": {
                "IndexName": "by-a", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            }}],
        }),
    );
    endpoint
}

/// Items by their keys, without the attribute of the key.
fn by_key(items: &Json) -> BTreeMap<String, Json> {
    let items = items.as_array().expect("items").iter().cloned();
    items
        .map(|mut item| {
            let key = item.as_object_mut().expect("an item").remove("leaseKey").expect("a key");
            (key["S"].as_str().expect("text").to_owned(), item)
        })
        .collect()
}

fn scan(endpoint: &mut Endpoint, more: Json) -> BTreeMap<String, Json> {
    by_key(&endpoint.ok("Scan", with(&json!({"TableName": "leases"}), more))["Items"])
}

fn check(endpoint: &mut Endpoint, model: &Model) {
    let expected = model.items(|_| true);
    assert_eq!(scan(endpoint, json!({})), expected);
    let mut of_segments = BTreeMap::new();
    for segment in 0..3 {
        of_segments.append(&mut scan(endpoint, json!({"Segment": segment, "TotalSegments": 3})));
    }
    assert_eq!(of_segments, expected);
    for text in ["x", "xy", "y"] {
        let query = json!({
            "TableName": "leases", "IndexName": "by-a", "KeyConditionExpression": "a = :a",
            "ExpressionAttributeValues": {":a": {"S": text}},
        });
        let found = by_key(&endpoint.ok("Query", query)["Items"]);
        assert_eq!(found, model.items(|item| item.get("a") == Some(&Value::Text(text.to_owned()))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 1_024 }))]

    #[test]
    fn item_calls_do_what_the_model_does(calls in prop::collection::vec(call(), 1..16)) {
        let (mut endpoint, mut model) = (endpoint(), Model::default());
        for call in calls {
            let (operation, body) = wire::request(&call);
            let outcome = endpoint.call(operation, body.clone());
            let expected = model.apply(&call);
            match (&outcome, &expected) {
                (Ok(_), Ok(())) => {}
                (Err(fault), Err(refusal)) => {
                    let name = fault["__type"].as_str().expect("a type").rsplit_once('#').expect("a namespace").1;
                    let expected = match refusal {
                        Refusal::Condition => "ConditionalCheckFailedException",
                        Refusal::Invalid => "ValidationException",
                    };
                    prop_assert_eq!(name, expected, "{} {}", body, fault);
                }
                _ => prop_assert!(false, "{operation} {body}: {outcome:?}, the model says {expected:?}"),
            }
        }
        check(&mut endpoint, &model);
    }

    #[test]
    fn filters_find_what_the_model_finds(
        puts in prop::collection::vec((0_u8..6, prop::collection::btree_map(attribute(), value(), 0..4)), 0..8),
        condition in condition(),
    ) {
        let (mut endpoint, mut model) = (endpoint(), Model::default());
        for (key, item) in puts {
            let call = Call { key, condition: None, verb: Verb::Put(item), legacy: false };
            let (operation, body) = wire::request(&call);
            prop_assert_eq!(endpoint.call(operation, body).is_ok(), model.apply(&call).is_ok());
        }
        let found = scan(&mut endpoint, wire::filter(&condition));
        prop_assert_eq!(found, model.items(|item| condition.holds(Some(item))));
    }
}
