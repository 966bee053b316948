//! Failed calls of services beside Kinesis, and their sentences.

use super::known::Service;
use super::protocol::Protocol;

/// Characters of a client's own text that a sentence repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// Why a call failed, in the two names that CloudWatch has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    /// Name in the query protocol.
    pub(super) code: &'static str,
    /// Name in JSON and CBOR.
    pub(super) shape: &'static str,
    pub(super) message: String,
}

impl Failure {
    fn of_client(code: &'static str, shape: &'static str, message: String) -> Self {
        Self { status: 400, code, shape, message }
    }

    /// A required parameter is not there.
    pub(super) fn missing(message: String) -> Self {
        Self::of_client("MissingParameter", "MissingRequiredParameterException", message)
    }

    /// A parameter has a value that is not allowed.
    pub(super) fn invalid(message: String) -> Self {
        Self::of_client("InvalidParameterValue", "InvalidParameterValueException", message)
    }

    /// Parameters exclude one another.
    pub(super) fn combined(message: String) -> Self {
        Self::of_client("InvalidParameterCombination", "InvalidParameterCombinationException", message)
    }

    /// The body, or its content when it is inflated, is longer than that.
    pub(super) fn too_large(bytes_max: usize) -> Self {
        let message = format!("The request body is larger than {bytes_max} bytes.");
        Self { status: 413, code: "RequestEntityTooLarge", shape: "RequestEntityTooLargeException", message }
    }

    /// The broker cannot serve the call now.
    pub(super) fn unavailable(message: String) -> Self {
        Self { status: 503, code: "ServiceUnavailable", shape: "ServiceUnavailableException", message }
    }
}

/// The body is not in its protocol.
pub(super) fn unreadable(protocol: Protocol) -> Failure {
    let name = protocol.name();
    Failure::of_client("MalformedInput", "SerializationException", format!("The request body is no {name}."))
}

/// An operation that is not served.
pub(super) fn absent(service: &Service, operation: &str) -> Failure {
    let operation = quoted(operation);
    let Service { name, variable, .. } = service;
    let call = if operation.is_empty() { String::new() } else { format!(" ({operation})") };
    let message = if service.served.is_empty() {
        format!(
            "This is Tidelog, which serves Kinesis Data Streams, lease tables of DynamoDB, PutMetricData of CloudWatch and GetCallerIdentity of STS. \
             It does not serve {name}{call}. Set {variable} to an endpoint of that service; to send Tidelog the calls of \
             Kinesis only, set AWS_ENDPOINT_URL_KINESIS instead of AWS_ENDPOINT_URL."
        )
    } else {
        format!(
            "This is Tidelog, which serves {} of {name} and no other operation of it{call}. For the others set {variable} to \
             an endpoint of that service.",
            service.served
        )
    };
    Failure::of_client("InvalidAction", "UnknownOperationException", message)
}

/// The beginning of a client's text, for a sentence.
pub(super) fn quoted(text: &str) -> String {
    let shown = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.chars().take(QUOTED_CHARS_MAX).map(shown).collect()
}
