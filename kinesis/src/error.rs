//! Why a call came to nothing, and whether it can have done something all the same.

use super::settings::is_aws;

/// Why a call came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KinesisError {
    /// No connection came about: the call was certainly not heard.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The reason.
        reason: String,
    },
    /// The connection broke, or was silent for too long, after the call was sent: it may have been carried out.
    #[error("{endpoint} did not answer {operation}: {reason}")]
    Interrupted {
        /// The endpoint.
        endpoint: String,
        /// The operation that was called.
        operation: &'static str,
        /// The reason for the interruption.
        reason: String,
    },
    /// The service answered with an exception.
    #[error("{operation} was refused: {exception}: {message}")]
    Refused {
        /// The operation that was called.
        operation: &'static str,
        /// Name of the exception, such as `ResourceNotFoundException`.
        exception: String,
        /// The message of the exception.
        message: String,
        /// HTTP status of the answer.
        status: u16,
    },
    /// The server does not speak the protocol.
    #[error("the server at {endpoint} does not speak Kinesis: {reason}")]
    Foreign {
        /// The endpoint.
        endpoint: String,
        /// The answer that came instead.
        reason: String,
    },
    /// No request could be made of the given values.
    #[error("cannot make the call {operation}: {reason}")]
    Unsendable {
        /// The operation that was to be called.
        operation: &'static str,
        /// The reason why it cannot be sent.
        reason: String,
    },
}

impl KinesisError {
    /// Name of the exception, if the service answered with one.
    #[must_use]
    pub fn exception(&self) -> Option<&str> {
        match self {
            Self::Refused { exception, .. } => Some(exception),
            _ => None,
        }
    }

    /// Whether the service refused because there were too many calls or records; nothing was done.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        match self {
            Self::Refused { exception, message, .. } => match exception.as_str() {
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "SlowDown"
                | "KMSThrottlingException" => true,
                // Quotas have the same exception, and waiting does not help with them.
                "LimitExceededException" => message.starts_with("Rate exceeded"),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the call was certainly not carried out, so that making it again can double nothing.
    #[must_use]
    pub fn is_certainly_not_done(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unsendable { .. } => true,
            Self::Interrupted { .. } | Self::Foreign { .. } => false,
            Self::Refused { status, .. } => *status < 500,
        }
    }

    /// Advice where no server answered that speaks Kinesis: a sentence to stand behind the error's own words.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { reason, .. }
                if reason.contains("certificate") || reason.contains("UnknownIssuer") =>
            {
                ". For a broker with a CA of its own: `tidelog ca > ca.pem` beside its data, then --ca ca.pem"
            }
            Self::Unreachable { endpoint, .. }
                if endpoint.parse().is_ok_and(|endpoint| is_aws(&endpoint)) =>
            {
                ". Is this the region?"
            }
            Self::Unreachable { .. } => {
                ". Start a broker with `tidelog serve`, or name another endpoint with --endpoint or \
                 AWS_ENDPOINT_URL_KINESIS"
            }
            Self::Foreign { .. } => ". Name the endpoint with --endpoint or AWS_ENDPOINT_URL_KINESIS",
            _ => "",
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || self.is_throttle(),
            Self::Foreign { .. } | Self::Unsendable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_decides_whether_to_retry() {
        let refused = |exception: &str, message: &str, status| KinesisError::Refused {
            operation: "PutRecords",
            exception: exception.into(),
            message: message.into(),
            status,
        };
        let endpoint = || "http://127.0.0.1:1".to_owned();
        let reason = || "gone".to_owned();
        // Error, throttle, passing, certainly not done.
        let cases = [
            (refused("ProvisionedThroughputExceededException", "Rate exceeded", 400), true, true, true),
            (refused("LimitExceededException", "Rate exceeded for stream", 400), true, true, true),
            (
                refused("LimitExceededException", "This request would exceed the shard limit", 400),
                false,
                false,
                true,
            ),
            (refused("ResourceNotFoundException", "", 400), false, false, true),
            (refused("InternalFailure", "", 500), false, true, false),
            (KinesisError::Unreachable { endpoint: endpoint(), reason: reason() }, false, true, true),
            (
                KinesisError::Interrupted { endpoint: endpoint(), operation: "PutRecords", reason: reason() },
                false,
                true,
                false,
            ),
            (KinesisError::Foreign { endpoint: endpoint(), reason: reason() }, false, false, false),
        ];
        for (error, throttle, passing, not_done) in cases {
            assert_eq!(error.is_throttle(), throttle, "{error}");
            assert_eq!(error.is_passing(), passing, "{error}");
            assert_eq!(error.is_certainly_not_done(), not_done, "{error}");
        }
    }
}
