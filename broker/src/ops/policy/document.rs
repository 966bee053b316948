//! The form of a resource policy: a document of IAM's grammar in JSON, with a principal in each statement.
//!
//! Only the form is checked: principals need not exist, and resources need not match.

use tidelog_proto::{Document, json};

/// Members of a policy, by the grammar of IAM.
const POLICY_MEMBERS: &[&str] = &["Version", "Id", "Statement"];
/// Members of a statement.
const STATEMENT_MEMBERS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];
/// Kinds of principals.
const PRINCIPAL_KINDS: &[&str] = &["AWS", "Service", "Federated", "CanonicalUser"];
/// Versions of the grammar.
const VERSIONS: &[&str] = &["2012-10-17", "2008-10-17"];
/// Beginning of the names of all actions of Kinesis, in any case.
const ACTION_PREFIX: &str = "kinesis:";

/// Whether a text is a policy.
///
/// # Errors
/// The fault of the document, as the end of a sentence.
pub fn check(text: &str) -> Result<(), String> {
    let policy = json::decode(text.as_bytes()).map_err(|_| "it is not a JSON document".to_owned())?;
    check_members(&policy, POLICY_MEMBERS, "the policy")?;
    if policy.get("Version").is_some_and(|version| !is_one_of(version, VERSIONS)) {
        return Err(format!("Version is none of {}", VERSIONS.join(", ")));
    }
    if policy.get("Id").is_some_and(|id| !matches!(id, Document::Text(_))) {
        return Err("Id is not a text".to_owned());
    }
    match policy.get("Statement") {
        Some(Document::List(statements)) if !statements.is_empty() => {
            statements.iter().try_for_each(check_statement)
        }
        Some(statement @ Document::Map(_)) => check_statement(statement),
        _ => Err("Statement is missing or empty".to_owned()),
    }
}

fn check_statement(statement: &Document) -> Result<(), String> {
    check_members(statement, STATEMENT_MEMBERS, "a statement")?;
    if statement.get("Sid").is_some_and(|sid| !matches!(sid, Document::Text(_))) {
        return Err("Sid is not a text".to_owned());
    }
    if !statement.get("Effect").is_some_and(|effect| is_one_of(effect, &["Allow", "Deny"])) {
        return Err("Effect is neither Allow nor Deny".to_owned());
    }
    check_either(statement, "Principal", "NotPrincipal", is_principal)?;
    check_either(statement, "Action", "NotAction", |found| is_texts(found, is_action))?;
    check_either(statement, "Resource", "NotResource", |found| is_texts(found, |text| !text.is_empty()))?;
    match statement.get("Condition") {
        None => Ok(()),
        Some(Document::Map(operators)) if operators.iter().all(|(_, keys)| is_condition(keys)) => Ok(()),
        Some(_) => Err("Condition is not made of operators with keys and values".to_owned()),
    }
}

/// One of the two members is there, and as it should be.
fn check_either(
    statement: &Document,
    name: &str,
    negation: &str,
    is_well: impl Fn(&Document) -> bool,
) -> Result<(), String> {
    match (statement.get(name), statement.get(negation)) {
        (Some(found), None) | (None, Some(found)) if is_well(found) => Ok(()),
        (None, None) => Err(format!("a statement has no {name}")),
        (Some(_), Some(_)) => Err(format!("a statement has both {name} and {negation}")),
        _ => Err(format!("{name} is not as it should be")),
    }
}

fn check_members(document: &Document, known: &[&str], what: &str) -> Result<(), String> {
    let Document::Map(members) = document else { return Err(format!("{what} is not an object")) };
    let foreign = members.iter().find(|(name, _)| !known.contains(&&**name));
    foreign.map_or(Ok(()), |(name, _)| Err(format!("{what} has an unknown member {name}")))
}

fn is_one_of(document: &Document, texts: &[&str]) -> bool {
    matches!(document, Document::Text(text) if texts.contains(&text.as_str()))
}

/// A text, or a list of some, that all hold.
fn is_texts(document: &Document, holds: impl Fn(&str) -> bool) -> bool {
    let is_text = |element: &Document| matches!(element, Document::Text(text) if holds(text));
    match document {
        Document::List(elements) => !elements.is_empty() && elements.iter().all(is_text),
        element => is_text(element),
    }
}

fn is_principal(document: &Document) -> bool {
    match document {
        Document::Map(kinds) => {
            !kinds.is_empty()
                && kinds.iter().all(|(kind, names)| {
                    PRINCIPAL_KINDS.contains(&&**kind) && is_texts(names, |text| !text.is_empty())
                })
        }
        other => is_one_of(other, &["*"]),
    }
}

fn is_action(text: &str) -> bool {
    let has_prefix =
        text.get(..ACTION_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(ACTION_PREFIX));
    text == "*" || (has_prefix && text.len() > ACTION_PREFIX.len())
}

fn is_condition(keys: &Document) -> bool {
    let is_value = |value: &Document| !matches!(value, Document::Map(_) | Document::List(_) | Document::Null);
    let is_values = |values: &Document| match values {
        Document::List(values) => values.iter().all(is_value),
        value => is_value(value),
    };
    matches!(keys, Document::Map(keys) if keys.iter().all(|(_, values)| is_values(values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy of one statement with these members beside `Effect`.
    fn statement(members: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",{members}}}}}"#)
    }

    #[test]
    fn policies_of_the_grammar_are_taken() {
        for text in [
            statement(r#""Principal":"*","Action":"*","Resource":"*""#),
            statement(r#""NotPrincipal":{"AWS":"123456789012"},"NotAction":"kinesis:*","NotResource":"x""#),
            r#"{"Version":"2012-10-17","Id":"reading","Statement":[{"Sid":"one","Effect":"Deny","Principal":
                {"AWS":["123456789012","arn:aws:iam::123456789012:role/r"],"Service":"lambda.amazonaws.com"},
                "Action":["kinesis:GetRecords","Kinesis:ListShards"],"Resource":["arn:aws:kinesis:*:*:stream/a"],
                "Condition":{"Bool":{"aws:SecureTransport":true},"StringEquals":{"aws:x":["a","b"]}}}]}"#
                .to_owned(),
        ] {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn faults_are_reported() {
        let complete = r#""Principal":"*","Action":"kinesis:*","Resource":"*""#;
        for (text, expected) in [
            (String::new(), "not a JSON document"),
            ("[]".to_owned(), "the policy is not an object"),
            ("{}".to_owned(), "Statement is missing or empty"),
            (r#"{"Statement":[]}"#.to_owned(), "Statement is missing or empty"),
            (r#"{"Statement":["x"]}"#.to_owned(), "a statement is not an object"),
            (r#"{"Version":"2012-10-18","Statement":{}}"#.to_owned(), "Version is none of"),
            (r#"{"Statements":{}}"#.to_owned(), "unknown member Statements"),
            (r#"{"Statement":{"Effect":"allow"}}"#.to_owned(), "neither Allow nor Deny"),
            (statement(r#""Action":"kinesis:*","Resource":"*""#), "no Principal"),
            (statement(r#""Principal":"123456789012","Action":"*","Resource":"*""#), "Principal is not"),
            (statement(r#""Principal":{"Aws":"1"},"Action":"*","Resource":"*""#), "Principal is not"),
            (statement(r#""Principal":"*","Resource":"*""#), "no Action"),
            (statement(r#""Principal":"*","Action":"s3:GetObject","Resource":"*""#), "Action is not"),
            (statement(r#""Principal":"*","Action":[],"Resource":"*""#), "Action is not"),
            (statement(r#""Principal":"*","Action":"*""#), "no Resource"),
            (statement(r#""Principal":"*","Action":"*","NotAction":"*","Resource":"*""#), "both Action"),
            (statement(&format!(r#"{complete},"Condition":{{"Bool":true}}"#)), "Condition is not"),
            (statement(&format!(r#"{complete},"Sid":1"#)), "Sid is not"),
            ("[".repeat(10_000), "not a JSON document"),
        ] {
            let found = check(&text);
            let Err(reason) = &found else { panic!("{text}: {found:?}") };
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }
}
