//! DeregisterStreamConsumer: ends a consumer and its subscriptions. One that ends already is left to itself.
//!
//! Errors: ResourceNotFound, InvalidArgument when the request names no consumer or two.

use std::sync::Arc;

use super::named::named;
use crate::ops::api::DeregisterStreamConsumerInput;
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Begins the end of the consumer.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &DeregisterStreamConsumerInput,
) -> Result<(), Fault> {
    let (stream, consumer) = named(&service.catalog(), call, input, input.consumer_name.as_deref())?;
    let ended = service.deregister_consumer(stream.uid, consumer.uid).await;
    ended.map_err(|error| Fault::of_stream(error, &stream.key))
}

#[cfg(test)]
mod tests {
    use crate::ops::api::DeregisterStreamConsumerInput;
    use crate::ops::cases;

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault = cases::input::<DeregisterStreamConsumerInput>(r#"{"ConsumerARN":"x","StreamId":"y"}"#)
            .unwrap_err();
        let violations = cases::violations(&fault);
        assert_eq!(violations.len(), 2, "{violations:?}");
        assert!(violations.iter().all(|text| text.contains("regular expression")), "{violations:?}");
    }
}
