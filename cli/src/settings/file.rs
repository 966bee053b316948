//! The TOML file of settings: every key becomes the argument of the same name, so that one parser judges both.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use clap::error::{ContextKind, ContextValue};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::arguments::Matched;
use crate::command::similar;

/// A place in the file of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Characters of the line, counted from 1.
    pub column: usize,
}

impl Place {
    fn new(path: &Path, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            path: path.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "the configuration file {}, line {}, column {}",
            self.path.display(),
            self.line,
            self.column
        )
    }
}

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
    #[error("{place}, is not TOML: {reason}")]
    NotToml {
        /// The place of the fault.
        place: Place,
        /// The reason, in one line.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("{place}, has an unknown key `{key}`; {advice}")]
    UnknownKey {
        /// The place of the key.
        place: Place,
        /// The key.
        key: String,
        /// The setting with a name like it, or else every setting.
        advice: String,
    },
    /// A value has a type that its setting does not take.
    #[error("{place}, gives `{key}` {found}, where {wanted} is expected")]
    WrongType {
        /// The place of the value.
        place: Place,
        /// The key.
        key: String,
        /// The type of the value that stands there.
        found: &'static str,
        /// The type that the setting needs.
        wanted: &'static str,
    },
    /// A value is refused by its setting's own parser.
    #[error("in {place}: {reason}")]
    RefusedValue {
        /// The place of the key.
        place: Place,
        /// The parser's words, in one line.
        reason: String,
    },
    /// The settings of the file contradict each other, or flags and variables.
    #[error("in the configuration file {}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The parser's words, in one line.
        reason: String,
    },
}

/// One key of the file.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    place: Place,
    arguments: Vec<OsString>,
}

/// A file of settings that was read.
#[derive(Clone, Debug)]
pub(super) struct SettingsFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl SettingsFile {
    /// Reads the file. The faults are those of keys and types; values are judged by the parser of arguments.
    ///
    /// # Errors
    /// When nothing of it can be used, because it cannot be read or is not TOML.
    pub(super) fn read(path: &Path, declared: &Matched) -> Result<(Self, Vec<FileError>), FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FileError::Unreadable { path: path.into(), source })?;
        let table = DeTable::parse(&text).map_err(|error| FileError::NotToml {
            place: Place::new(path, &text, error.span().unwrap_or_default().start),
            reason: error.message().replace('\n', "; "),
        })?;
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for (key, value) in table.get_ref() {
            let place = |span: Range<usize>| Place::new(path, &text, span.start);
            match arguments(key.get_ref(), value, declared, &place(key.span()), &place(value.span())) {
                Ok(arguments) => {
                    entries.push(Entry {
                        key: key.get_ref().to_string(),
                        place: place(key.span()),
                        arguments,
                    });
                }
                Err(fault) => faults.push((key.span().start, fault)),
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        let faults = faults.into_iter().map(|(_, fault)| fault).collect();
        Ok((Self { path: path.into(), entries }, faults))
    }

    /// The file's settings as arguments, without those that a flag or a variable decides.
    pub(super) fn arguments(&self, above: &Matched) -> Vec<OsString> {
        let used = self.entries.iter().filter(|entry| !above.decided_above_file(&entry.key));
        used.flat_map(|entry| entry.arguments.clone()).collect()
    }

    /// The arguments of each key on its own.
    pub(super) fn each(&self) -> impl Iterator<Item = &[OsString]> {
        self.entries.iter().map(|entry| entry.arguments.as_slice())
    }

    /// The place of that key.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.place)
    }

    /// Says that the parser of arguments refuses the file's settings.
    pub(super) fn refused(&self, error: &clap::Error) -> FileError {
        let flag = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(flag)) => flag.trim_start_matches("--").split([' ', '=']).next(),
            _ => None,
        };
        let reason = reason(error);
        match flag.and_then(|key| self.place(key)) {
            Some(place) => FileError::RefusedValue { place: place.clone(), reason },
            None => FileError::Refused { path: self.path.clone(), reason },
        }
    }
}

/// One key and its value as arguments.
fn arguments(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    declared: &Matched,
    key_place: &Place,
    value_place: &Place,
) -> Result<Vec<OsString>, FileError> {
    let Some(setting) = declared.setting(key) else {
        let names = declared.setting_names();
        let advice = match similar(key, &names).first() {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", names.join(", ")),
        };
        return Err(FileError::UnknownKey { place: key_place.clone(), key: key.into(), advice });
    };
    texts(setting, value.get_ref()).map_err(|wanted| FileError::WrongType {
        place: value_place.clone(),
        key: key.into(),
        found: found(value.get_ref()),
        wanted,
    })
}

/// One value as arguments, or the type that was expected instead.
fn texts(setting: &clap::Arg, value: &DeValue<'_>) -> Result<Vec<OsString>, &'static str> {
    let key = setting.get_long().unwrap_or_default();
    let argument = |text: &str| OsString::from(format!("--{key}={text}"));
    let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(argument);
    match (setting.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{key}").into()]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err("true or false"),
        (_, DeValue::String(text)) => Ok(vec![argument(text)]),
        (_, DeValue::Integer(number)) if is_number(setting) => {
            let decimal = u64::from_str_radix(number.as_str(), number.radix());
            Ok(vec![
                decimal.map_or_else(|_| argument(number.as_str()), |number| argument(&number.to_string())),
            ])
        }
        (ArgAction::Append, DeValue::Array(texts)) if !texts.is_empty() => {
            texts.iter().map(|item| text(item).ok_or("a string or a list of strings")).collect()
        }
        (ArgAction::Append, _) => Err("a string or a list of strings"),
        _ => Err("a string"),
    }
}

/// Whether the setting is a number and nothing else, so that a file may write it as one.
fn is_number(setting: &clap::Arg) -> bool {
    setting.get_value_parser().type_id() == TypeId::of::<u64>()
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The first line of a parser's error, without its `error: `.
pub(super) fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).into()
}
