//! `tidelog config`: the settings that a broker would run with.

use std::process::ExitCode;

use serde_json::json;

use super::output::{self, Column, Screen};
use super::{CommandError, Outcome, Output};
use crate::settings::{EffectiveSetting, Origin};

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigCommand {
    /// Print the settings.
    Show {
        /// Every setting.
        settings: Vec<EffectiveSetting>,
        /// How the result is written.
        output: Output,
    },
    /// Report the faults.
    Check {
        /// Each in one line.
        faults: Vec<String>,
    },
}

/// Prints the result: exit code 3 when there are faults.
#[must_use]
pub fn run(command: &ConfigCommand) -> ExitCode {
    super::finished(match command {
        ConfigCommand::Show { settings, output } => show(settings, *output),
        ConfigCommand::Check { faults } => check(faults),
    })
}

fn show(settings: &[EffectiveSetting], output: Output) -> Result<Outcome, CommandError> {
    if output == Output::Json {
        output::print_json(&json!({ "settings": settings.iter().map(as_json).collect::<Vec<_>>() }))?;
        return Ok(Outcome::Done);
    }
    let row = |setting: &EffectiveSetting| {
        let value = setting.value.clone().unwrap_or_else(|| "-".into());
        vec![setting.key.clone(), value, setting.origin.to_string()]
    };
    let columns = [Column::Words("SETTING"), Column::Words("VALUE"), Column::Words("FROM")];
    output::print(&output::table(&columns, settings.iter().map(row).collect(), Screen::of_process().width))?;
    Ok(Outcome::Done)
}

fn as_json(setting: &EffectiveSetting) -> serde_json::Value {
    let mut object = json!({ "setting": setting.key, "value": setting.value, "from": setting.origin.kind() });
    match &setting.origin {
        Origin::File(place) => {
            object["file"] = json!(place.path);
            object["line"] = json!(place.line);
        }
        Origin::Variables(names) => object["variables"] = json!(names),
        Origin::Default | Origin::Flag => {}
    }
    object
}

fn check(faults: &[String]) -> Result<Outcome, CommandError> {
    if faults.is_empty() {
        output::print("the settings are valid\n")?;
        return Ok(Outcome::Done);
    }
    output::print(&(faults.join("\n") + "\n"))?;
    Ok(Outcome::Found)
}
