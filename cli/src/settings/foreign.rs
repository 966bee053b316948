//! Environment variables of kinesis-mock that mean something here, as arguments of `serve`: the one table of them.
//!
//! They count last, before the default alone: flags, TIDELOG_ variables and the file go before. People export some of
//! them for clients and other programs, AWS_REGION above all: those in [`SHARED`] count only beside a variable that is
//! kinesis-mock's alone. An empty variable is none, and a log level of another program's is passed over.

use std::ffi::OsString;

/// Variables that turn into one setting each.
const SETTINGS: [(&str, &str); 4] = [
    ("INITIALIZE_STREAMS", "initialize-streams"),
    ("AWS_ACCOUNT_ID", "account"),
    ("AWS_REGION", "region"),
    (LOG_LEVEL, "log"),
];
const LOG_LEVEL: &str = "LOG_LEVEL";
/// Variables that other programs have too.
const SHARED: [&str; 4] = ["AWS_ACCOUNT_ID", "AWS_REGION", LOG_LEVEL, "SHARD_LIMIT"];
/// Ports of this machine, each of which serves HTTP and TLS alike.
const PORTS: [&str; 2] = ["KINESIS_MOCK_TLS_PORT", "KINESIS_MOCK_PLAIN_PORT"];
/// Quotas, by their name in --control-limits.
const QUOTAS: [(&str, &str); 2] =
    [("SHARD_LIMIT", "shards"), ("ON_DEMAND_STREAM_COUNT_LIMIT", "on-demand-streams")];
/// Delays, by their name in --transition-delay.
const DELAYS: [(&str, &str); 7] = [
    ("CREATE_STREAM_DURATION", "create-stream"),
    ("DELETE_STREAM_DURATION", "delete-stream"),
    ("REGISTER_STREAM_CONSUMER_DURATION", "register-consumer"),
    ("DEREGISTER_STREAM_CONSUMER_DURATION", "deregister-consumer"),
    ("SPLIT_SHARD_DURATION", "split-shard"),
    ("MERGE_SHARDS_DURATION", "merge-shards"),
    ("UPDATE_SHARD_COUNT_DURATION", "update-shard-count"),
];

/// Settings that the environment has by other names than ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Arguments of `serve`.
    pub(super) arguments: Vec<OsString>,
    /// The variables they come from.
    pub(super) variables: Vec<&'static str>,
    /// The setting of each of `variables`.
    pub(super) settings: Vec<&'static str>,
}

impl Foreign {
    /// The variables that decide this setting.
    pub(super) fn variables_of(&self, setting: &str) -> Vec<String> {
        let pairs = self.settings.iter().zip(&self.variables);
        pairs.filter(|(own, _)| **own == setting).map(|(_, variable)| (*variable).to_owned()).collect()
    }

    fn set(&mut self, setting: &'static str, value: &str, variables: impl IntoIterator<Item = &'static str>) {
        self.arguments.push(format!("--{setting}={value}").into());
        self.variables.extend(variables);
        self.settings.resize(self.variables.len(), setting);
    }
}

/// The settings that `variable` gives, without those that are `decided` elsewhere.
///
/// # Errors
/// One line that names the variable.
pub(super) fn settings(
    variable: impl Fn(&str) -> Option<String>,
    decided: impl Fn(&str) -> bool,
) -> Result<Foreign, String> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut foreign = Foreign::default();
    if !own().any(|name| variable(name).is_some()) {
        return Ok(foreign);
    }
    for (name, setting) in SETTINGS {
        let value = variable(name).filter(|_| !decided(setting));
        if let Some(value) = value.and_then(|value| if name == LOG_LEVEL { log(&value) } else { Some(value) })
        {
            foreign.set(setting, &value, [name]);
        }
    }
    let ports = PORTS.iter().filter_map(|name| Some((*name, variable(name)?)));
    for (name, port) in ports.filter(|_| !decided("listen")) {
        let port: u16 = port.parse().map_err(|_| format!("{name}: `{port}` is no port"))?;
        foreign.set("listen", &format!("127.0.0.1:{port}"), [name]);
    }
    for (setting, names) in [("control-limits", &QUOTAS[..]), ("transition-delay", &DELAYS[..])] {
        let mut parts = Vec::new();
        let mut variables = Vec::new();
        for (name, part) in names {
            if let Some(value) = variable(name).filter(|_| !decided(setting)) {
                let is_delay = setting == "transition-delay";
                let value = if is_delay { duration_ms(&value) } else { Ok(value) };
                parts.push(format!("{part}={}", value.map_err(|reason| format!("{name}: {reason}"))?));
                variables.push(*name);
            }
        }
        if !parts.is_empty() {
            foreign.set(setting, &parts.join(","), variables);
        }
    }
    Ok(foreign)
}

/// Names of the variables that are kinesis-mock's alone.
fn own() -> impl Iterator<Item = &'static str> {
    let named = [&SETTINGS[..], &QUOTAS, &DELAYS].into_iter().flatten().map(|(name, _)| *name);
    PORTS.into_iter().chain(named).filter(|name| !SHARED.contains(name))
}

/// The level in our words; a text that is no level was meant for another program.
fn log(value: &str) -> Option<String> {
    let level = value.to_lowercase();
    let is_level = ["error", "warn", "info", "debug", "trace"].contains(&level.as_str());
    is_level.then(|| format!("{level},openraft=error"))
}

/// Milliseconds of a duration such as `500ms`, `5s` or `1 second`.
fn duration_ms(value: &str) -> Result<String, String> {
    let wrong = || format!("`{value}` is not a duration such as 500ms or 5s");
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u64>().map_err(|_| wrong())?;
    Ok(number.checked_mul(factor).ok_or_else(wrong)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], decided: &[&str]) -> Result<Vec<String>, String> {
        let variable =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let foreign = settings(variable, |setting| decided.contains(&setting))?;
        Ok(foreign.arguments.iter().map(|argument| argument.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn variables_become_arguments() {
        for (variables, expected) in [
            (vec![("INITIALIZE_STREAMS", "a:1,b")], vec!["--initialize-streams=a:1,b"]),
            (vec![("AWS_REGION", "eu-west-1"), ("AWS_ACCOUNT_ID", "12"), ("LOG_LEVEL", "debug")], vec![]),
            (vec![("AWS_REGION", "eu-west-1"), ("SHARD_LIMIT", "5"), ("INITIALIZE_STREAMS", "")], vec![]),
            (
                vec![("AWS_REGION", "eu-west-1"), ("AWS_ACCOUNT_ID", ""), ("INITIALIZE_STREAMS", "a")],
                vec!["--initialize-streams=a", "--region=eu-west-1"],
            ),
            (
                vec![("SHARD_LIMIT", "50"), ("ON_DEMAND_STREAM_COUNT_LIMIT", "10")],
                vec!["--control-limits=shards=50,on-demand-streams=10"],
            ),
            (
                vec![("CREATE_STREAM_DURATION", "500ms"), ("MERGE_SHARDS_DURATION", "2 seconds")],
                vec!["--transition-delay=create-stream=500,merge-shards=2000"],
            ),
            (
                vec![("KINESIS_MOCK_PLAIN_PORT", "4568"), ("KINESIS_MOCK_TLS_PORT", "4567")],
                vec!["--listen=127.0.0.1:4567", "--listen=127.0.0.1:4568"],
            ),
            (
                vec![("LOG_LEVEL", "DEBUG"), ("KINESIS_MOCK_TLS_PORT", "1")],
                vec!["--log=debug,openraft=error", "--listen=127.0.0.1:1"],
            ),
            (vec![("LOG_LEVEL", "10"), ("KINESIS_MOCK_TLS_PORT", "1")], vec!["--listen=127.0.0.1:1"]),
        ] {
            assert_eq!(read(&variables, &[]).unwrap(), expected, "{variables:?}");
        }
    }

    #[test]
    fn changes_decided_on_another_node_are_not_checked_here() {
        let variables = [
            ("AWS_REGION", "eu-west-1"),
            ("SHARD_LIMIT", "50"),
            ("CREATE_STREAM_DURATION", "soon"),
            ("KINESIS_MOCK_TLS_PORT", "x"),
        ];
        let decided = ["region", "control-limits", "transition-delay", "listen"];
        assert_eq!(read(&variables, &decided), Ok(vec![]));
        for (name, value) in [("CREATE_STREAM_DURATION", "soon"), ("KINESIS_MOCK_TLS_PORT", "x")] {
            let error = read(&[(name, value)], &[]).unwrap_err();
            assert!(error.starts_with(name) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, expected) in [("500ms", "500"), ("5s", "5000"), ("1 minute", "60000"), ("0 ms", "0")] {
            assert_eq!(duration_ms(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "500", "ms", "-1s", "1.5s", "1h", "99999999999999999999s", "18446744073709551615m"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
