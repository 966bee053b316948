//! The result as one page of HTML that asks for nothing else: `page.html`, which draws it by a script, with the JSON of
//! the runs in it.

use serde::Serialize;

use super::text::verdict;
use super::{RunResult, Verification};

const TEMPLATE: &str = include_str!("page.html");
/// The place of the data in the template.
const DATA: &str = "{{report}}";

/// The data of the page.
#[derive(Serialize)]
struct Report<'a> {
    /// The run, and the one beside it.
    runs: Vec<DescribedRun<'a>>,
    /// Lines that come first.
    verdict: Vec<String>,
    /// Class of the verdict: `good`, `bad`, or none.
    standing: &'static str,
}

#[derive(Serialize)]
struct DescribedRun<'a> {
    described: String,
    #[serde(flatten)]
    result: &'a RunResult,
}

/// The page. `other` is shown in each chart, tile and table too.
///
/// # Panics
/// Never: results are JSON.
pub fn page(result: &RunResult, other: Option<&RunResult>) -> String {
    let described = |result| DescribedRun { described: RunResult::described(result), result };
    let standing = match &result.verification {
        _ if !result.is_clean() => "bad",
        Verification::Done { .. } => "good",
        Verification::Off { .. } | Verification::Incomplete { .. } => "",
    };
    let runs = [Some(result), other].into_iter().flatten().map(described).collect();
    let report = Report { runs, verdict: verdict(result), standing };
    let data = serde_json::to_string(&report).expect("a result is JSON");
    // Within an element for scripts, only `<` can end the data or hide their end.
    TEMPLATE.replacen(DATA, &data.replace('<', "\\u003c"), 1)
}

#[cfg(test)]
pub(super) mod tests;
