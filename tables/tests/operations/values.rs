//! Attribute values: what is taken, what is returned, what is refused.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;

fn put(value: Value) -> Value {
    json!({"TableName": "leases", "Item": {"leaseKey": {"S": "k"}, "v": value}})
}

#[test]
fn all_ten_types_come_back() {
    let mut endpoint = Endpoint::with_leases();
    for (value, stored) in [
        (json!({"S": ""}), json!({"S": ""})),
        (json!({"S": "é\u{0}\"\n"}), json!({"S": "é\u{0}\"\n"})),
        (json!({"N": "1E3"}), json!({"N": "1000"})),
        (json!({"N": "-0.0"}), json!({"N": "0"})),
        (json!({"B": "AP8="}), json!({"B": "AP8="})),
        (json!({"BOOL": true}), json!({"BOOL": true})),
        (json!({"BOOL": false}), json!({"BOOL": false})),
        (json!({"NULL": true}), json!({"NULL": true})),
        (json!({"M": {}}), json!({"M": {}})),
        (json!({"M": {"b": {"N": "01"}, "a": {"L": []}}}), json!({"M": {"a": {"L": []}, "b": {"N": "1"}}})),
        (
            json!({"L": [{"S": "x"}, {"M": {"n": {"NULL": true}}}]}),
            json!({"L": [{"S": "x"}, {"M": {"n": {"NULL": true}}}]}),
        ),
        (json!({"SS": ["b", "a", ""]}), json!({"SS": ["", "a", "b"]})),
        (json!({"NS": ["2", "-1.0", "1e1"]}), json!({"NS": ["-1", "2", "10"]})),
        (json!({"BS": ["AQ==", "AA=="]}), json!({"BS": ["AA==", "AQ=="]})),
    ] {
        endpoint.ok("PutItem", put(value));
        assert_eq!(endpoint.get("leases", json!({"leaseKey": {"S": "k"}}))["v"], stored);
    }
}

#[test]
fn bad_values_are_refused() {
    let invalid = "One or more parameter values were invalid: ";
    let digits = |count: usize| "9".repeat(count);
    for (value, sentence) in [
        (json!({}), "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes".into()),
        (json!({"X": "a"}), "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes".into()),
        (
            json!({"S": "a", "N": "1"}),
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes".into(),
        ),
        (json!({"N": "a"}), "The parameter cannot be converted to a numeric value: a".into()),
        (json!({"N": ""}), "The parameter cannot be converted to a numeric value: ".into()),
        (json!({"N": digits(39)}), "Attempting to store more than 38 significant digits in a Number".into()),
        (
            json!({"N": "1E126"}),
            "Number overflow. Attempting to store a number with magnitude larger than supported range".into(),
        ),
        (
            json!({"N": "1E-131"}),
            "Number underflow. Attempting to store a number with magnitude smaller than supported range".into(),
        ),
        (json!({"NULL": false}), format!("{invalid}Null attribute value types must have the value of true")),
        (json!({"SS": []}), format!("{invalid}An string set  may not be empty")),
        (json!({"NS": []}), format!("{invalid}An number set  may not be empty")),
        (json!({"BS": []}), format!("{invalid}Binary sets should not be empty")),
        (json!({"SS": ["a", "a"]}), format!("{invalid}Input collection [a, a] contains duplicates.")),
        (json!({"NS": ["1", "1.0"]}), "Input collection contains duplicates".into()),
        (json!({"BS": ["AA==", "AA=="]}), format!("{invalid}Input collection [AA==, AA==]of type BS contains duplicates.")),
        (json!({"M": {"": {"S": "a"}}}), format!("{invalid}Empty attribute name")),
        (json!({"L": [{"N": "x"}]}), "The parameter cannot be converted to a numeric value: x".into()),
    ] {
        let mut endpoint = Endpoint::with_leases();
        assert_eq!(endpoint.invalid("PutItem", put(value.clone())), sentence, "{value}");
    }
    let mut endpoint = Endpoint::with_leases();
    endpoint.ok("PutItem", put(json!({"N": digits(38)})));
    assert_eq!(endpoint.get("leases", json!({"leaseKey": {"S": "k"}}))["v"], json!({"N": digits(38)}));
}

#[test]
fn members_of_other_json_types_are_refused() {
    for (value, sentence) in [
        (json!({"S": 1}), "NUMBER_VALUE cannot be converted to String"),
        (json!({"N": 1.5}), "DECIMAL_VALUE cannot be converted to String"),
        (json!({"N": true}), "TRUE_VALUE cannot be converted to String"),
        (json!({"BOOL": "true"}), "STRING_VALUE cannot be converted to Boolean"),
        (json!({"SS": "a"}), "STRING_VALUE cannot be converted to List"),
        (json!({"SS": [1]}), "NUMBER_VALUE cannot be converted to String"),
        (json!({"S": {}}), "Start of structure or map found where not expected"),
        (json!({"S": []}), "Unrecognized collection type class java.lang.String"),
        (json!({"B": "not base64"}), "Invalid Base64 in a value of type B"),
        (json!("text"), "STRING_VALUE cannot be converted to AttributeValue"),
    ] {
        let mut endpoint = Endpoint::with_leases();
        let expected = ("SerializationException".to_owned(), sentence.to_owned());
        assert_eq!(endpoint.refused("PutItem", put(value.clone())), expected, "{value}");
    }
}

#[test]
fn values_nest_32_times() {
    let nested = |levels: usize| (1..levels).fold(json!({"S": "x"}), |inner, _| json!({"L": [inner]}));
    let mut endpoint = Endpoint::with_leases();
    endpoint.ok("PutItem", put(nested(32)));
    assert_eq!(endpoint.get("leases", json!({"leaseKey": {"S": "k"}}))["v"], nested(32));
    assert_eq!(endpoint.invalid("PutItem", put(nested(33))), "Nesting Levels have exceeded supported limits");
    let deep = format!(
        r#"{{"TableName":"leases","Item":{{"v":{}{}}}}}"#,
        r#"{"L":["#.repeat(100_000),
        "]}".repeat(100_000)
    );
    let fault = endpoint.send("PutItem", deep.as_bytes()).unwrap_err();
    assert_eq!(fault.exception(), "SerializationException");
}

#[test]
fn bodies_that_are_no_structure_are_refused() {
    let mut endpoint = Endpoint::with_leases();
    for body in ["", "{", "[]", "null", "\"text\"", "{}x", "\u{0}"] {
        let fault = endpoint.send("PutItem", body.as_bytes()).unwrap_err();
        assert_eq!(fault.exception(), "SerializationException", "{body}");
    }
    assert_eq!(
        endpoint.send("PutItem", b"{\"TableName\": \"\xff\"}").unwrap_err().exception(),
        "SerializationException"
    );
}

#[test]
fn items_are_exported_and_imported_as_json() {
    let json = br#"{"a":{"N":"1.50"},"m":{"M":{"l":{"L":[{"NULL":true}]}}}}"#;
    let item = tidelog_tables::Item::from_json(json).expect("an item");
    assert_eq!(item.to_json(), br#"{"a":{"N":"1.5"},"m":{"M":{"l":{"L":[{"NULL":true}]}}}}"#);
    assert_eq!(
        item.get("a").and_then(tidelog_tables::value::ValueRef::as_number).map(|number| number.text()),
        Some("1.5".to_owned())
    );
    assert!(tidelog_tables::Item::from_json(b"[]").is_err());
}
