//! Faults of lease tables: facts in variants, and one table that makes DynamoDB's exceptions of them.

mod invalid;
mod rules;
mod sentences;

use std::fmt;

pub use invalid::Invalid;
pub use rules::Rule;

use crate::json::{Json, Structure, structure};
use crate::value::{Item, write_attributes};

/// The reason why a request is refused or fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request breaks a rule.
    Invalid(Box<Invalid>),
    /// The body is not one JSON structure, or too deep or large.
    Unreadable,
    /// A member of the body has another JSON type.
    WrongType {
        /// The JSON that was found.
        found: &'static str,
        /// The type of the member.
        expected: &'static str,
    },
    /// A value of type B that is no base64.
    NotBase64,
    /// No such operation here.
    UnknownOperation {
        /// The name behind the prefix of the target.
        operation: String,
    },
    /// The condition of a write does not hold.
    ConditionFailed {
        /// The item as it is, when the request asked for it and there is one.
        item: Option<Item>,
    },
    /// A transaction was refused as a whole; one reason for each of its parts.
    TransactionCanceled {
        /// In the order of the request.
        reasons: Vec<CancellationReason>,
    },
    /// No such table.
    NoTable {
        /// The table's name.
        table: String,
    },
    /// The resource of a tag operation, or of another one by ARN.
    NoResource {
        /// The ARN of the request.
        arn: String,
    },
    /// UpdateTable deletes an index that is not there.
    NoIndex,
    /// CreateTable of a name that is taken.
    TableExists {
        /// The name.
        table: String,
    },
    /// One more table than the account may have in its region.
    TooManyTables {
        /// The bound.
        tables: u64,
        /// The account.
        account: String,
        /// The region.
        region: String,
    },
    /// The token of a transaction was used for another one.
    TokenReused,
    /// The table belongs to another account or region.
    OtherOwner {
        /// The ARN of the request.
        arn: String,
        /// The account of the caller.
        account: String,
        /// The operation.
        operation: &'static str,
    },
    /// The node has no memory for the answer now.
    Throttled,
    /// No leader, or an unknown outcome.
    Internal,
}

/// Why one part of a transaction did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancellationReason {
    /// The part holds.
    None,
    /// The condition of the part does not hold.
    ConditionFailed {
        /// The item as it is, when the part asked for it and there is one.
        item: Option<Item>,
    },
    /// The part breaks a rule.
    Invalid(Invalid),
}

impl CancellationReason {
    /// The code in answers and in the message.
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::ConditionFailed { .. } => "ConditionalCheckFailed",
            Self::Invalid(_) => "ValidationError",
        }
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(Box::new(invalid))
    }
}

const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810";
const CORAL_VALIDATE: &str = "com.amazon.coral.validate";
const CORAL_SERVICE: &str = "com.amazon.coral.service";

impl Fault {
    /// A member of another JSON type.
    pub(crate) fn wrong_type(found: &Json<'_>, expected: &'static str) -> Self {
        let found = match found {
            Json::Null => "NULL_VALUE",
            Json::Bool(true) => "TRUE_VALUE",
            Json::Bool(false) => "FALSE_VALUE",
            Json::Integer(_) => "NUMBER_VALUE",
            Json::Double(_) => "DECIMAL_VALUE",
            Json::Text(_) => "STRING_VALUE",
            Json::List(_) => "LIST_VALUE",
            Json::Map(_) => "STRUCTURE_VALUE",
        };
        Self::WrongType { found, expected }
    }

    /// The name of the exception, and its namespace.
    fn exception_parts(&self) -> (&'static str, &'static str) {
        match self {
            Self::Invalid(_) => (CORAL_VALIDATE, "ValidationException"),
            Self::Unreadable | Self::WrongType { .. } | Self::NotBase64 => {
                (CORAL_SERVICE, "SerializationException")
            }
            Self::UnknownOperation { .. } => (DYNAMODB, "UnknownOperationException"),
            Self::ConditionFailed { .. } => (DYNAMODB, "ConditionalCheckFailedException"),
            Self::TransactionCanceled { .. } => (DYNAMODB, "TransactionCanceledException"),
            Self::NoTable { .. } | Self::NoResource { .. } | Self::NoIndex => {
                (DYNAMODB, "ResourceNotFoundException")
            }
            Self::TableExists { .. } => (DYNAMODB, "ResourceInUseException"),
            Self::TooManyTables { .. } => (DYNAMODB, "LimitExceededException"),
            Self::TokenReused => (DYNAMODB, "IdempotentParameterMismatchException"),
            Self::OtherOwner { .. } => (DYNAMODB, "AccessDeniedException"),
            Self::Throttled => (DYNAMODB, "ProvisionedThroughputExceededException"),
            Self::Internal => (DYNAMODB, "InternalServerError"),
        }
    }

    /// The name of the exception.
    pub fn exception(&self) -> &'static str {
        self.exception_parts().1
    }

    /// The status of the HTTP answer.
    pub fn status(&self) -> u16 {
        if matches!(self, Self::Internal) { 500 } else { 400 }
    }

    /// The body of the answer: `{"__type": …, "message": …}`, with the item of a failed condition or the reasons of a
    /// cancelled transaction.
    pub fn body(&self) -> Vec<u8> {
        let (namespace, name) = self.exception_parts();
        structure(|out| {
            out.text("__type", &format!("{namespace}#{name}")).text("message", &self.to_string());
            match self {
                Self::ConditionFailed { item } => write_item(out, item.as_ref()),
                Self::TransactionCanceled { reasons } => {
                    out.list("CancellationReasons", reasons, |out, reason| {
                        let mut out = Structure::begin(out);
                        reason.write(&mut out);
                        out.end();
                    });
                }
                _ => {}
            }
        })
    }
}

fn write_item(out: &mut Structure<'_>, item: Option<&Item>) {
    if let Some(item) = item {
        write_attributes(out.member("Item"), item.attributes());
    }
}

impl CancellationReason {
    fn write(&self, out: &mut Structure<'_>) {
        out.text("Code", self.code());
        match self {
            Self::None => {}
            Self::ConditionFailed { item } => {
                out.text("Message", sentences::CONDITION_FAILED);
                write_item(out, item.as_ref());
            }
            Self::Invalid(invalid) => {
                out.text("Message", &invalid.to_string());
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentences::write_fault(self, formatter)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentences::write_invalid(self, formatter)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests;
