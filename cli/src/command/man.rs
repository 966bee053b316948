//! `tidelog man`: manual pages, in the form that `man` reads.

use std::path::PathBuf;

use super::{CommandError, Outcome, output};

/// Arguments of `tidelog man`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    after_help = "For example: tidelog man --directory ~/.local/share/man/man1, or: tidelog man | man --local-file -"
)]
pub struct ManArguments {
    /// Write a page for each command into this directory, which is created when it does not exist.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManArguments {
    pub(super) fn carry_out(&self, mut declared: clap::Command) -> Result<Outcome, CommandError> {
        declared.build();
        let Some(directory) = &self.directory else {
            let mut page = Vec::new();
            clap_mangen::Man::new(declared).render(&mut page).map_err(CommandError::Output)?;
            output::print(&String::from_utf8_lossy(&page))?;
            return Ok(Outcome::Done);
        };
        let written =
            std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(declared, directory));
        written.map_err(|error| CommandError::File { path: directory.clone(), error })?;
        Ok(Outcome::Done)
    }
}
