//! The declared metrics, and the table of them in the documents.

use std::path::Path;

use super::*;

#[test]
fn a_histogram_is_rendered_with_its_own_bounds_and_description() {
    let recorder = recorder();
    metrics::histogram!(WAL_COMMIT_OPS).record(3.0);
    recorder.run_upkeep();
    let page = recorder.render();
    assert!(page.contains("# HELP tidelog_wal_commit_ops Operations in one commit"), "{page}");
    assert!(page.contains("tidelog_wal_commit_ops_bucket{le=\"4\"} 1"), "{page}");
    assert!(page.contains("tidelog_wal_commit_ops_bucket{le=\"2\"} 0"), "{page}");
}

#[test]
fn names_are_unique_and_carry_the_prefix() {
    let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert!(names.iter().all(|name| name.starts_with("tidelog_")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), METRICS.len());
}

/// The table of the documents, as the declarations have it.
fn table() -> String {
    let all = METRICS
        .iter()
        .chain(&GROUP_LEVEL)
        .chain(&STREAM_LEVEL)
        .chain(&SHARD_LEVEL)
        .chain([&SHARD_SERIES_LEFT_OUT]);
    let rows = all.map(|metric| {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let labels: Vec<String> = metric.labels.iter().map(|label| code(label)).collect();
        format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            metric.kind.name(),
            labels.join(", "),
            metric.sentence,
            code(metric.cloudwatch)
        )
    });
    rows.collect()
}

#[test]
fn the_documents_have_the_table_of_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let is_row = |line: &&str| line.starts_with("| `tidelog_");
    let found: String = page.lines().filter(is_row).map(|line| format!("{line}\n")).collect();
    if std::env::var_os("TIDELOG_RECORD").is_some() {
        std::fs::write(&path, page.replace(&found, &table())).unwrap();
        return;
    }
    assert!(
        found == table(),
        "docs/metrics.md differs from the declarations; TIDELOG_RECORD=1 writes it anew"
    );
}
