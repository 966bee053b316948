//! The keys that requests are signed with: of the environment, or of a profile's files.
//!
//! Static keys only. Keys that have to be fetched (SSO, assumed roles, a `credential_process`, an instance's role)
//! are left to the aws command line, and the error says how to take them from there.

use std::path::PathBuf;

use super::profile::{Profile, Variables};

/// Keys of a profile that say where to fetch credentials, which is not done here.
const FETCHED: [&str; 6] = [
    "sso_session",
    "sso_start_url",
    "role_arn",
    "credential_process",
    "web_identity_token_file",
    "login_session",
];

/// An access key, and the token that belongs to it if it is a temporary one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the key; a Tidelog or an emulator takes 12 digits for the account.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Token of a temporary key.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is there and cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Somebody asked for a profile that is in neither file.
    #[error(
        "there is no profile {0} in ~/.aws/credentials or ~/.aws/config; `aws configure list-profiles` lists them"
    )]
    NoSuchProfile(String),
    /// Half of a key.
    #[error("{0} is set, and {1} is not: a key needs both")]
    Half(&'static str, &'static str),
    /// The profile's credentials have to be fetched from somewhere.
    #[error(
        "the profile {profile} has no keys of its own but {key}, which tidelog does not follow. Take its keys into the \
         environment: eval \"$(aws configure export-credentials --profile {profile} --format env)\""
    )]
    Fetched {
        /// The profile.
        profile: String,
        /// The key that the profile has instead.
        key: &'static str,
    },
    /// Nothing anywhere.
    #[error(
        "AWS wants signed requests, and there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         name a profile with --profile or AWS_PROFILE"
    )]
    None,
}

impl Credentials {
    /// The credentials for endpoints that do not check signatures, when there are no others.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self { access_key_id: "tidelog".into(), secret_access_key: "tidelog".into(), session_token: None }
    }

    /// The environment's keys unless a profile was named by flag, then the profile's.
    pub(super) fn find(
        profile: &Profile,
        is_profile_a_flag: bool,
        variable: Variables<'_>,
    ) -> Result<Self, CredentialsError> {
        if !is_profile_a_flag && let Some(found) = Self::of_environment(variable)? {
            return Ok(found);
        }
        if profile.is_named && profile.values.is_none() {
            return Err(CredentialsError::NoSuchProfile(profile.name.clone()));
        }
        let own = |key: &str| profile.value(key).map(String::from);
        if let Some(found) = Self::complete(
            ("aws_access_key_id", own("aws_access_key_id")),
            ("aws_secret_access_key", own("aws_secret_access_key")),
            own("aws_session_token"),
        )? {
            return Ok(found);
        }
        match FETCHED.into_iter().find(|key| profile.value(key).is_some()) {
            Some(key) => Err(CredentialsError::Fetched { profile: profile.name.clone(), key }),
            None => Err(CredentialsError::None),
        }
    }

    fn of_environment(variable: Variables<'_>) -> Result<Option<Self>, CredentialsError> {
        let own = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self::complete(
            ("AWS_ACCESS_KEY_ID", own("AWS_ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", own("AWS_SECRET_ACCESS_KEY")),
            own("AWS_SESSION_TOKEN"),
        )
    }

    fn complete(
        (id_name, id): (&'static str, Option<String>),
        (secret_name, secret): (&'static str, Option<String>),
        session_token: Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        match (id, secret) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Ok(Some(Self { access_key_id, secret_access_key, session_token }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(CredentialsError::Half(id_name, secret_name)),
            (None, Some(_)) => Err(CredentialsError::Half(secret_name, id_name)),
        }
    }
}
