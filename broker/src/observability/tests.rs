//! The declared metrics.

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
    let mut names: Vec<_> = DESCRIBED.iter().map(|(name, ..)| *name).collect();
    assert!(names.iter().all(|name| name.starts_with("tidelog_")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DESCRIBED.len());
}
