//! Expressions: grammar, meaning, and the sentences of what is refused.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, with};

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::with_leases();
    endpoint.put(
        "leases",
        json!({
            "leaseKey": {"S": "shard"}, "n": {"N": "5"}, "s": {"S": "abc"}, "b": {"B": "AQI="},
            "set": {"NS": ["1", "2"]}, "flag": {"BOOL": true}, "none": {"NULL": true}, "m": {"M": {}},
        }),
    );
    endpoint
}

fn values() -> Value {
    json!({
        ":n": {"N": "5.0"}, ":six": {"N": "6"}, ":s": {"S": "abc"}, ":ab": {"S": "ab"}, ":b": {"B": "AQI="}, ":b1": {"B": "AQ=="},
        ":set": {"NS": ["2", "1"]}, ":flag": {"BOOL": true}, ":none": {"NULL": true}, ":m": {"M": {}},
    })
}

/// The members of a request with an expression and those of these values that it uses.
fn members(member: &str, text: &str, values: &Value) -> Value {
    let mut body = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "shard"}}, member: text});
    let is_used = |name: &str| {
        let rest = |at: usize| text[at + name.len()..].chars().next();
        text.match_indices(name)
            .any(|(at, _)| !rest(at).is_some_and(|next| next.is_alphanumeric() || next == '_'))
    };
    let used: serde_json::Map<_, _> = values
        .as_object()
        .expect("values")
        .iter()
        .filter(|(name, _)| is_used(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !used.is_empty() {
        body["ExpressionAttributeValues"] = used.into();
    }
    body
}

#[test]
fn conditions_and_their_meaning() {
    for (text, holds) in [
        ("n = :n", true),
        ("n = :six", false),
        ("n = :s", false),
        ("n <> :n", false),
        ("n <> :s", true),
        ("absent <> :n", true),
        ("absent = :n", false),
        ("n < :six", true),
        ("n < :n", false),
        ("n <= :n", true),
        ("n > :n", false),
        ("n >= :n", true),
        ("absent < :n", false),
        ("n < :s", false),
        ("s >= :ab", true),
        ("b > :b1", true),
        ("set = :set", true),
        ("flag = :flag", true),
        ("none = :none", true),
        ("m = :m", true),
        (":six > n", true),
        ("n BETWEEN :n AND :six", true),
        ("s between :ab and :ab", false),
        ("absent BETWEEN :n AND :six", false),
        ("n IN (:six, :n)", true),
        ("n in(:six)", false),
        ("attribute_exists(n)", true),
        ("attribute_exists (absent)", false),
        ("ATTRIBUTE_NOT_EXISTS(absent)", true),
        ("attribute_not_exists ( n )", false),
        ("begins_with(s, :ab)", true),
        ("begins_with(b, :b1)", true),
        ("begins_with(n, :ab)", false),
        ("begins_with(absent, :ab)", false),
        ("NOT n = :n", false),
        ("not not n = :n", true),
        ("n = :six OR s = :s", true),
        ("n = :six AND s = :s", false),
        ("n = :n OR n = :six AND n = :six", true),
        ("(n = :n OR n = :six) AND n = :six", false),
        ("NOT n = :six AND s = :s", true),
        ("((((n = :n))))", true),
        ("n=:n AND s=:s", true),
    ] {
        let mut endpoint = endpoint();
        let outcome = endpoint.call("UpdateItem", members("ConditionExpression", text, &values()));
        assert_eq!(outcome.is_ok(), holds, "{text}: {outcome:?}");
        if let Err(fault) = outcome {
            assert_eq!(fault["message"], "The conditional request failed", "{text}");
        }
    }
}

#[test]
fn bad_conditions_are_refused() {
    let nested = format!("{}n = :n{}", "(".repeat(65), ")".repeat(65));
    let nots = format!("{} n = :n", "NOT ".repeat(65));
    let many = vec!["n = :n"; 160].join(" OR ");
    let long = format!("n = :n OR {} = :n", "x".repeat(5_000));
    let wide = format!("n IN ({})", vec![":n"; 101].join(","));
    for (text, sentence) in [
        ("", "The expression can not be empty;"),
        ("  ", "Syntax error; token: \"<EOF>\", near: \"  \""),
        ("n = ", "Syntax error; token: \"<EOF>\", near: \"= \""),
        ("n == :n", "Syntax error; token: \"=\", near: \"== :n\""),
        ("n = :n s", "Syntax error; token: \"s\", near: \":n s\""),
        ("(n = :n", "Syntax error; token: \"<EOF>\", near: \":n\""),
        ("n = :n)", "Syntax error; token: \")\", near: \":n)\""),
        ("n ! :n", "Syntax error; token: \"!\", near: \"n ! :n\""),
        ("n = 5", "Syntax error; token: \"5\", near: \"= 5\""),
        ("n BETWEEN :n OR :six", "Syntax error; token: \"OR\", near: \":n OR :six\""),
        ("é = :n", "Syntax error; token: \"é\", near: \"é =\""),
        ("n = :x", "An expression attribute value used in expression is not defined; attribute value: :x"),
        (
            "#x = :n",
            "An expression attribute name used in the document path is not defined; attribute name: #x",
        ),
        ("unknown(n)", "Invalid function name; function: unknown"),
        (
            "if_not_exists(n, :n)",
            "The function is not allowed in a condition expression; function: if_not_exists",
        ),
        (
            "attribute_exists(:n)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "attribute_exists(n, s)",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
        ),
        (
            "begins_with(n)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
        ),
        (
            "begins_with(s, :n)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "n < :set",
            "Incorrect operand type for operator or function; operator or function: <, operand type: NS",
        ),
        (
            "n = n",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [n]",
        ),
        (
            "n BETWEEN :six AND :n",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:6}, upper bound operand: AttributeValue: {N:5}",
        ),
        (&nested, "The expression has too many nested parentheses; maximum: 64"),
        (&nots, "The expression has too many nested parentheses; maximum: 64"),
        (&many, "The expression contains too many operators; operator count: 301"),
        (&long, "Expression size has exceeded the maximum allowed size; expression size: 5015"),
        (&wide, "The IN operator is provided with too many operands; number of operands: 101"),
    ] {
        let message = endpoint().invalid("UpdateItem", members("ConditionExpression", text, &values()));
        assert_eq!(message, format!("Invalid ConditionExpression: {sentence}"), "{text}");
    }
}

#[test]
fn parts_that_lease_tables_lack_are_refused_in_words() {
    for (text, what) in [
        ("m.inner = :n", "nested paths"),
        ("m[0] = :n", "nested paths"),
        ("size(s) > :n", "size"),
        ("contains(s, :s)", "contains"),
        ("attribute_type(s, :s)", "attribute_type"),
    ] {
        let message = endpoint().invalid("UpdateItem", members("ConditionExpression", text, &values()));
        assert_eq!(message, format!("Tidelog keeps lease tables, not a database: no {what}"), "{text}");
    }
    let append = members("UpdateExpression", "SET n = list_append(n, :n)", &values());
    assert_eq!(
        endpoint().invalid("UpdateItem", append),
        "Tidelog keeps lease tables, not a database: no list_append"
    );
}

#[test]
fn a_million_characters_are_refused_at_once() {
    for text in ["(".repeat(1_000_000), "NOT ".repeat(250_000), "n = :n AND ".repeat(90_000)] {
        for member in ["ConditionExpression", "UpdateExpression"] {
            let message =
                endpoint().invalid("UpdateItem", members(member, &text, &json!({":n": {"N": "1"}})));
            let size = text.len();
            let expected = "Expression size has exceeded the maximum allowed size; expression size: ";
            assert_eq!(message, format!("Invalid {member}: {expected}{size}"));
        }
    }
}

#[test]
fn updates_and_their_meaning() {
    for (text, attribute, expected) in [
        ("SET n = :six", "n", json!({"N": "6"})),
        ("set n = n + :six", "n", json!({"N": "11"})),
        ("SET n = n - :six", "n", json!({"N": "-1"})),
        ("SET a = :six - n", "a", json!({"N": "1"})),
        ("SET a = n", "a", json!({"N": "5"})),
        ("SET n = if_not_exists(n, :six)", "n", json!({"N": "5"})),
        ("SET a = if_not_exists(a, :six)", "a", json!({"N": "6"})),
        ("SET a = if_not_exists (a, n) + :six", "a", json!({"N": "11"})),
        ("SET a = (n)", "a", json!({"N": "5"})),
        ("REMOVE n", "n", Value::Null),
        ("remove n, absent", "n", Value::Null),
        ("ADD n :six", "n", json!({"N": "11"})),
        ("ADD a :six", "a", json!({"N": "6"})),
        ("ADD set :set", "set", json!({"NS": ["1", "2"]})),
        ("DELETE set :set", "set", Value::Null),
        ("DELETE absent :set", "absent", Value::Null),
        ("SET n = :six REMOVE s ADD a :six DELETE set :set", "n", json!({"N": "6"})),
        ("REMOVE s SET n = :six", "s", Value::Null),
        ("SET s = n, n = s", "n", json!({"S": "abc"})),
    ] {
        let mut endpoint = endpoint();
        endpoint.ok("UpdateItem", members("UpdateExpression", text, &values()));
        let item = endpoint.get("leases", json!({"leaseKey": {"S": "shard"}}));
        assert_eq!(item.get(attribute).cloned().unwrap_or(Value::Null), expected, "{text}");
    }
}

#[test]
fn bad_updates_are_refused() {
    let parse = |sentence: &str| format!("Invalid UpdateExpression: {sentence}");
    let absent = "The provided expression refers to an attribute that does not exist in the item".to_owned();
    let operand = "An operand in the update expression has an incorrect data type".to_owned();
    for (text, sentence) in [
        ("", parse("The expression can not be empty;")),
        ("n = :n", parse("Syntax error; token: \"n\", near: \"n =\"")),
        ("SET", parse("Syntax error; token: \"<EOF>\", near: \"SET\"")),
        ("SET n :n", parse("Syntax error; token: \":n\", near: \"n :n\"")),
        ("SET n = :n,", parse("Syntax error; token: \"<EOF>\", near: \",\"")),
        ("SET n = :n + :six + :n", parse("Syntax error; token: \"+\", near: \":six + :n\"")),
        (
            "SET n = :n SET s = :s",
            parse("The \"SET\" section can only be used once in an update expression;"),
        ),
        (
            "SET n = :n REMOVE n",
            parse(
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]",
            ),
        ),
        (
            "SET n = attribute_exists(n)",
            parse("The function is not allowed in an update expression; function: attribute_exists"),
        ),
        ("SET n = other(n)", parse("Invalid function name; function: other")),
        (
            "SET n = if_not_exists(n)",
            parse(
                "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
            ),
        ),
        (
            "SET n = if_not_exists(:n, :n)",
            parse("Operator or function requires a document path; operator or function: if_not_exists"),
        ),
        (
            "SET n = :n + :s",
            parse(
                "Incorrect operand type for operator or function; operator or function: +, operand type: S",
            ),
        ),
        (
            "ADD n :s",
            parse(
                "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
            ),
        ),
        (
            "DELETE n :n",
            parse(
                "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND",
            ),
        ),
        (
            "SET n = :x",
            parse("An expression attribute value used in expression is not defined; attribute value: :x"),
        ),
        (
            "SET #x = :n",
            parse(
                "An expression attribute name used in the document path is not defined; attribute name: #x",
            ),
        ),
        ("SET a = absent", absent.clone()),
        ("SET a = absent + :n", absent),
        ("SET n = s + :n", operand.clone()),
        ("ADD s :n", operand.clone()),
        ("DELETE s :set", operand),
    ] {
        let message = endpoint().invalid("UpdateItem", members("UpdateExpression", text, &values()));
        assert_eq!(message, sentence, "{text}");
    }
}

#[test]
fn sums_that_are_no_numbers_are_refused() {
    let big = json!({":big": {"N": "1E100"}});
    let message = endpoint().invalid("UpdateItem", members("UpdateExpression", "ADD n :big", &big));
    assert_eq!(message, "Attempting to store more than 38 significant digits in a Number");
}

#[test]
fn names_and_values_are_all_defined_and_used() {
    let update = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "shard"}}});
    let invalid = |more: Value| endpoint().invalid("UpdateItem", with(&update, more));
    let value = json!({"N": "1"});
    for (more, sentence) in [
        (
            json!({"UpdateExpression": "SET a = :x", "ExpressionAttributeValues": {":x": value, ":y": value}}),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:y}",
        ),
        (
            json!({"UpdateExpression": "REMOVE #a", "ExpressionAttributeNames": {"#a": "a", "#c": "c", "#b": "b"}}),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b, #c}",
        ),
        (
            json!({"ExpressionAttributeNames": {"#a": "a"}}),
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            json!({"ExpressionAttributeValues": {":a": value}}),
            "ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null",
        ),
        (
            json!({"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {}}),
            "ExpressionAttributeNames must not be empty",
        ),
        (
            json!({"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {}}),
            "ExpressionAttributeValues must not be empty",
        ),
        (
            json!({"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"a": "a"}}),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\"",
        ),
        (
            json!({"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {":": value}}),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \":\"",
        ),
        (
            json!({"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {":v": {"N": "x"}}}),
            "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :v",
        ),
    ] {
        assert_eq!(invalid(more.clone()), sentence, "{more}");
    }
    let put = json!({
        "TableName": "leases", "Item": {"leaseKey": {"S": "x"}}, "ExpressionAttributeValues": {":a": value},
    });
    assert_eq!(
        endpoint().invalid("PutItem", put),
        "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null"
    );
}

#[test]
fn references_may_be_used_by_several_expressions() {
    let mut endpoint = endpoint();
    let keep = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "shard"}},
        "ConditionExpression": "attribute_exists(#pk) AND #n = :n",
        "UpdateExpression": "SET #n = :new",
        "ExpressionAttributeNames": {"#pk": "leaseKey", "#n": "n"},
        "ExpressionAttributeValues": {":n": {"N": "5"}, ":new": {"N": "6"}},
    });
    endpoint.ok("UpdateItem", keep.clone());
    assert_eq!(endpoint.refused("UpdateItem", keep).0, "ConditionalCheckFailedException");
}
