//! The resource of tags and policies: a stream, or a consumer of one.

use std::sync::Arc;

use crate::model::arn::{ConsumerArn, StreamArn};
use crate::model::stream::{Catalog, Consumer, Stream, Tags};
use crate::ops::api::Targets;
use crate::ops::fault::{InvalidTarget, NotFound, ResourceName};
use crate::ops::{Call, Fault, target};
use crate::service::ResourceId;

/// A stream, or one of its consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    stream: Arc<Stream>,
    consumer: Option<Consumer>,
}

impl Resource {
    /// The one that a request names by ResourceARN.
    ///
    /// # Errors
    /// [`Fault::ResourceNotFound`] when there is none, which includes queues and channels: there are none at all.
    /// [`Fault::InvalidArgument`] when a stream's name in the ARN is none.
    pub fn named(catalog: &Catalog, targets: &dyn Targets) -> Result<Self, Fault> {
        let arn = targets.resource_arn().expect("the model requires a ResourceARN");
        if ConsumerArn::parse(arn).is_some() {
            let (stream, consumer) = target::consumer(catalog, arn)?;
            return Ok(Self { stream, consumer: Some(consumer) });
        }
        if let Some(StreamArn(key)) = StreamArn::parse(arn) {
            return Ok(Self { stream: target::find(catalog, &key)?, consumer: None });
        }
        let kind = arn.splitn(6, ':').nth(5).and_then(|resource| resource.split('/').next());
        Err(match kind {
            Some("queue" | "channel") => Fault::ResourceNotFound(NotFound::Resource { arn: arn.to_owned() }),
            _ => InvalidTarget::ResourceArn(arn.to_owned()).into(),
        })
    }

    /// The stream that a request names by StreamName or StreamARN.
    ///
    /// # Errors
    /// As [`target::stream`].
    pub fn named_stream(catalog: &Catalog, call: &Call, targets: &dyn Targets) -> Result<Self, Fault> {
        Ok(Self { stream: target::stream(catalog, call, targets)?, consumer: None })
    }

    /// For the service.
    pub fn id(&self) -> ResourceId {
        ResourceId {
            stream_uid: self.stream.uid,
            consumer_uid: self.consumer.as_ref().map(|consumer| consumer.uid),
        }
    }

    /// The stream, which is also that of a consumer.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns the resource's tags.
    pub fn tags(&self) -> &Tags {
        self.consumer.as_ref().map_or(&self.stream.tags, |consumer| &consumer.tags)
    }

    /// Returns the resource's policy, as it was put.
    pub fn policy(&self) -> Option<&str> {
        let own = self.consumer.as_ref().map_or(&self.stream.policy, |consumer| &consumer.policy);
        own.as_deref()
    }

    /// Returns the resource's name, for faults.
    pub fn name(&self) -> ResourceName {
        let key = self.stream.key.clone();
        match &self.consumer {
            None => ResourceName::Stream(key),
            Some(consumer) => ResourceName::Consumer { key, name: consumer.name.to_string() },
        }
    }

    /// Whether it can be changed: not while its stream, or the consumer, comes or goes.
    ///
    /// # Errors
    /// [`Fault::ResourceInUse`] when it cannot.
    pub fn check_usable(&self) -> Result<(), Fault> {
        use crate::model::stream::ConsumerStatus::Active;

        let key = &self.stream.key;
        match &self.consumer {
            _ if !self.stream.is_usable() => Err(Fault::not_active(key, self.stream.status)),
            Some(consumer) if consumer.status != Active => Err(Fault::consumer_not_active(key, consumer)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{ConsumerStatus, StreamStatus};
    use crate::ops::api::ListTagsForResourceInput;
    use crate::ops::cases;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/a";

    fn named(stream: &Stream, arn: &str) -> Result<Resource, Fault> {
        let input = cases::input::<ListTagsForResourceInput>(&format!(r#"{{"ResourceARN":"{arn}"}}"#))?;
        Resource::named(&cases::catalog(vec![stream.clone()]), &input)
    }

    #[test]
    fn an_arn_names_a_stream_or_a_consumer() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        let consumer_arn = format!("{STREAM}/consumer/app:1699998200");
        let found = named(&stream, STREAM).unwrap();
        assert_eq!(found.id(), ResourceId { stream_uid: 42, consumer_uid: None });
        assert_eq!(found.name(), ResourceName::Stream(stream.key.clone()));
        let found = named(&stream, &consumer_arn).unwrap();
        assert_eq!(found.id(), ResourceId { stream_uid: 42, consumer_uid: Some(7) });
        assert_eq!(found.name(), ResourceName::Consumer { key: stream.key.clone(), name: "app".to_owned() });
        for (arn, is_invalid) in [
            (format!("{STREAM}2"), false),
            (format!("{STREAM}/consumer/app:1"), false),
            ("arn:aws:kinesis:us-east-1:000000000000:queue/x".to_owned(), false),
            ("arn:aws:kinesis:us-east-1:000000000000:channel/x".to_owned(), false),
            (format!("{STREAM}/x"), true),
        ] {
            match named(&stream, &arn) {
                Err(Fault::InvalidArgument(_)) if is_invalid => {}
                Err(Fault::ResourceNotFound(_)) if !is_invalid => {}
                found => panic!("{arn}: {found:?}"),
            }
        }
        let fault = named(&stream, "arn:aws:kinesis:us-east-1:000000000000:other/x").unwrap_err();
        assert_eq!(cases::violations(&fault).len(), 1);
    }

    #[test]
    fn resources_that_come_or_go_cannot_be_changed() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        let consumer_arn = format!("{STREAM}/consumer/app:1699998200");
        assert_eq!(named(&stream, &consumer_arn).unwrap().check_usable(), Ok(()));
        stream.consumers[0].status = ConsumerStatus::Creating;
        let text = "Consumer app with creation timestamp 1699998200 under stream: a , account 000000000000 is not in \
                    ACTIVE status.";
        let refused = named(&stream, &consumer_arn).unwrap().check_usable();
        assert_eq!(cases::said(refused), ("ResourceInUseException", text.to_owned()));
        assert_eq!(named(&stream, STREAM).unwrap().check_usable(), Ok(()));
        stream.status = StreamStatus::Deleting;
        assert!(matches!(named(&stream, STREAM).unwrap().check_usable(), Err(Fault::ResourceInUse(_))));
    }
}
