//! The declaration of `tidelog config`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::command::Output;

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Actions,
}

#[derive(Debug, Subcommand)]
enum Actions {
    /// Print each setting that a broker would run with, and its origin: default, file, variable or flag.
    ///
    /// The environment counts, and so does each flag of `tidelog serve` that is given here: `tidelog config show
    /// --config /etc/tidelog.toml`. Values that are secrets are not printed.
    Show {
        /// Form of the result: a table for people, or one JSON object.
        #[arg(long, value_name = "FORM", default_value = "table")]
        output: Output,
        /// Flags of `tidelog serve`.
        #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },

    /// Check the settings that a broker would run with, and list every fault.
    ///
    /// The environment counts as in `tidelog serve`. Nothing is opened but the file of settings.
    Check {
        /// TOML file of settings; without it, the one that TIDELOG_CONFIG names.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// The words of `tidelog config`, with the arguments of `serve` that they stand for.
pub(crate) struct ConfigWords {
    /// Arguments of `serve`.
    pub(crate) as_of_serve: Vec<OsString>,
    /// The action.
    pub(crate) action: ConfigAction,
}

/// An action of `tidelog config`.
pub(crate) enum ConfigAction {
    /// Print the settings.
    Show(Output),
    /// Look for faults.
    Check,
}

impl Config {
    pub(super) fn into_words(self, program: OsString) -> ConfigWords {
        let mut as_of_serve = vec![program, "serve".into()];
        let action = match self.action {
            Actions::Show { output, flags } => {
                as_of_serve.extend(flags);
                ConfigAction::Show(output)
            }
            Actions::Check { file } => {
                as_of_serve
                    .extend(file.into_iter().flat_map(|file| ["--config".into(), file.into_os_string()]));
                ConfigAction::Check
            }
        };
        ConfigWords { as_of_serve, action }
    }
}

/// Puts --output before the flags of `serve`, which would take it otherwise.
pub(super) fn with_output_first(arguments: &[OsString]) -> Vec<OsString> {
    let (command, flags) = arguments.split_at(arguments.len().min(3));
    let (mut first, mut rest) = (command.to_vec(), Vec::new());
    let mut flags = flags.iter().cloned();
    while let Some(flag) = flags.next() {
        if flag == "--output" {
            first.extend([flag].into_iter().chain(flags.next()));
        } else if flag.to_string_lossy().starts_with("--output=") {
            first.push(flag);
        } else {
            rest.push(flag);
        }
    }
    [first, rest].concat()
}
