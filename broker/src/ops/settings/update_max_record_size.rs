//! UpdateMaxRecordSize: sets the most KiB of data and key of one record of a stream. The present value is fine and
//! changes nothing; records that are there already stay.
//!
//! Limits: 1,024 to 10,240 KiB. Errors: ResourceNotFound, ResourceInUse when the stream is not ACTIVE.

use std::sync::Arc;

use super::check_active;
use crate::ops::api::UpdateMaxRecordSizeInput;
use crate::ops::{Call, Fault, target};
use crate::service::{Service, StreamChange};

/// Sets the size.
pub async fn run(service: &Arc<Service>, call: &Call, input: &UpdateMaxRecordSizeInput) -> Result<(), Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    check_active(&stream)?;
    let kib = input.max_record_size_in_kib;
    if kib == stream.max_record_kib {
        return Ok(());
    }
    let change = StreamChange { max_record_kib: Some(kib), ..StreamChange::default() };
    let changed = service.change_stream(stream.uid, change).await;
    changed.map_err(|error| Fault::of_stream(error, &stream.key))
}

#[cfg(test)]
mod tests {
    use crate::ops::api::UpdateMaxRecordSizeInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        for (kib, constraint) in [
            (1_023, "Member must have value greater than or equal to 1024"),
            (10_241, "Member must have value less than or equal to 10240"),
        ] {
            let body = format!(r#"{{"MaxRecordSizeInKiB":{kib}}}"#);
            let fault = cases::input::<UpdateMaxRecordSizeInput>(&body).unwrap_err();
            let expected = cases::expected(&[(&kib.to_string(), "maxRecordSizeInKiB", constraint)]);
            assert_eq!(cases::violations(&fault), expected);
        }
        let fault = cases::input::<UpdateMaxRecordSizeInput>("{}").unwrap_err();
        let expected = cases::expected(&[("null", "maxRecordSizeInKiB", "Member must not be null")]);
        assert_eq!(cases::violations(&fault), expected);
    }
}
