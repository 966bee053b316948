//! Checks that both changes of a stream's encryption share.

use std::sync::Arc;

use super::check_active;
use crate::model::stream::Stream;
use crate::ops::api::{Choice, EncryptionType, Targets};
use crate::ops::fault::InvalidArgument;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// The stream, which must be ACTIVE, of a request for encryption by KMS, the only one there is.
///
/// # Errors
/// [`Fault::ResourceNotFound`], [`Fault::ResourceInUse`], [`Fault::InvalidArgument`] for the type NONE.
pub fn stream(
    service: &Arc<Service>,
    call: &Call,
    targets: &dyn Targets,
    kind: EncryptionType,
) -> Result<Arc<Stream>, Fault> {
    let stream = target::stream(&service.catalog(), call, targets)?;
    check(&stream, kind)?;
    Ok(stream)
}

/// The part of it that is pure.
pub fn check(stream: &Stream, kind: EncryptionType) -> Result<(), Fault> {
    check_active(stream)?;
    match kind {
        EncryptionType::Kms => Ok(()),
        EncryptionType::None => {
            Err(Fault::InvalidArgument(InvalidArgument::EncryptionType(kind.name().to_owned())))
        }
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
        assert_eq!(check(&stream, EncryptionType::Kms), Ok(()));
        assert!(matches!(check(&stream, EncryptionType::None), Err(Fault::InvalidArgument(_))));
        stream.status = StreamStatus::Updating;
        assert!(matches!(check(&stream, EncryptionType::Kms), Err(Fault::ResourceInUse(_))));
    }
}
