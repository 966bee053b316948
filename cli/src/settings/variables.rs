//! Variables `TIDELOG_…` that are no setting: each is worth a warning, and none stops a start.
//!
//! Kubernetes gives every container the addresses of the Services in its namespace. For a Service called `tidelog`
//! those are TIDELOG_SERVICE_HOST, TIDELOG_PORT, TIDELOG_PORT_4567_TCP_ADDR and others: no setting may ever have such a
//! name, and nobody is warned of them.

use std::collections::BTreeSet;

use crate::arguments;
use crate::command::similar;

const PREFIX: &str = "TIDELOG_";

/// One sentence for each variable of `environment` that looks like a setting and is none.
pub fn unknown_variables(environment: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let known = declared_variables();
    let names: Vec<String> =
        known.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(Into::into).collect();
    let mut unknown: Vec<String> = Vec::new();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if known.contains(&variable) || is_service_link(name, &value) {
            continue;
        }
        let advice = match similar(name, &names).first() {
            Some(near) => format!("did you mean {PREFIX}{near}?"),
            None => "`tidelog config show` lists the settings".into(),
        };
        unknown.push(format!("the variable {variable} is not a setting and is ignored; {advice}"));
    }
    unknown.sort();
    unknown
}

/// The variables of all commands.
fn declared_variables() -> BTreeSet<String> {
    let mut commands = vec![arguments::declared()];
    let mut variables = BTreeSet::new();
    while let Some(command) = commands.pop() {
        let own = command.get_arguments().filter_map(|argument| argument.get_env());
        variables.extend(own.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    variables
}

/// Whether Kubernetes or Docker links have made the variable of that name, without the prefix.
fn is_service_link(name: &str, value: &str) -> bool {
    let name = format!("_{name}");
    // A person who sets TIDELOG_PORT means a number; Kubernetes writes tcp://10.0.0.1:4567.
    if name.ends_with("_PORT") && !name.ends_with("_SERVICE_PORT") {
        return is_port_link(&name) || value.contains("://");
    }
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_port_link(&name)
}

/// Whether the name has a part such as `_PORT_4567_TCP`.
fn is_port_link(name: &str) -> bool {
    name.match_indices("_PORT_").any(|(at, word)| {
        let mut parts = name[at + word.len()..].split('_');
        let is_port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_port && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables that Kubernetes makes for a Service `tidelog` with the ports `client` and `peers`.
    const OF_KUBERNETES: [(&str, &str); 12] = [
        ("TIDELOG_SERVICE_HOST", "10.0.0.1"),
        ("TIDELOG_SERVICE_PORT", "4567"),
        ("TIDELOG_SERVICE_PORT_CLIENT", "4567"),
        ("TIDELOG_SERVICE_PORT_PEERS", "4568"),
        ("TIDELOG_PORT", "tcp://10.0.0.1:4567"),
        ("TIDELOG_PORT_4567_TCP", "tcp://10.0.0.1:4567"),
        ("TIDELOG_PORT_4567_TCP_PROTO", "tcp"),
        ("TIDELOG_PORT_4567_TCP_PORT", "4567"),
        ("TIDELOG_PORT_4567_TCP_ADDR", "10.0.0.1"),
        ("TIDELOG_CLUSTER_SERVICE_HOST", "10.0.0.2"),
        ("TIDELOG_CLUSTER_PORT", "tcp://10.0.0.2:4568"),
        ("TIDELOG_CLUSTER_PORT_4568_TCP_ADDR", "10.0.0.2"),
    ];

    fn unknown(variables: &[(&str, &str)]) -> Vec<String> {
        unknown_variables(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_of_kubernetes_are_passed_over() {
        assert_eq!(unknown(&OF_KUBERNETES), Vec::<String>::new());
    }

    #[test]
    fn no_setting_has_the_name_of_a_service_link() {
        let declared = declared_variables();
        assert!(
            declared.contains("TIDELOG_LISTEN") && declared.contains("TIDELOG_CLUSTER_AT"),
            "{declared:?}"
        );
        for name in declared.iter().filter_map(|name| name.strip_prefix(PREFIX)) {
            assert!(!is_service_link(name, "tcp://10.0.0.1:4567"), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_nearest_one() {
        let found = unknown(&[("TIDELOG_REGOIN", "x"), ("TIDELOG_REGION", "x"), ("REGOIN", "x")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("TIDELOG_REGOIN") && found[0].contains("did you mean TIDELOG_REGION?"),
            "{found:?}"
        );
        let found = unknown(&[("TIDELOG_PORT", "4567")]);
        assert!(found.len() == 1 && found[0].contains("TIDELOG_PORT is not a setting"), "{found:?}");
    }
}
