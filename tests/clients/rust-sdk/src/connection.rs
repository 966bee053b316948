//! Builds the SDK's client: one endpoint, fixed credentials, no retries.
//!
//! Retries are off because a retry inside the SDK would be a second attempt that nobody counted.

use aws_credential_types::Credentials;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Config, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::time::Duration;

/// A client for the broker at `endpoint`, `http://` or `https://`.
///
/// For the latter the certificates to trust are those of the system, or of the file that `SSL_CERT_FILE` names.
pub(crate) fn connect(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let http_client = if endpoint.starts_with("https:") {
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    } else {
        Builder::new().build_http()
    };
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client)
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}
