//! The endpoint, region and credentials of requests: from flags, environment and profile, in that order.

use std::path::PathBuf;

use hyper::Uri;

use super::profile::{Profile, Variables};
use super::{Credentials, CredentialsError};

/// The address on which Tidelog listens by default.
const LOCAL: &str = "http://127.0.0.1:4567";
/// Stands for AWS's own endpoint of the region.
const AWS: &str = "aws";
const REGION: &str = "us-east-1";

/// The flags of every command that speaks Kinesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Connection"))]
pub struct ConnectionArguments {
    /// Endpoint of Kinesis: a URL, or `aws` for AWS itself in the region.
    ///
    /// Without it AWS_ENDPOINT_URL_KINESIS counts, then AWS_ENDPOINT_URL, then http://127.0.0.1:4567.
    #[cfg_attr(feature = "clap", arg(long, global = true, value_name = "URL"))]
    pub endpoint: Option<String>,

    /// Region that requests are signed for.
    ///
    /// Without it AWS_REGION counts, then AWS_DEFAULT_REGION, then the profile, then us-east-1.
    #[cfg_attr(feature = "clap", arg(long, global = true, value_name = "NAME"))]
    pub region: Option<String>,

    /// Profile of ~/.aws/credentials and ~/.aws/config with keys and region.
    ///
    /// Without it AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN count, then the profile that
    /// AWS_PROFILE names. Only keys in the files are used. An endpoint other than AWS needs none.
    #[cfg_attr(feature = "clap", arg(long, global = true, value_name = "NAME"))]
    pub profile: Option<String>,

    /// Certificates to trust beside the system's for https://, in PEM form, such as the one that `tidelog ca` prints.
    ///
    /// Without it AWS_CA_BUNDLE counts.
    #[cfg_attr(feature = "clap", arg(long, global = true, value_name = "FILE"))]
    pub ca: Option<PathBuf>,
}

/// The endpoint and the credentials of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `http://` or `https://`, a host, perhaps a port; no path.
    pub endpoint: Uri,
    /// Region that requests are signed for.
    pub region: String,
    /// Keys that they are signed with.
    pub credentials: Credentials,
    /// Certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The endpoint is none.
    #[error("{0} is not an endpoint: give a URL such as {LOCAL} without a path, or `aws`")]
    Endpoint(String),
    /// The region's name cannot be one.
    #[error("{0} is not a region's name, such as {REGION}")]
    Region(String),
    /// The file of certificates is of no use.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Certificates {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// TLS is not to be had.
    #[error("cannot speak TLS: {0}")]
    Tls(String),
    /// There is nothing to sign with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl Settings {
    /// Puts flags, the process's environment and the profile's files together.
    ///
    /// # Errors
    /// When one of them is wrong, or AWS is asked and there are no keys.
    pub fn of_process(arguments: &ConnectionArguments) -> Result<Self, SettingsError> {
        Self::resolve(arguments, &|name| std::env::var(name).ok())
    }

    /// Resolves the settings like [`Self::of_process`], with an environment that is given.
    ///
    /// # Errors Those of [`Self::of_process`].
    pub fn resolve(arguments: &ConnectionArguments, variable: Variables<'_>) -> Result<Self, SettingsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let profile = Profile::load(arguments.profile.as_deref(), variable)?;
        let region =
            arguments.region.clone().or_else(|| set("AWS_REGION")).or_else(|| set("AWS_DEFAULT_REGION"));
        let region =
            region.or_else(|| profile.value("region").map(Into::into)).unwrap_or_else(|| REGION.into());
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(SettingsError::Region(region));
        }
        let named = arguments.endpoint.clone();
        let named = named.or_else(|| set("AWS_ENDPOINT_URL_KINESIS")).or_else(|| set("AWS_ENDPOINT_URL"));
        let endpoint = endpoint(named.as_deref().unwrap_or(LOCAL), &region)?;
        let found = Credentials::find(&profile, arguments.profile.is_some(), variable);
        let credentials = match found {
            Ok(credentials) => credentials,
            // A server that does not check signatures needs no keys; a profile asked for by a flag has to be
            // there.
            Err(_) if !is_aws(&endpoint) && arguments.profile.is_none() => Credentials::of_nobody(),
            Err(error) => return Err(error.into()),
        };
        let ca = arguments.ca.clone().or_else(|| set("AWS_CA_BUNDLE").map(PathBuf::from));
        Ok(Self { endpoint, region, credentials, ca })
    }

    /// An endpoint in us-east-1 that checks no signatures.
    #[must_use]
    pub fn unsigned(endpoint: Uri) -> Self {
        Self { endpoint, region: REGION.into(), credentials: Credentials::of_nobody(), ca: None }
    }

    /// The endpoint as people write it, without a slash at the end.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        self.endpoint.to_string().trim_end_matches('/').into()
    }

    /// Whether requests go to AWS itself.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        is_aws(&self.endpoint)
    }
}

fn endpoint(named: &str, region: &str) -> Result<Uri, SettingsError> {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    let text = match named {
        AWS => format!("https://kinesis.{region}.amazonaws.com{suffix}"),
        other => other.to_owned(),
    };
    let wrong = || SettingsError::Endpoint(named.into());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let is_plain = uri.path() == "/" && uri.query().is_none() && !text.contains('@');
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    if is_plain && is_known && has_host && has_usable_port(&uri) { Ok(uri) } else { Err(wrong()) }
}

/// Whether the address names no port, or one from 1 to 65535: hyper passes over a larger one without an error.
fn has_usable_port(uri: &Uri) -> bool {
    let names_port =
        uri.authority().is_some_and(|authority| authority.as_str().len() > authority.host().len());
    !names_port || uri.port_u16().is_some_and(|port| port > 0)
}

pub(super) fn is_aws(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests;
