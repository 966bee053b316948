//! The table of all settings for `docs/settings.md`, made from the declarations.

use crate::arguments;

/// The bounds of a setting's value, and the part that a reload takes anew: clap knows neither.
struct Facts {
    key: &'static str,
    bounds: &'static str,
    reload: Reload,
}

/// The part of a setting that SIGHUP takes anew.
#[derive(Clone, Copy)]
enum Reload {
    /// Nothing: the broker has to be started again.
    No,
    /// The value, from the file of settings.
    Value,
    /// The content of the file that it names.
    Content,
}

impl Reload {
    fn text(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Value => "yes, from the file",
            Self::Content => "the content of that file",
        }
    }
}

const FACTS: &[Facts] = &[
    fact(
        "listen",
        "`ADDRESS:PORT`, `HOST:PORT` or `:PORT` of the loopback interface; ports 0 to 65535; a list",
        Reload::No,
    ),
    fact("data", "a directory", Reload::No),
    fact("ephemeral", "true or false", Reload::No),
    fact("expect-data", "true or false", Reload::No),
    fact("disk-reserve", "`auto`, bytes from `40MiB` on (KiB, MiB, GiB), or `1%` to `50%`", Reload::No),
    fact("limits", "`aws`, `off`, or bytes, records and calls per second", Reload::No),
    fact(
        "control-limits",
        "`aws`, `off`, or a list of `rates`, `shards`, `on-demand-streams`, `cluster-streams`, `cluster-shards`",
        Reload::No,
    ),
    fact("transition-delay", "milliseconds, 0 to 600,000; one figure or a list", Reload::No),
    fact("lease-tables", "`on` or `off`", Reload::No),
    fact("lease-table-limits", "tables and items from 1 on; bytes `1MiB` to `32MiB`", Reload::No),
    fact("initialize-streams", "`NAME[:SHARDS[:REGION]]`, 1 to 20,000 shards; a list", Reload::No),
    fact("cors", "`*`, `off`, or a list of origins", Reload::No),
    fact("public-host", "host names without a port; a list", Reload::No),
    fact("tls-certificate", "a PEM file; goes with `--tls-key`", Reload::Content),
    fact("tls-key", "a PEM file; goes with `--tls-certificate`", Reload::Content),
    fact("memory", "bytes from `192MiB` on (KiB, MiB, GiB)", Reload::No),
    fact("durability", "`fsync`, or `interval=` with 1 to 60,000 milliseconds", Reload::No),
    fact("account", "12 digits", Reload::No),
    fact("region", "1 to 32 lower-case letters, digits and hyphens", Reload::No),
    fact("node-id", "a whole number from 1 on; goes with `--cluster`", Reload::No),
    fact("cluster", "`ID=HOST:PORT`, this node too; a list", Reload::No),
    fact("cluster-listen", "`ADDRESS:PORT`", Reload::No),
    fact("cluster-certificate", "a PEM file; goes with the key and the CA", Reload::Content),
    fact("cluster-key", "a PEM file", Reload::Content),
    fact("cluster-ca", "a PEM file", Reload::Content),
    fact("cluster-insecure", "true or false", Reload::No),
    fact("drain", "seconds, 0 to 3,600", Reload::No),
    fact("config", "a TOML file; not a key of the file itself", Reload::Content),
    fact("log", "`error`, `warn`, `info`, `debug`, `trace`, or directives", Reload::Value),
    fact("log-format", "`text` or `json`", Reload::No),
    fact("log-requests", "`off`, `errors`, `all`, or `slow=` with a time of `1ms` to `3600s`", Reload::Value),
];

const fn fact(key: &'static str, bounds: &'static str, reload: Reload) -> Facts {
    Facts { key, bounds, reload }
}

/// The table in Markdown. A setting without facts has `?` in their place, which a test finds.
#[must_use]
pub fn reference() -> String {
    let head = "| flag, and key of the file | variable | default | value | reload | meaning |";
    let mut table = format!("{head}\n|---|---|---|---|---|---|\n");
    let declared = arguments::declared();
    let serve = declared.find_subcommand("serve").expect("it is declared");
    for argument in serve.get_arguments() {
        let Some(key) = argument.get_long() else { continue };
        let variable = argument.get_env().map(|name| name.to_string_lossy()).unwrap_or_default();
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match defaults.join(",") {
            text if text.is_empty() || argument.is_hide_default_value_set() => String::new(),
            text => format!("`{text}`"),
        };
        let facts = FACTS.iter().find(|facts| facts.key == key);
        let (bounds, reload) = facts.map_or(("?", "?"), |facts| (facts.bounds, facts.reload.text()));
        let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        table += &format!("| `--{key}` | `{variable}` | {default} | {bounds} | {reload} | {meaning} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_facts_and_every_fact_its_setting() {
        let table = reference();
        assert!(!table.contains("| ? |"), "add the setting to FACTS:\n{table}");
        for Facts { key, .. } in FACTS {
            assert!(table.contains(&format!("| `--{key}` |")), "{key} is no setting");
        }
        assert_eq!(table.lines().count(), FACTS.len() + 2);
    }

    #[test]
    fn variables_are_named_like_their_flags() {
        for row in reference().lines().skip(2) {
            let mut cells = row.split('`');
            let (flag, variable) = (cells.nth(1).unwrap(), cells.nth(1).unwrap());
            let name = flag.trim_start_matches("--").to_uppercase().replace('-', "_");
            assert_eq!(variable, format!("TIDELOG_{name}"), "{row}");
        }
    }
}
