//! The TOML file of settings: every key becomes the argument of the same name, so that one parser judges both.

use std::any::TypeId;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use toml::{Table, Value};

use crate::arguments::Matched;

/// Errors of the file of settings.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and why, in one line.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("the configuration file {} has an unknown key `{key}`; known are {known}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Every setting, separated by commas.
        known: String,
    },
    /// A value has a type that its setting does not take.
    #[error("the configuration file {} gives `{key}` {found}, where {wanted} is expected", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The type of the value that stands there.
        found: &'static str,
        /// The type that the setting needs.
        wanted: &'static str,
    },
    /// A value is refused by its setting's own parser.
    #[error("in the configuration file {}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The parser's words, in one line.
        reason: String,
    },
}

/// The file's settings as arguments, without those that a flag or a variable decides.
pub(super) fn arguments(path: &Path, above: &Matched) -> Result<Vec<OsString>, FileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| FileError::Unreadable { path: path.into(), source })?;
    let table: Table = toml::from_str(&text)
        .map_err(|error| FileError::NotToml { path: path.into(), reason: error.message().into() })?;
    let mut arguments = Vec::new();
    for (key, value) in &table {
        let Some(setting) = above.setting(key) else {
            let known = above.setting_names().join(", ");
            return Err(FileError::UnknownKey { path: path.into(), key: key.clone(), known });
        };
        let values = texts(setting, value).map_err(|wanted| FileError::WrongType {
            path: path.into(),
            key: key.clone(),
            found: found(value),
            wanted,
        })?;
        if !above.decided_above_file(key) {
            arguments.extend(values);
        }
    }
    Ok(arguments)
}

/// One value as arguments, or the type that was expected instead.
fn texts(setting: &clap::Arg, value: &Value) -> Result<Vec<OsString>, &'static str> {
    let key = setting.get_long().unwrap_or_default();
    let argument = |text: &str| OsString::from(format!("--{key}={text}"));
    match (setting.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(true)) => Ok(vec![format!("--{key}").into()]),
        (ArgAction::SetTrue, Value::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err("true or false"),
        (_, Value::String(text)) => Ok(vec![argument(text)]),
        (_, Value::Integer(number)) if is_number(setting) => Ok(vec![argument(&number.to_string())]),
        (ArgAction::Append, Value::Array(texts)) if !texts.is_empty() => {
            let texts =
                texts.iter().map(|text| text.as_str().map(argument).ok_or("a string or a list of strings"));
            texts.collect()
        }
        (ArgAction::Append, _) => Err("a string or a list of strings"),
        _ => Err("a string"),
    }
}

/// Whether the setting is a number and nothing else, so that a file may write it as one.
fn is_number(setting: &clap::Arg) -> bool {
    setting.get_value_parser().type_id() == TypeId::of::<u64>()
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The first line of a parser's error, without its `error: `.
pub(super) fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).into()
}
