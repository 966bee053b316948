//! The settings of a broker and the commands beside it: declared once, in `arguments.rs`, and read from flags,
//! environment and a file.
//!
//! Precedence: flag, then environment, then file, then the environment in kinesis-mock's words, then default. The
//! result is a plain [`Config`]. The binary calls [`load`].

pub(crate) mod cluster;
mod file;
mod foreign;
pub(crate) mod initial;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use file::FileError;
use tidelog::config::{Config, DataLocation};
use tidelog::offline::segment::GiveUp;

use crate::arguments;
use crate::command::Commands;
use crate::command::cluster::ClusterCommand;
use crate::command::log::GiveUpLog;

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
    /// The settings of the broker.
    pub broker: Config,
    /// The level of the log, or directives in the syntax of `tracing`'s environment filter.
    pub log: String,
    /// How long the broker still serves after SIGTERM while `/ready` answers 503 already.
    pub drain: Duration,
    /// The variables of kinesis-mock that decided something of this; logged at the start.
    pub foreign_variables: Vec<&'static str>,
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

/// The settings of the broker that these arguments of `serve` would run.
fn settings(
    user: &[OsString],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ServeSettings, ConfigError> {
    let first = arguments::matches(user)?;
    let parsed = |injected: &[OsString]| {
        let all = arguments::with_injected(user, injected);
        arguments::matches(&all).and_then(arguments::Matched::into_settings)
    };
    let (mut injected, config) = match first.config_file() {
        None => (Vec::new(), parsed(&[])?),
        Some(path) => {
            let injected = file::arguments(&path, &first)?;
            let config = parsed(&injected);
            let reason = |error| FileError::Refused { path, reason: file::reason(&error) };
            (injected, config.map_err(reason)?)
        }
    };
    let in_file = |key: &str| {
        let flag = format!("--{key}=");
        injected.iter().any(|argument| argument.to_string_lossy().starts_with(&flag))
    };
    let decided = |key: &str| first.decided_above_file(key) || in_file(key);
    let foreign = foreign::settings(variable, decided).map_err(ConfigError::Foreign)?;
    if foreign.arguments.is_empty() {
        return Ok(config);
    }
    injected.extend(foreign.arguments);
    let config = parsed(&injected).map_err(|error| {
        ConfigError::Foreign(format!("{}: {}", foreign.variables.join(", "), file::reason(&error)))
    })?;
    Ok(ServeSettings { foreign_variables: foreign.variables, ..config })
}
