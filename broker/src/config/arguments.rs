//! The one declaration of every setting: flag, environment variable, file key (the long flag's name), default, help.
//!
//! [`super::load`] is its only caller.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::initial::{self, InitialStream};
use super::values::{account, control_limits, durability, limits, log, region, transitions};
use super::{CertificateFiles, Config, DataLocation, Durability, Transitions};
use crate::limits::{ControlLimits, ShardLimits};

/// A durable, self-hosted broker that speaks the Amazon Kinesis Data Streams protocol.
#[derive(Debug, Parser)]
#[command(
    name = "tidelog",
    version,
    propagate_version = true,
    after_help = "Without a command, `tidelog` runs `tidelog serve`. `tidelog serve --help` explains every setting."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run the broker (the default command).
    #[command(
        after_help = "Every setting may be a flag, an environment variable, or a key of the file that --config \
        names (the flag's name without dashes: `listen = [\"0.0.0.0:4567\"]`). The flag goes before the variable, \
        the variable before the file."
    )]
    Serve(Box<Serve>),

    /// Print the certificate of the broker's CA, for clients that come by https://, in PEM form.
    ///
    /// Made with the data directory at the first start, or by this command when it comes first. A broker that runs with
    /// --tls-certificate presents a certificate of another issuer, and this one is of no use to its clients.
    Ca(Authority),
}

#[derive(Debug, Args)]
struct Authority {
    /// Data directory of the broker; TIDELOG_DATA and the file of settings count as in `serve`. [default: ./tidelog-data]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    /// TOML file of the broker's settings; TIDELOG_CONFIG counts as in `serve`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    /// Address and port to listen on; may be repeated. Port 0 lets the system choose; what was chosen is printed.
    ///
    /// The default is reached from this machine only. Callers are not authenticated: open other addresses to
    /// networks you trust.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TIDELOG_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:4567"
    )]
    listen: Vec<SocketAddr>,

    /// Directory that keeps streams and records; created when absent, used by one process at a time.
    #[arg(long, value_name = "DIRECTORY", env = "TIDELOG_DATA", default_value = "./tidelog-data")]
    data: PathBuf,

    /// Keep everything in a temporary directory and remove it at exit: all streams and records are lost then.
    #[arg(long, env = "TIDELOG_EPHEMERAL", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    ephemeral: bool,

    /// What each shard lets through before callers are throttled: `aws`, `off`, or figures of your own.
    ///
    /// `aws` is 1 MiB and 1,000 records per second in, 2 MiB, 5 GetRecords and 5 GetShardIterator calls per second out,
    /// and 2 MiB per second to each registered consumer, as in Kinesis. Figures of your own are bytes, records or calls
    /// per second, each a whole number above zero or `off`; those you leave out stay as in `aws`:
    /// `write-bytes=2097152,write-records=5000,read-bytes=off,read-calls=20,iterators=20,fanout-bytes=off`.
    #[arg(long, value_name = "PROFILE", env = "TIDELOG_LIMITS", default_value = "aws", value_parser = limits)]
    limits: ShardLimits,

    /// Rates and quotas of the calls that manage streams and consumers: `aws`, `off`, or figures of your own.
    ///
    /// `aws` is as in Kinesis, where most of these calls may come 5 times per second and account. Figures of your own
    /// are `rates=on|off` and the most `shards` and `on-demand-streams` of an account in a region, each a whole number
    /// above zero or `off`; those you leave out, and quotas without a name here, stay as in `aws`:
    /// `rates=off,shards=100`.
    #[arg(long, value_name = "PROFILE", env = "TIDELOG_CONTROL_LIMITS", default_value = "aws", value_parser = control_limits)]
    control_limits: ControlLimits,

    /// Least time in milliseconds that a change of a stream or consumer takes, 0 to 600,000.
    ///
    /// For tests of clients that wait for a state. One figure for all changes, or a list of `create-stream`,
    /// `delete-stream`, `register-consumer`, `deregister-consumer`, `split-shard`, `merge-shards` and
    /// `update-shard-count`, those left out being 0: `create-stream=500,delete-stream=500`.
    #[arg(long, value_name = "MILLISECONDS", env = "TIDELOG_TRANSITION_DELAY", default_value = "0", value_parser = transitions)]
    transition_delay: Transitions,

    /// Streams to create at the start unless there are such: `NAME[:SHARDS[:REGION]]`, separated by commas.
    ///
    /// They are provisioned, with 4 shards and in the region of --region unless said otherwise:
    /// `clicks:1,orders::us-west-2,logs`.
    #[arg(long, value_name = "STREAMS", env = "TIDELOG_INITIALIZE_STREAMS", value_delimiter = ',', value_parser = initial::stream)]
    initialize_streams: Vec<InitialStream>,

    /// Certificate to present to clients by https://, with its chain, in PEM form; needs --tls-key.
    ///
    /// Without it, https:// is served all the same, with a certificate by a CA that is made with the data directory
    /// (`tidelog ca` prints it), good for localhost, the machine's name, the addresses of --listen and Kinesis's own
    /// host names.
    #[arg(long, value_name = "FILE", env = "TIDELOG_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,

    /// Private key of --tls-certificate, in PEM form.
    #[arg(long, value_name = "FILE", env = "TIDELOG_TLS_KEY")]
    tls_key: Option<PathBuf>,

    /// When a write counts as kept: `fsync`, or `interval=MILLISECONDS`.
    ///
    /// `fsync` acknowledges a write when it is on the medium; a power loss loses nothing acknowledged.
    /// `interval=100` acknowledges before that and syncs every 100 milliseconds (1 to 60,000): a power loss or a
    /// crash of the operating system loses up to that much acknowledged data, a crash of the broker alone none.
    #[arg(long, value_name = "MODE", env = "TIDELOG_DURABILITY", default_value = "fsync", value_parser = durability)]
    durability: Durability,

    /// Account of callers whose access key id is not itself an account; 12 digits.
    ///
    /// A caller whose access key id is 12 digits works in that account, and sees only its streams.
    #[arg(long, value_name = "ACCOUNT", env = "TIDELOG_ACCOUNT", default_value = "000000000000", value_parser = account)]
    account: String,

    /// Region of callers whose request is not signed for one.
    #[arg(long, value_name = "REGION", env = "TIDELOG_REGION", default_value = "us-east-1", value_parser = region)]
    region: String,

    /// TOML file of settings; an unknown key in it is an error.
    #[arg(long, value_name = "FILE", env = "TIDELOG_CONFIG")]
    config: Option<PathBuf>,

    /// What is logged to standard error: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tidelog::wire=debug`.
    #[arg(long, value_name = "LEVEL", env = "TIDELOG_LOG", default_value = "info,openraft=error", value_parser = log)]
    log: String,
}

/// Parsed arguments that still know where each value came from.
#[derive(Debug)]
pub(super) struct Matched {
    command: Command,
    serve: ArgMatches,
}

/// Puts `serve` in front of arguments that name no command, so that `tidelog` and `tidelog --ephemeral` serve.
pub(super) fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.is_empty() {
        arguments.push("tidelog".into());
    }
    let names_none = arguments.get(1).is_none_or(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !["-h", "--help", "-V", "--version"].contains(&first.as_ref())
    });
    if names_none {
        arguments.insert(1, "serve".into());
    }
    arguments
}

/// `injected` goes between the command and the user's own arguments.
pub(super) fn with_injected(user: &[OsString], injected: &[OsString]) -> Vec<OsString> {
    let (command, rest) = user.split_at(2);
    [command, injected, rest].concat()
}

/// For `tidelog ca`, the arguments of `serve` that name the same data directory.
pub(super) fn of_authority(arguments: &[OsString]) -> Result<Option<Vec<OsString>>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "ca") {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let Some(("ca", matches)) = matches.subcommand() else { return Ok(None) };
    let Authority { data, config } = Authority::from_arg_matches(matches)?;
    let mut as_of_serve = vec![arguments[0].clone(), "serve".into()];
    for (flag, value) in [("--data", data), ("--config", config)] {
        as_of_serve.extend(value.into_iter().flat_map(|value| [flag.into(), value.into_os_string()]));
    }
    Ok(Some(as_of_serve))
}

/// Parses arguments and environment.
pub(super) fn matches(arguments: &[OsString]) -> Result<Matched, clap::Error> {
    let mut command = CommandLine::command();
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    let serve = matches.remove_subcommand().map(|(_, serve)| serve);
    let serve = serve.ok_or_else(|| command.error(ErrorKind::MissingSubcommand, "a command is required"))?;
    let command = command.find_subcommand("serve").cloned().unwrap_or_default();
    Ok(Matched { command, serve })
}

impl Matched {
    /// The file that --config names.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.serve.get_one::<PathBuf>("config").cloned()
    }

    /// The setting of that long flag, if a file may hold it.
    pub(super) fn setting(&self, key: &str) -> Option<&clap::Arg> {
        let own = |argument: &&clap::Arg| argument.get_long() == Some(key);
        self.command.get_arguments().find(own).filter(|_| !["config", "help", "version"].contains(&key))
    }

    /// Names of all settings that a file may hold.
    pub(super) fn setting_names(&self) -> Vec<String> {
        let longs = self.command.get_arguments().filter_map(|argument| argument.get_long());
        longs.filter(|long| self.setting(long).is_some()).map(String::from).collect()
    }

    /// Whether a flag or a variable decides this setting, so that the file's value is passed over.
    pub(super) fn decided_above_file(&self, key: &str) -> bool {
        match key {
            "data" | "ephemeral" => self.rank("data").max(self.ephemeral_rank()) > 0,
            _ => self.rank(key) > 0,
        }
    }

    /// `key` is a long flag; the argument behind it goes by the name of its field.
    fn rank(&self, key: &str) -> u8 {
        match self.serve.value_source(&key.replace('-', "_")) {
            Some(ValueSource::CommandLine) => 2,
            Some(ValueSource::EnvVariable) => 1,
            _ => 0,
        }
    }

    /// As [`Self::rank`]; `TIDELOG_EPHEMERAL=false` decides nothing.
    fn ephemeral_rank(&self) -> u8 {
        if self.serve.get_flag("ephemeral") { self.rank("ephemeral") } else { 0 }
    }

    /// The settings themselves.
    pub(super) fn into_config(mut self) -> Result<Config, clap::Error> {
        let (data, ephemeral) = (self.rank("data"), self.ephemeral_rank());
        if ephemeral > 0 && data == ephemeral {
            let reason = "--data and --ephemeral exclude each other: the one keeps records, the other removes them at exit\n";
            return Err(self.command.error(ErrorKind::ArgumentConflict, reason));
        }
        let serve = Serve::from_arg_matches(&self.serve)?;
        let certificate = match (serve.tls_certificate, serve.tls_key) {
            (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
            (None, None) => None,
            _ => {
                let reason = "--tls-certificate and --tls-key go together: give both, or none\n";
                return Err(self.command.error(ErrorKind::MissingRequiredArgument, reason));
            }
        };
        let location =
            if ephemeral > data { DataLocation::Ephemeral } else { DataLocation::Directory(serve.data) };
        Ok(Config {
            listen: serve.listen,
            data: location,
            limits: serve.limits,
            control_limits: serve.control_limits,
            transitions: serve.transition_delay,
            certificate,
            initial_streams: serve.initialize_streams,
            durability: serve.durability,
            account: serve.account.into(),
            region: serve.region.into(),
            log: serve.log,
            foreign_variables: Vec::new(),
        })
    }
}
