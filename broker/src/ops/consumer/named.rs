//! The consumer that a request means: by ConsumerARN, or by StreamARN and ConsumerName, or by all three if they agree.

use std::sync::Arc;

use crate::model::stream::{Catalog, Consumer, Stream};
use crate::ops::api::Targets;
use crate::ops::fault::InvalidTarget;
use crate::ops::{Call, Fault, target};

/// The consumer and its stream.
///
/// # Errors
/// [`Fault::InvalidArgument`] when too few members are there or they do not agree, [`Fault::ResourceNotFound`].
pub fn named(
    catalog: &Catalog,
    call: &Call,
    targets: &dyn Targets,
    name: Option<&str>,
) -> Result<(Arc<Stream>, Consumer), Fault> {
    let stream_arn = targets.stream_arn();
    let Some(consumer_arn) = targets.consumer_arn() else {
        let (Some(stream_arn), Some(name)) = (stream_arn, name) else {
            return Err(InvalidTarget::NoConsumer.into());
        };
        let stream = target::find(catalog, &target::named(call, None, Some(stream_arn))?)?;
        let consumer =
            stream.consumer(name).cloned().ok_or_else(|| Fault::consumer_not_found(&stream.key))?;
        return Ok((stream, consumer));
    };
    let stream_key = stream_arn.map(|arn| target::named(call, None, Some(arn))).transpose()?;
    let (stream, consumer) = target::consumer(catalog, consumer_arn)?;
    let agrees =
        stream_key.is_none_or(|key| key == stream.key) && name.is_none_or(|name| name == &*consumer.name);
    if agrees {
        return Ok((stream, consumer));
    }
    Err(InvalidTarget::ConsumerNamesDiffer.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::DescribeStreamConsumerInput;
    use crate::ops::cases;

    #[test]
    fn arn_and_name_lead_to_the_same_consumer() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7), cases::consumer("other", 8)];
        let catalog = cases::catalog(vec![stream.clone()]);
        let find = |body: &str| {
            let input = cases::input::<DescribeStreamConsumerInput>(body)?;
            named(&catalog, &cases::call(body), &input, input.consumer_name.as_deref())
                .map(|(_, consumer)| consumer.uid)
        };
        let arn = stream.key.arn();
        let by_arn =
            format!(r#""ConsumerARN":"{arn}/consumer/app:{}""#, stream.consumers[0].created_ms / 1_000);
        let by_stream = format!(r#""StreamARN":"{arn}""#);
        for body in [
            format!("{{{by_arn}}}"),
            format!(r#"{{{by_stream},"ConsumerName":"app"}}"#),
            format!(r#"{{{by_arn},{by_stream},"ConsumerName":"app"}}"#),
            format!(r#"{{{by_arn},"ConsumerName":"app"}}"#),
        ] {
            assert_eq!(find(&body), Ok(7), "{body}");
        }
        for body in [
            "{}".to_owned(),
            format!("{{{by_stream}}}"),
            r#"{"ConsumerName":"app"}"#.to_owned(),
            format!(r#"{{{by_arn},"ConsumerName":"other"}}"#),
            format!(r#"{{{by_arn},"StreamARN":"{arn}2"}}"#),
        ] {
            assert!(matches!(find(&body), Err(Fault::InvalidArgument(_))), "{body}");
        }
        let gone = find(&format!(r#"{{{by_stream},"ConsumerName":"gone"}}"#));
        assert_eq!(gone, Err(Fault::consumer_not_found(&stream.key)));
    }
}
