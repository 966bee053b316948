//! The settings of a broker and the commands beside it: declared once, in `arguments.rs`, and read from flags,
//! environment and a file.
//!
//! Precedence: flag, then environment, then file, then the environment in kinesis-mock's words, then default. The
//! result is a plain [`Config`]. The binary calls [`load`].

pub(crate) mod cluster;
mod file;
mod foreign;
pub(crate) mod initial;
mod inspection;
pub(crate) mod listen;
mod reference;
pub(crate) mod values;
mod variables;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use file::{FileError, Place};
pub use inspection::{EffectiveSetting, Origin};
pub use listen::{ListenAddress, resolve as resolve_listen};
pub use reference::reference;
use tidelog::config::{Config, DataLocation};
use tidelog::observability::logs::LogFormat;
use tidelog::observability::requests::RequestLines;
use tidelog::offline::segment::GiveUp;

use crate::arguments::{self, ConfigAction, ConfigWords, Matched};
use crate::command::Commands;
use crate::command::cluster::ClusterCommand;
use crate::command::config::ConfigCommand;
use crate::command::log::GiveUpLog;
use file::SettingsFile;
use foreign::Foreign;
pub use variables::unknown_variables;

/// The task of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the broker.
    Serve(Box<ServeSettings>),
    /// Hand out the certificate of an authority.
    Authority {
        /// The data directory that has the authority.
        data: DataLocation,
        /// The directory of OpenSSL's form to put the certificate into, instead of printing it.
        hashed: Option<PathBuf>,
    },
    /// Show or check settings.
    Config(ConfigCommand),
    /// Ask a cluster, or change it.
    Cluster(ClusterCommand),
    /// Give damaged records up.
    GiveUp(GiveUp),
    /// Go on without the end of a log.
    GiveUpLog(GiveUpLog),
    /// Do something as a client.
    Client(Box<Commands>),
}

/// The settings of `tidelog serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// The settings of the broker; the addresses to listen on lack those of names.
    pub broker: Config,
    /// The addresses and names to listen on.
    pub listen: Vec<ListenAddress>,
    /// The settings of the log.
    pub log: LogSettings,
    /// How long the broker still serves after SIGTERM while `/ready` answers 503 already.
    pub drain: Duration,
    /// The variables of kinesis-mock that decided something of this; logged at the start.
    pub foreign_variables: Vec<&'static str>,
}

/// The settings of the log on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The level, or directives in the syntax of `tracing`'s environment filter.
    pub filter: String,
    /// The form of its lines.
    pub format: LogFormat,
    /// The requests that have a line.
    pub requests: RequestLines,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or an environment variable is wrong, or help or the version was asked for: print it and exit.
    #[error("{0}")]
    Arguments(#[from] clap::Error),
    /// The configuration file is wrong.
    #[error("{0}")]
    File(#[from] FileError),
    /// A variable of kinesis-mock is wrong.
    #[error("in the environment: {0}")]
    Foreign(String),
}

/// Reads the command and its configuration from `arguments` (the first is the program's name), the environment and the
/// file they name. `variable` is the environment in which the names of kinesis-mock are looked up.
///
/// # Errors
/// [`ConfigError::Arguments`] also when help or the version was asked for; its exit code is then 0.
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, ConfigError> {
    let user = arguments::with_default_command(arguments.into_iter().collect());
    if let Some(command) = arguments::of_cluster(&user)? {
        return Ok(Command::Cluster(command));
    }
    if let Some(command) = arguments::of_segment(&user)? {
        return Ok(Command::GiveUp(command));
    }
    if let Some(command) = arguments::of_log(&user)? {
        return Ok(Command::GiveUpLog(command));
    }
    if let Some(command) = arguments::of_client(&user)? {
        return Ok(Command::Client(Box::new(command)));
    }
    if let Some(ConfigWords { as_of_serve, action }) = arguments::of_config(&user)? {
        return Ok(Command::Config(match action {
            ConfigAction::Show(output) => {
                ConfigCommand::Show { settings: inspection::effective(&as_of_serve, variable)?, output }
            }
            ConfigAction::Check => {
                ConfigCommand::Check { faults: inspection::faults(&as_of_serve, variable) }
            }
        }));
    }
    match arguments::of_authority(&user)? {
        None => Ok(Command::Serve(Box::new(settings(&user, variable)?))),
        Some(words) => {
            let data = settings(&words.as_of_serve, variable)?.broker.data;
            Ok(Command::Authority { data, hashed: words.hashed })
        }
    }
}

/// The whole command line, for completions and manual pages.
#[must_use]
pub fn declared() -> clap::Command {
    arguments::declared()
}

/// The settings of a broker, and all that decided them.
struct Resolved {
    settings: ServeSettings,
    /// The arguments as they were given, and the environment.
    given: Matched,
    /// The arguments with those of the file.
    last: Matched,
    file: Option<SettingsFile>,
    foreign: Foreign,
}

/// The settings of the broker that these arguments of `serve` would run.
fn settings(
    user: &[OsString],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ServeSettings, ConfigError> {
    resolve(user, variable).map(|resolved| resolved.settings)
}

fn resolve(user: &[OsString], variable: impl Fn(&str) -> Option<String>) -> Result<Resolved, ConfigError> {
    let given = arguments::matches(user)?;
    let file = given.config_file().map(|path| read_file(&path, &given)).transpose()?;
    let parsed = |injected: &[OsString]| -> Result<_, clap::Error> {
        let last = arguments::matches(&arguments::with_injected(user, injected))?;
        Ok((last.clone(), last.into_settings()?))
    };
    let mut injected = file.as_ref().map_or_else(Vec::new, |file| file.arguments(&given));
    let (last, settings) = match (parsed(&injected), &file) {
        (Ok(parsed), _) => parsed,
        (Err(error), Some(file)) => return Err(file.refused(&error).into()),
        (Err(error), None) => return Err(error.into()),
    };
    let in_file = |key: &str| file.as_ref().is_some_and(|file| file.place(key).is_some());
    let decided = |key: &str| given.decided_above_file(key) || in_file(key);
    let foreign = foreign::settings(variable, decided).map_err(ConfigError::Foreign)?;
    if foreign.arguments.is_empty() {
        return Ok(Resolved { settings, given, last, file, foreign });
    }
    injected.extend(foreign.arguments.iter().cloned());
    let (last, settings) = parsed(&injected).map_err(|error| {
        ConfigError::Foreign(format!("{}: {}", foreign.variables.join(", "), file::reason(&error)))
    })?;
    let settings = ServeSettings { foreign_variables: foreign.variables.clone(), ..settings };
    Ok(Resolved { settings, given, last, file, foreign })
}

/// Reads the file, which must have no fault.
fn read_file(path: &Path, given: &Matched) -> Result<SettingsFile, FileError> {
    let (file, faults) = SettingsFile::read(path, given)?;
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(file),
    }
}
