//! The caller of a gRPC call, as its metadata `tidelog-account` and `tidelog-region` name it, with the
//! service that serves it.

use std::sync::Arc;

use bytes::Bytes;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::status;
use crate::ops::{Call, Codec};
use crate::room::{Account, AnswerRoom};
use crate::service::Service;
use crate::wire::caller::{is_account, is_region};

/// Metadata entry with the account, 12 digits.
const ACCOUNT: &str = "tidelog-account";
/// Metadata entry with the region.
const REGION: &str = "tidelog-region";

/// The service, and the account and region of callers that name none. Clones share it.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) service: Arc<Service>,
    /// The account of callers that name none.
    pub(super) account: Arc<str>,
    /// The region of callers that name none.
    pub(super) region: Arc<str>,
}

impl Caller {
    /// A call of the caller that these metadata name, to be filled in.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a malformed account or region.
    pub(super) fn call(&self, metadata: &MetadataMap) -> Result<Call, Status> {
        Ok(Call {
            account: named(metadata, ACCOUNT, is_account, &self.account)?,
            region: named(metadata, REGION, is_region, &self.region)?,
            codec: Codec::Json,
            body: Bytes::new(),
            answers: AnswerRoom::default(),
        })
    }
}

/// The account of the connection that a request came by.
pub(super) fn account<T>(request: &Request<T>) -> Arc<Account> {
    request.extensions().get::<Arc<Account>>().cloned().unwrap_or_else(Account::detached)
}

fn named(
    metadata: &MetadataMap,
    entry: &'static str,
    is_legal: fn(&str) -> bool,
    configured: &Arc<str>,
) -> Result<Arc<str>, Status> {
    let Some(value) = metadata.get(entry) else { return Ok(configured.clone()) };
    match value.to_str() {
        Ok(text) if text == &**configured => Ok(configured.clone()),
        Ok(text) if is_legal(text) => Ok(text.into()),
        _ => Err(status::invalid(format!("The metadata entry {entry} is not one."))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn callers_that_metadata_do_not_name_are_the_configured_ones() {
        let configured: Arc<str> = "000000000000".into();
        let account = |value: Option<&str>| {
            let mut metadata = MetadataMap::new();
            if let Some(value) = value {
                metadata.insert(ACCOUNT, value.parse().unwrap());
            }
            named(&metadata, ACCOUNT, is_account, &configured)
        };
        assert_eq!(&*account(None).unwrap(), "000000000000");
        assert_eq!(&*account(Some("123456789012")).unwrap(), "123456789012");
        for wrong in ["", "12345678901", "12345678901x"] {
            assert_eq!(account(Some(wrong)).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
        }
    }
}
