//! Holds the files for Prometheus and Grafana to the code, to OPERATIONS.md and to each other: each metric of a rule
//! or a panel exists, and each alert has its section and its tests. The last test plants violations of each rule.

use std::collections::BTreeSet;

use regex::Regex;

use super::{files_below, workspace};

const ALERTS: &str = "deploy/alerts.yaml";
const DASHBOARD: &str = "deploy/grafana.json";
/// Metrics that the files name at least: files that lose their names are no longer compared with the code.
const NAMED_METRICS_MIN: usize = 25;

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The first group of each match.
fn found(expression: &str, text: &str) -> BTreeSet<String> {
    let expression = Regex::new(expression).expect("an expression");
    expression.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Metrics that a file of rules or panels names, without the ends of a histogram's series.
fn named_metrics(text: &str) -> BTreeSet<String> {
    found(r"(tidelog_[a-z_]+?)(?:_bucket|_count|_sum)?[^a-z_]", text)
}

fn missing_metrics(text: &str, code: &str) -> Vec<String> {
    named_metrics(text).into_iter().filter(|name| !code.contains(&format!("\"{name}\""))).collect()
}

/// Alerts without a section, sections without an alert, and alerts that lack a test of either kind.
fn faults_of_alerts(rules: &str, operations: &str, tests: &str) -> Vec<String> {
    let alerts = found(r"(?m)^ *- alert: (\w+)$", rules);
    let sections = found(r"(?m)^### (Tidelog[A-Z]\w+)$", operations);
    let mut faults: Vec<String> =
        alerts.difference(&sections).map(|alert| format!("{alert} has no section")).collect();
    faults.extend(sections.difference(&alerts).map(|alert| format!("there is no alert {alert}")));
    for alert in &alerts {
        let runbook = format!("runbook: deploy/OPERATIONS.md#{}\n", alert.to_lowercase());
        if !rules.contains(&runbook) {
            faults.push(format!("{alert} does not name its section"));
        }
        for (expected, case) in [("\n", "in which it fires"), (" []\n", "in which it does not fire")] {
            if !tests.contains(&format!("alertname: {alert}\n        exp_alerts:{expected}")) {
                faults.push(format!("{alert} has no test {case}"));
            }
        }
    }
    faults
}

#[test]
fn the_metrics_of_the_rules_and_of_the_dashboard_exist() {
    let sources = files_below(&workspace().join("broker/src"), "rs");
    let code: String = sources.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect();
    let mut named = BTreeSet::new();
    for file in [ALERTS, DASHBOARD] {
        let text = read(file);
        assert_eq!(missing_metrics(&text, &code), [""; 0], "{file} names metrics that do not exist");
        named.append(&mut named_metrics(&text));
    }
    assert!(named.len() >= NAMED_METRICS_MIN, "the files name only {named:?}");
    serde_json::from_str::<serde_json::Value>(&read(DASHBOARD)).expect("the dashboard is JSON");
}

#[test]
fn each_alert_has_its_section_and_its_tests() {
    let faults =
        faults_of_alerts(&read(ALERTS), &read("deploy/OPERATIONS.md"), &read("deploy/alerts.test.yaml"));
    assert_eq!(faults, [""; 0]);
}

/// Sentences of `/ready` in code: those of the steps of a start, those of a cluster that forms, and that of a stop.
fn ready_reasons(code: &str) -> BTreeSet<String> {
    const STEPS: &str = r#"(?:enter\(|Mutex::new\(|unready\("stopping",)\s*(?:format!\()?\s*"(The [^"]+)""#;
    const FORMING: &str = r#"(?:Wait\(|return Err\(|map_err\(\|reason\| )(?:format!\()?\s*"([^"]+)""#;
    found(STEPS, code)
        .into_iter()
        .filter(|sentence| sentence != "The cluster forms: {reason}.")
        .chain(found(FORMING, code).into_iter().map(|reason| format!("The cluster forms: {reason}")))
        .collect()
}

/// Reasons that the document lacks. It writes `…` where the code has a value, and may add what follows it.
fn undocumented_reasons(reasons: &BTreeSet<String>, document: &str) -> Vec<String> {
    let value = Regex::new(r"`[^`]*\{[^`]*`|\{[^}]*\}").expect("an expression");
    let shown = reasons.iter().map(|reason| value.replace_all(reason, "…").trim_end_matches('.').to_owned());
    shown.filter(|reason| !document.contains(&format!("| `{reason}"))).collect()
}

#[test]
fn every_reason_of_ready_is_documented() {
    let files = [
        "stage.rs",
        "node.rs",
        "wire/pages.rs",
        "replication/recovery/open_segments.rs",
        "cluster/forming.rs",
    ];
    let code: Vec<String> = files.iter().map(|file| read(&format!("broker/src/{file}"))).collect();
    let reasons = ready_reasons(&code.concat());
    assert!(reasons.len() >= 12, "the code has only {reasons:?}");
    assert_eq!(undocumented_reasons(&reasons, &read("deploy/OPERATIONS.md")), [""; 0]);
    // Only these files enter a stage.
    for path in files_below(&workspace().join("broker/src"), "rs") {
        let text = std::fs::read_to_string(&path).expect("a text");
        let name =
            path.strip_prefix(workspace().join("broker/src")).expect("below").to_str().expect("a name");
        assert!(
            files.contains(&name) || !text.contains("stage.enter("),
            "{name} enters a stage: add it here"
        );
    }
}

#[test]
fn planted_violations_are_found() {
    let reasons =
        ready_reasons("stage.enter(\"The node sleeps.\"); Verdict::Wait(format!(\n \"waiting for {node}\"))");
    assert_eq!(
        undocumented_reasons(&reasons, "| `The node sleeps.` | `x`"),
        ["The cluster forms: waiting for …"]
    );
    assert_eq!(
        undocumented_reasons(&reasons, "| `The node sleeps.` |\n| `The cluster forms: waiting for …` |"),
        [""; 0]
    );
    let code = "\"tidelog_wal_seconds\" \"tidelog_free\"";
    for (text, faults) in [
        ("rate(tidelog_wal_seconds_bucket[5m]) > tidelog_free ", 0),
        ("tidelog_wal_seconds_count{a=\"b\"} / tidelog_fre ", 1),
    ] {
        assert_eq!(missing_metrics(text, code).len(), faults, "{text}");
    }
    let rules = "  - alert: TidelogDown\n    runbook: deploy/OPERATIONS.md#tidelogdown\n";
    let section = "### TidelogDown\n";
    let fires = "alertname: TidelogDown\n        exp_alerts:\n";
    let tests = format!("{fires}          - exp_labels:\nalertname: TidelogDown\n        exp_alerts: []\n");
    assert_eq!(faults_of_alerts(rules, section, &tests), [""; 0]);
    for (rules, section, tests) in [
        (rules, "", &*tests),
        (rules, "### TidelogDown\n### TidelogUp\n", &*tests),
        ("  - alert: TidelogDown\n", section, &*tests),
        (rules, section, fires),
    ] {
        assert_eq!(faults_of_alerts(rules, section, tests).len(), 1, "{rules} {section} {tests}");
    }
}
