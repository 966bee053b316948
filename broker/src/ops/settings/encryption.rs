//! What both changes of a stream's encryption share.

use std::sync::Arc;

use super::check_active;
use crate::model::stream::Stream;
use crate::ops::fault::InvalidArgument;
use crate::ops::input::Input;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// The stream, which must be ACTIVE, of a request for encryption by KMS, the only one there is.
///
/// # Errors
/// [`Fault::ResourceNotFound`], [`Fault::ResourceInUse`], [`Fault::InvalidArgument`] for the type NONE.
pub fn stream(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Arc<Stream>, Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    check(&stream, input)?;
    Ok(stream)
}

/// The part of it that is pure.
pub fn check(stream: &Stream, input: &Input) -> Result<(), Fault> {
    check_active(stream)?;
    match input.required_text("EncryptionType") {
        "KMS" => Ok(()),
        other => Err(Fault::InvalidArgument(InvalidArgument::EncryptionType(other.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::StreamStatus;
    use crate::ops::cases;

    #[test]
    fn state_and_type_are_checked() {
        let mut stream = cases::stream("a", 1);
        let checked = |stream: &Stream, kind: &str| {
            let body = format!(r#"{{"EncryptionType":"{kind}","KeyId":"k"}}"#);
            check(stream, &cases::input("StartStreamEncryption", &body).unwrap())
        };
        assert_eq!(checked(&stream, "KMS"), Ok(()));
        assert!(matches!(checked(&stream, "NONE"), Err(Fault::InvalidArgument(_))));
        stream.status = StreamStatus::Updating;
        assert!(matches!(checked(&stream, "KMS"), Err(Fault::ResourceInUse(_))));
    }
}
