//! The settings that a broker would run with: each value with its origin, or every fault of them.

use std::ffi::OsString;
use std::fmt;

use tidelog::config::DataLocation;

use super::file::{self, Place, SettingsFile};
use super::{ConfigError, Resolved, resolve};
use crate::arguments;

/// Parts of names whose values are never shown.
const SECRETS: [&str; 4] = ["password", "passphrase", "secret", "token"];

/// The value of a setting, and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The name of the setting.
    pub key: String,
    /// The value as text; `None` when there is none.
    pub value: Option<String>,
    /// The origin of the value.
    pub origin: Origin,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The file of settings.
    File(Place),
    /// These environment variables, which may be kinesis-mock's.
    Variables(Vec<String>),
    /// A flag of the command line.
    Flag,
}

impl Origin {
    /// The kind of origin, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Variables(_) => "variable",
            Self::Flag => "flag",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.kind())?;
        match self {
            Self::File(place) => write!(to, " {}:{}", place.path.display(), place.line),
            Self::Variables(names) => write!(to, " {}", names.join(", ")),
            Self::Default | Self::Flag => Ok(()),
        }
    }
}

/// Every setting of a broker with these arguments of `serve`.
pub(super) fn effective(
    user: &[OsString],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<EffectiveSetting>, ConfigError> {
    let resolved = resolve(user, variable)?;
    let names = resolved.last.setting_names().into_iter().chain(["config".into()]);
    Ok(names.map(|key| one(key, &resolved)).collect())
}

fn one(key: String, resolved: &Resolved) -> EffectiveSetting {
    let Resolved { settings, given, last, file, foreign } = resolved;
    let place = file.as_ref().and_then(|file| file.place(&key));
    let origin = match (given.is_flag(&key), given.variable(&key), place) {
        (true, _, _) => Origin::Flag,
        (_, Some(variable), _) => Origin::Variables(vec![variable]),
        (_, _, Some(place)) if !given.decided_above_file(&key) => Origin::File(place.clone()),
        _ => match foreign.variables_of(&key) {
            names if names.is_empty() => Origin::Default,
            names => Origin::Variables(names),
        },
    };
    // --data and --ephemeral are one decision, in which the later of them has no value.
    let is_ephemeral = settings.broker.data == DataLocation::Ephemeral;
    let value = match key.as_str() {
        "ephemeral" => Some(is_ephemeral.to_string()),
        "data" if is_ephemeral => None,
        _ => last.text(&key),
    };
    let is_secret = SECRETS.iter().any(|word| key.contains(word));
    let value = value.filter(|value| !value.is_empty());
    let value = value.map(|value| if is_secret { "(hidden)".into() } else { value });
    EffectiveSetting { key, value, origin }
}

/// Finds every fault of the settings of a broker with these arguments of `serve`, each in one line.
pub(super) fn faults(user: &[OsString], variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let given = match arguments::matches(user) {
        Ok(given) => given,
        Err(error) => return vec![file::reason(&error)],
    };
    let mut faults = Vec::new();
    if let Some(path) = given.config_file() {
        let (file, of_keys) = match SettingsFile::read(&path, &given) {
            Ok(read) => read,
            Err(error) => return vec![error.to_string()],
        };
        faults.extend(of_keys.iter().map(ToString::to_string));
        for entry in file.each() {
            if let Err(error) = arguments::matches(&arguments::with_injected(user, entry)) {
                faults.push(file.refused(&error).to_string());
            }
        }
    }
    if faults.is_empty() {
        let fault = match resolve(user, variable) {
            Ok(_) => return faults,
            Err(ConfigError::Arguments(error)) => file::reason(&error),
            Err(error) => error.to_string(),
        };
        faults.push(fault);
    }
    faults
}
