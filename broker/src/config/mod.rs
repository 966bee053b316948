//! The configuration of a broker: declared once, in [`arguments`], and read from flags, environment and a file.
//!
//! Precedence: flag, then environment, then file, then the environment in kinesis-mock's words, then default. The result is a plain [`Config`] that knows nothing
//! of where a value came from. The binary calls [`load`]; tests build a [`Config`] by hand.

mod arguments;
pub(crate) mod cluster;
mod file;
mod foreign;
mod initial;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use cluster::{ClusterConfig, PeerCertificates};
pub use file::FileError;
pub use initial::InitialStream;

pub use crate::cluster_command::ClusterCommand;
use crate::limits::{ControlLimits, ShardLimits};
pub use crate::log_command::GiveUpLog;
pub use crate::replication::{DiskReserve, Durability};
pub use crate::segment_command::GiveUp;
pub use crate::service::Transitions;
pub use crate::tls::CertificateFiles;
pub use crate::wire::AllowedOrigins;

/// Everything a broker is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on, at least one; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Where records are kept.
    pub data: DataLocation,
    /// Whether there must be data there already.
    pub expects_data: bool,
    /// How much of the volume stays free.
    pub disk_reserve: DiskReserve,
    /// What each shard lets through.
    pub limits: ShardLimits,
    /// Rates and quotas of the control plane.
    pub control_limits: ControlLimits,
    /// How long changes of streams and consumers take at least.
    pub transitions: Transitions,
    /// The certificate that is presented to clients by TLS; `None` is one by the data directory's own authority.
    pub certificate: Option<CertificateFiles>,
    /// Streams that are created at the start unless there are such.
    pub initial_streams: Vec<InitialStream>,
    /// When an acknowledged write is on the medium.
    pub durability: Durability,
    /// Bytes of memory the process may take; `None` is what the system allows.
    pub memory: Option<u64>,
    /// The cluster it is a node of; `None` is a node on its own.
    pub cluster: Option<ClusterConfig>,
    /// Web origins whose pages may call.
    pub origins: AllowedOrigins,
    /// Names that the broker answers to on the loopback interface, beside those of its own certificate.
    pub public_hosts: Vec<String>,
    /// Account of callers whose access key id is not one itself; 12 digits.
    pub account: Arc<str>,
    /// Region of callers who name none, such as `us-east-1`.
    pub region: Arc<str>,
    /// What is logged: a level, or directives in the syntax of `tracing`'s environment filter.
    pub log: String,
    /// The variables of kinesis-mock that decided something of this; told at the start.
    pub foreign_variables: Vec<&'static str>,
}

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the broker.
    Serve(Box<Config>),
    /// Print the certificate of the authority of that data directory.
    Authority(DataLocation),
    /// Ask a cluster, or change it.
    Cluster(ClusterCommand),
    /// Give damaged records up.
    GiveUp(GiveUp),
    /// Go on without the end of a log.
    GiveUpLog(GiveUpLog),
    /// Do something as a client.
    Client(Box<tidelog_cli::command::Commands>),
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLocation {
    /// A directory that outlives the process; created when absent.
    Directory(PathBuf),
    /// A directory of its own that is removed at exit, or by the next such broker after a kill.
    Ephemeral,
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
        Some(as_of_serve) => Ok(Command::Authority(settings(&as_of_serve, variable)?.data)),
    }
}

/// The whole command line, for completions and manual pages.
#[must_use]
pub fn declared() -> clap::Command {
    arguments::declared()
}

/// The settings of the broker that these arguments of `serve` would run.
fn settings(user: &[OsString], variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let first = arguments::matches(user)?;
    let parsed = |injected: &[OsString]| {
        let all = arguments::with_injected(user, injected);
        arguments::matches(&all).and_then(arguments::Matched::into_config)
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
    Ok(Config { foreign_variables: foreign.variables, ..config })
}
