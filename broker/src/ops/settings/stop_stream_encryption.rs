//! StopStreamEncryption: succeeds and changes nothing, because no stream is encrypted.
//!
//! Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE, InvalidArgument for the type NONE.

use std::sync::Arc;

use super::encryption;
use crate::ops::api::StopStreamEncryptionInput;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Checks the request.
pub fn run(service: &Arc<Service>, call: &Call, input: &StopStreamEncryptionInput) -> Result<(), Fault> {
    encryption::stream(service, call, input, input.encryption_type).map(|_| ())
}

#[cfg(test)]
mod tests {
    use crate::ops::api::StopStreamEncryptionInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let body = r#"{"StreamName":"a","EncryptionType":"AES","KeyId":""}"#;
        let fault = cases::input::<StopStreamEncryptionInput>(body).unwrap_err();
        let expected = [
            ("AES", "encryptionType", "Member must satisfy enum value set: [NONE, KMS]"),
            ("", "keyId", "Member must have length greater than or equal to 1"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
