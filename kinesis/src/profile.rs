//! The files of the AWS command line, `~/.aws/credentials` and `~/.aws/config`: sections of `key = value` lines.
//!
//! Only the keys that a request needs are read: static keys and the region. [`super::credentials`] and
//! [`super::settings`] look things up here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::CredentialsError;

/// Looks up environment variables.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One profile's keys and values, of both files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// The name given by --profile or AWS_PROFILE, `default` otherwise.
    pub(super) name: String,
    /// Whether somebody asked for it by name.
    pub(super) is_named: bool,
    /// `None` when neither file has such a section.
    pub(super) values: Option<BTreeMap<String, String>>,
}

impl Profile {
    /// Reads the profile of that name, or the one that the environment names. Files that are not there are empty.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub(super) fn load(name: Option<&str>, variable: Variables<'_>) -> Result<Self, CredentialsError> {
        let named =
            name.map(String::from).or_else(|| variable("AWS_PROFILE").filter(|name| !name.is_empty()));
        let is_named = named.is_some();
        let name = named.unwrap_or_else(|| "default".into());
        let mut values: Option<BTreeMap<String, String>> = None;
        // The later file's keys go before the earlier one's.
        for (place, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let home = || variable("HOME").map(|home| Path::new(&home).join(".aws").join(file));
            let Some(path) = variable(place).map(PathBuf::from).or_else(home) else { continue };
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(CredentialsError::File { path, reason: error.to_string() }),
            };
            if let Some(section) = section(&text, &name) {
                values.get_or_insert_default().extend(section);
            }
        }
        Ok(Self { name, is_named, values })
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The lines of the profile's section; `None` when there is no such section. Nested lines are passed over.
fn section(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || is_nested {
            continue;
        }
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let head = head.trim();
            let head =
                head.strip_prefix("profile").map_or(head, |rest| if rest.is_empty() { head } else { rest });
            is_inside = head.trim() == name;
            if is_inside {
                found.get_or_insert_default();
            }
        } else if is_inside && let Some((key, value)) = line.split_once('=') {
            let value = value.split(" #").next().unwrap_or_default().trim();
            found.get_or_insert_default().insert(key.trim().to_ascii_lowercase(), value.into());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_in_either_form_of_its_head() {
        let text = "# top\n[default]\nregion = eu-west-1\n[profile  work ]\naws_access_key_id=A # mine\ns3 =\n  \
                    region = no\nRegion=us-west-2\n[profile]\nregion = odd\n[workshop]\nregion = other";
        let pairs = |name| section(text, name).map(|values| values.into_iter().collect::<Vec<_>>());
        let owned = |pairs: &[(&str, &str)]| {
            Some(
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>(),
            )
        };
        assert_eq!(pairs("default"), owned(&[("region", "eu-west-1")]));
        assert_eq!(pairs("work"), owned(&[("aws_access_key_id", "A"), ("region", "us-west-2"), ("s3", "")]));
        assert_eq!(pairs("shop"), None);
    }
}
