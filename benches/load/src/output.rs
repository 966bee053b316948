//! Where results go: standard output and files. A path that cannot be written is found out before the load, not
//! after it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::report::{FORMAT, page, summary};
use super::{BenchArguments, BenchError, RunResult};

/// Bytes of an earlier result; that of a week is smaller.
const EARLIER_BYTES_MAX: u64 = 1 << 30;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON value, or one a line where there may be many.
    Json,
}

/// The result of an earlier run.
///
/// # Errors
/// When it is none.
pub fn read(path: &Path) -> Result<RunResult, BenchError> {
    let wrong = |reason: String| BenchError::Earlier { path: path.into(), reason };
    let length = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > EARLIER_BYTES_MAX {
        return Err(wrong("it is too large for one".into()));
    }
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let result: RunResult = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("it is not a result that --json writes: {error}")))?;
    if result.format != FORMAT {
        return Err(wrong(format!("its format is {}, and this program reads {FORMAT}", result.format)));
    }
    Ok(result)
}

/// Creates the files that are to be written, so that a wrong path costs no run. Their contents stay for now.
///
/// # Errors
/// When one cannot be.
pub fn probe(arguments: &BenchArguments) -> Result<(), BenchError> {
    let files = [&arguments.json, &arguments.html].into_iter().flatten();
    for path in files.filter(|path| !is_standard_output(path)) {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|reason| BenchError::Write { path: path.clone(), reason })?;
    }
    Ok(())
}

/// Writes the files that were asked for; the summary always.
///
/// # Errors
/// When a file cannot be written. The summary is out by then.
pub fn write(
    arguments: &BenchArguments,
    result: &RunResult,
    earlier: Option<&RunResult>,
) -> Result<(), BenchError> {
    let text = summary(result, earlier);
    let json = || serde_json::to_vec(result).expect("a result has nothing that JSON lacks");
    let failed = |path: &PathBuf, reason| BenchError::Write { path: path.clone(), reason };
    let file = arguments.json.as_ref().filter(|path| !is_standard_output(path));
    // The summary's reader may have gone; that is no failure of the run.
    if arguments.output == Output::Json || (arguments.json.is_some() && file.is_none()) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
        let line = [json(), b"\n".to_vec()].concat();
        io::stdout().lock().write_all(&line).map_err(|error| failed(&PathBuf::from("-"), error))?;
    } else {
        let _ = io::stdout().lock().write_all(text.as_bytes());
    }
    if let Some(path) = file {
        fs::write(path, json()).map_err(|error| failed(path, error))?;
    }
    if let Some(path) = &arguments.html {
        fs::write(path, page(result, earlier)).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}
