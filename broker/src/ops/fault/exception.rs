//! AWS's exceptions: the one table that names them.

use super::Fault;

/// A fault as AWS answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// HTTP status of the answer.
    pub status: u16,
    /// The `__type` of the answer, the `ErrorCode` of a record.
    pub name: &'static str,
    /// The member that carries the sentence and the sentence, if there is one.
    pub message: Option<(&'static str, String)>,
}

impl Exception {
    /// The sentence; empty for an exception without one.
    pub fn text(&self) -> &str {
        self.message.as_ref().map_or("", |(_, text)| text)
    }
}

impl Fault {
    /// The row of the table: HTTP status and name. A missing operation is `InvalidAction`, one of the errors common to
    /// all AWS services, which SDKs show with its message and do not retry.
    fn row(&self) -> (u16, &'static str) {
        match self {
            Self::Validation(_) => (400, "ValidationException"),
            Self::InvalidArgument(_) | Self::InvalidPosition(_) => (400, "InvalidArgumentException"),
            Self::ResourceNotFound(_) => (400, "ResourceNotFoundException"),
            Self::ResourceInUse(_) => (400, "ResourceInUseException"),
            Self::LimitExceeded(_) => (400, "LimitExceededException"),
            Self::ProvisionedThroughputExceeded(_) => (400, "ProvisionedThroughputExceededException"),
            Self::ExpiredIterator { .. } => (400, "ExpiredIteratorException"),
            Self::ExpiredNextToken { .. } => (400, "ExpiredNextTokenException"),
            Self::EncryptionUnavailable(_) => (400, "KMSOptInRequired"),
            Self::DryRun => (400, "DryRunOperationException"),
            Self::Unreadable | Self::Serialization(_) => (400, "SerializationException"),
            Self::UnknownOperation => (400, "UnknownOperationException"),
            Self::NotBuilt(_) => (400, "InvalidAction"),
            Self::JsonOnly | Self::Internal => (500, "InternalFailure"),
            Self::Unavailable(_) => (503, "ServiceUnavailable"),
        }
    }

    /// The name of AWS's exception.
    pub fn name(&self) -> &'static str {
        self.row().1
    }

    /// AWS's exception.
    pub fn exception(&self) -> Exception {
        let (status, name) = self.row();
        let member = if matches!(self, Self::Serialization(_)) { "Message" } else { "message" };
        Exception { status, name, message: self.sentence().map(|text| (member, text)) }
    }

    /// AWS's exception in an event stream: the service model has one name there for all errors of the service.
    pub fn in_stream(&self) -> Exception {
        let exception = self.exception();
        match exception.status {
            500.. => Exception { name: "InternalFailureException", ..exception },
            _ => exception,
        }
    }
}
