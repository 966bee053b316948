//! Records that the broker cannot read, from its page of health.

use serde::Deserialize;

/// Records of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Damaged {
    region: String,
    stream: String,
    /// Index of the shard.
    pub(super) shard: u32,
    /// The first record, counted from 1.
    pub(super) first: u64,
    /// The last one, where it is known.
    pub(super) last: Option<u64>,
    /// The broker's advice about them.
    pub(super) advice: String,
}

/// The part of the page that is of use.
#[derive(Deserialize)]
struct Page {
    /// Absent where a broker of an earlier version answers.
    #[serde(default)]
    damaged: Vec<Damaged>,
}

/// Reads the damaged records of a stream from a page of health.
///
/// # Errors
/// Why the page is none of Tidelog's.
pub(super) fn read(page: &str, stream: &str, region: &str) -> Result<Vec<Damaged>, String> {
    let page: Page = serde_json::from_str(page).map_err(|error| format!("its page of health: {error}"))?;
    let is_meant = |damaged: &Damaged| damaged.stream == stream && damaged.region == region;
    Ok(page.damaged.into_iter().filter(is_meant).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::command::doctor) const PAGE: &str = r#"{"status":"degraded","damaged":[
        {"account":"1","region":"r","stream":"clicks","shard":2,"first":7,"last":9,"advice":"Restore it."},
        {"account":"1","region":"r","stream":"other","shard":0,"first":1,"last":null,"advice":"Wait."}]}"#;

    #[test]
    fn only_the_records_of_the_stream_are_taken() {
        let found = read(PAGE, "clicks", "r").expect("a page");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].shard, found[0].first, found[0].last), (2, 7, Some(9)));
        assert_eq!(read(PAGE, "clicks", "another").expect("a page"), []);
        assert_eq!(read(r#"{"status":"ok"}"#, "clicks", "r").expect("an earlier page"), []);
        assert!(read("<html>", "clicks", "r").is_err());
    }
}
