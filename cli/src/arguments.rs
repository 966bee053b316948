//! The one declaration of every setting: flag, environment variable, file key (the long flag's name), default, help.
//!
//! [`crate::settings::load`] is its only caller.

mod cluster;
mod config;
mod log;
mod segment;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use tidelog::config::{CertificateFiles, Config, DataLocation};
use tidelog::offline::segment::GiveUp;

use crate::command::Commands;
use crate::command::cluster::ClusterCommand;
use crate::command::log::GiveUpLog;
use crate::settings::{LogSettings, ServeSettings, cluster as cluster_settings, listen};
use cluster::Cluster;
pub(crate) use config::{ConfigAction, ConfigWords};
use log::Log;
use segment::Segment;
use serve::Serve;

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

    /// Print the certificate of the broker's CA, for clients that connect by https://, in PEM form.
    ///
    /// The CA is made with the data directory at the first start, or by this command when it comes first. A broker that
    /// runs with --tls-certificate presents a certificate of another issuer, and its clients do not need this one.
    Ca(Authority),

    /// Show or check the settings that a broker would run with.
    #[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 `check` found faults.")]
    Config(config::Config),

    /// Administer a cluster: its members and its leaders.
    #[command(
        after_help = "Each command asks one node, any of them, and may be repeated: a finished step is not done again. \
        Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 `status` found a problem."
    )]
    Cluster(Cluster),

    /// Give up damaged records in the data directory of a stopped broker.
    #[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments.")]
    Segment(Segment),

    /// Give up the lost end of the write-ahead log of a stopped broker.
    #[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments.")]
    Log(Log),

    #[command(flatten)]
    Client(Box<Commands>),
}

#[derive(Debug, Args)]
struct Authority {
    /// Data directory of the broker; TIDELOG_DATA and the file of settings count as in `serve`. [default:
    /// ./tidelog-data]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    /// TOML file of the broker's settings; TIDELOG_CONFIG counts as in `serve`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the certificate into this directory instead, under the name that OpenSSL looks for, and print the file.
    ///
    /// KPL's CaCertPath is such a directory. It is made where it is not there.
    #[arg(long, value_name = "DIRECTORY")]
    hashed: Option<PathBuf>,
}

/// Parsed arguments that still know where each value came from.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    command: Command,
    serve: ArgMatches,
}

/// Puts `serve` in front of arguments that name no command, so that `tidelog` and `tidelog --ephemeral` serve.
pub(crate) fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
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
pub(crate) fn with_injected(user: &[OsString], injected: &[OsString]) -> Vec<OsString> {
    let (command, rest) = user.split_at(2);
    [command, injected, rest].concat()
}

/// The words of `tidelog ca`.
pub(crate) struct AuthorityWords {
    /// Arguments of `serve` that name the same data directory.
    pub(crate) as_of_serve: Vec<OsString>,
    /// The directory of --hashed.
    pub(crate) hashed: Option<PathBuf>,
}

/// Reads the arguments of `tidelog ca`; `None` for another command.
pub(crate) fn of_authority(arguments: &[OsString]) -> Result<Option<AuthorityWords>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "ca") {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let Some(("ca", matches)) = matches.subcommand() else { return Ok(None) };
    let Authority { data, config, hashed } = Authority::from_arg_matches(matches)?;
    let mut as_of_serve = vec![arguments[0].clone(), "serve".into()];
    for (flag, value) in [("--data", data), ("--config", config)] {
        as_of_serve.extend(value.into_iter().flat_map(|value| [flag.into(), value.into_os_string()]));
    }
    Ok(Some(AuthorityWords { as_of_serve, hashed }))
}

/// Reads the arguments of `tidelog config`; `None` for another command.
pub(crate) fn of_config(arguments: &[OsString]) -> Result<Option<ConfigWords>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "config") {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(config::with_output_first(arguments))?;
    let Some(("config", matches)) = matches.subcommand() else { return Ok(None) };
    config::Config::from_arg_matches(matches).map(|config| Some(config.into_words(arguments[0].clone())))
}

/// Reads the arguments of `tidelog cluster`; `None` for another command.
pub(crate) fn of_cluster(arguments: &[OsString]) -> Result<Option<ClusterCommand>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "cluster") {
        return Ok(None);
    }
    let mut command = CommandLine::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let Some(("cluster", matches)) = matches.subcommand() else { return Ok(None) };
    let declared = command.find_subcommand_mut("cluster").expect("it is declared above");
    Cluster::from_arg_matches(matches)?.into_command(declared).map(Some)
}

/// Reads the arguments of `tidelog segment`; `None` for another command.
pub(crate) fn of_segment(arguments: &[OsString]) -> Result<Option<GiveUp>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "segment") {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let Some(("segment", matches)) = matches.subcommand() else { return Ok(None) };
    Segment::from_arg_matches(matches).map(|segment| Some(segment.into_command()))
}

/// Reads the arguments of `tidelog log`; `None` for another command.
pub(crate) fn of_log(arguments: &[OsString]) -> Result<Option<GiveUpLog>, clap::Error> {
    if arguments.get(1).is_none_or(|command| command != "log") {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let Some(("log", matches)) = matches.subcommand() else { return Ok(None) };
    Log::from_arg_matches(matches).map(|log| Some(log.into_command()))
}

/// The command of a client that the arguments name; `None` for another command.
pub(crate) fn of_client(arguments: &[OsString]) -> Result<Option<Commands>, clap::Error> {
    if !arguments.get(1).and_then(|command| command.to_str()).is_some_and(Commands::has_subcommand) {
        return Ok(None);
    }
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    Commands::from_arg_matches(&matches).map(Some)
}

/// The whole command line, for generators of its documentation.
pub(crate) fn declared() -> Command {
    CommandLine::command()
}

/// Parses arguments and environment.
pub(crate) fn matches(arguments: &[OsString]) -> Result<Matched, clap::Error> {
    let mut command = CommandLine::command();
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    let serve = matches.remove_subcommand().map(|(_, serve)| serve);
    let serve = serve.ok_or_else(|| command.error(ErrorKind::MissingSubcommand, "a command is required"))?;
    let command = command.find_subcommand("serve").cloned().unwrap_or_default();
    Ok(Matched { command, serve })
}

impl Matched {
    /// The file that --config names.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        self.serve.get_one::<PathBuf>("config").cloned()
    }

    /// The setting of that long flag, if a file may hold it.
    pub(crate) fn setting(&self, key: &str) -> Option<&clap::Arg> {
        let own = |argument: &&clap::Arg| argument.get_long() == Some(key);
        self.command.get_arguments().find(own).filter(|_| !["config", "help", "version"].contains(&key))
    }

    /// Names of all settings that a file may hold.
    pub(crate) fn setting_names(&self) -> Vec<String> {
        let longs = self.command.get_arguments().filter_map(|argument| argument.get_long());
        longs.filter(|long| self.setting(long).is_some()).map(String::from).collect()
    }

    /// Whether a flag or a variable decides this setting, so that the file's value is passed over.
    pub(crate) fn decided_above_file(&self, key: &str) -> bool {
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

    /// Whether a flag has set it.
    pub(crate) fn is_flag(&self, key: &str) -> bool {
        self.rank(key) == 2
    }

    /// The environment variable that has set it.
    pub(crate) fn variable(&self, key: &str) -> Option<String> {
        let own = |argument: &&clap::Arg| argument.get_long() == Some(key);
        let variable = self.command.get_arguments().find(own)?.get_env()?;
        (self.rank(key) == 1).then(|| variable.to_string_lossy().into_owned())
    }

    /// The value as it was written, with commas between the parts of a list.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let values = self.serve.get_raw(&key.replace('-', "_"))?;
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        Some(values.join(","))
    }

    /// Ranks the setting `ephemeral` like [`Self::rank`]; `TIDELOG_EPHEMERAL=false` decides nothing.
    fn ephemeral_rank(&self) -> u8 {
        if self.serve.get_flag("ephemeral") { self.rank("ephemeral") } else { 0 }
    }

    /// The settings themselves.
    pub(crate) fn into_settings(mut self) -> Result<ServeSettings, clap::Error> {
        let (data, ephemeral) = (self.rank("data"), self.ephemeral_rank());
        if ephemeral > 0 && data == ephemeral {
            let reason = "--data and --ephemeral exclude each other: the one keeps records, the other removes them at exit\n";
            return Err(self.command.error(ErrorKind::ArgumentConflict, reason));
        }
        let serve = Serve::from_arg_matches(&self.serve)?;
        if serve.expect_data && ephemeral > data {
            let reason =
                "--expect-data and --ephemeral exclude each other: an ephemeral directory is always new\n";
            return Err(self.command.error(ErrorKind::ArgumentConflict, reason));
        }
        let certificate = match (serve.tls_certificate, serve.tls_key) {
            (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
            (None, None) => None,
            _ => {
                let reason = "--tls-certificate and --tls-key go together: give both, or none\n";
                return Err(self.command.error(ErrorKind::MissingRequiredArgument, reason));
            }
        };
        let cluster = cluster_settings::settings(cluster_settings::Given {
            node_id: serve.node_id,
            members: serve.cluster,
            listen: serve.cluster_listen,
            certificate: serve.cluster_certificate,
            key: serve.cluster_key,
            ca: serve.cluster_ca,
            is_insecure: serve.cluster_insecure,
            is_ephemeral: ephemeral > data,
        });
        let cluster = cluster
            .map_err(|reason| self.command.error(ErrorKind::ArgumentConflict, format!("{reason}\n")))?;
        let location =
            if ephemeral > data { DataLocation::Ephemeral } else { DataLocation::Directory(serve.data) };
        let (listen, names) = listen::split(&serve.listen);
        let broker = Config {
            listen,
            data: location,
            expects_data: serve.expect_data,
            disk_reserve: serve.disk_reserve,
            limits: serve.limits,
            control_limits: serve.control_limits,
            transitions: serve.transition_delay,
            lease_tables: serve.lease_tables,
            lease_table_limits: serve.lease_table_limits,
            certificate,
            initial_streams: serve.initialize_streams,
            durability: serve.durability,
            memory: serve.memory,
            cluster,
            origins: serve.cors,
            public_hosts: [serve.public_host, names].concat(),
            account: serve.account.into(),
            region: serve.region.into(),
        };
        let log = LogSettings { filter: serve.log, format: serve.log_format, requests: serve.log_requests };
        Ok(ServeSettings {
            broker,
            listen: serve.listen,
            log,
            drain: serve.drain,
            foreign_variables: Vec::new(),
        })
    }
}
