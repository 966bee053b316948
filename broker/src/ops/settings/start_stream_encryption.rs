//! StartStreamEncryption: refused, because encryption needs a keyring, which the broker does not have.
//!
//! Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE, InvalidArgument for the type NONE, and
//! KMSOptInRequired otherwise.

use std::sync::Arc;

use super::encryption;
use crate::ops::api::StartStreamEncryptionInput;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Checks the request and refuses it.
pub fn run(service: &Arc<Service>, call: &Call, input: &StartStreamEncryptionInput) -> Result<(), Fault> {
    let stream = encryption::stream(service, call, input, input.encryption_type)?;
    Err(Fault::EncryptionUnavailable(stream.key.clone()))
}

#[cfg(test)]
mod tests {
    use crate::ops::api::StartStreamEncryptionInput;
    use crate::ops::{Fault, cases};

    #[test]
    fn the_refusal_names_its_reason() {
        let fault = Fault::EncryptionUnavailable(cases::stream("a", 1).key);
        let exception = fault.exception();
        assert_eq!((exception.status, exception.name), (400, "KMSOptInRequired"));
        let text = "Stream a under account 000000000000 cannot be encrypted: encryption needs a keyring, which this \
                    Tidelog does not have.";
        assert_eq!(exception.message, Some(("message", text.to_owned())));
    }

    #[test]
    fn type_and_key_are_required() {
        let fault = cases::input::<StartStreamEncryptionInput>(r#"{"StreamName":"a"}"#).unwrap_err();
        let expected = [
            ("null", "encryptionType", "Member must not be null"),
            ("null", "keyId", "Member must not be null"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
