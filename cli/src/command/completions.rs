//! `tidelog completions`: the script that makes a shell complete the command line.

use clap_complete::Shell;

use super::{CommandError, Outcome, output};

/// Arguments of `tidelog completions`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    after_help = "For example: tidelog completions bash > ~/.local/share/bash-completion/completions/tidelog"
)]
pub struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

impl CompletionsArguments {
    pub(super) fn carry_out(&self, mut declared: clap::Command) -> Result<Outcome, CommandError> {
        let mut script = Vec::new();
        let name = declared.get_name().to_owned();
        clap_complete::generate(self.shell, &mut declared, name, &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Done)
    }
}
