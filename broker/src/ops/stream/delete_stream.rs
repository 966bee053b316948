//! DeleteStream: removes a stream and its records, in any state it is in.
//!
//! Its consumers prevent it, unless EnforceConsumerDeletion deletes them too; those that are being deregistered do
//! not. So do members of its consumer groups; a group without any goes along.
//!
//! Errors: ResourceNotFound, ResourceInUse when there are consumers.

use std::sync::Arc;

use crate::model::stream::{Consumer, ConsumerStatus, Stream, StreamStatus};
use crate::ops::api::DeleteStreamInput;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Begins the deletion; one that is under way is left to itself.
pub async fn run(service: &Arc<Service>, call: &Call, input: &DeleteStreamInput) -> Result<(), Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    check(&stream, service.has_group_members(stream.uid), input)?;
    let spares_consumed = input.enforce_consumer_deletion != Some(true);
    let deleted = service.delete_stream(stream.uid, spares_consumed).await;
    deleted.map_err(|error| Fault::of_stream(error, &stream.key))
}

fn check(stream: &Stream, has_group_members: bool, input: &DeleteStreamInput) -> Result<(), Fault> {
    let is_staying = |consumer: &Consumer| consumer.status != ConsumerStatus::Deleting;
    // A deletion that is under way was let through before.
    if stream.status == StreamStatus::Deleting
        || input.enforce_consumer_deletion == Some(true)
        || !(has_group_members || stream.consumers.iter().any(is_staying))
    {
        return Ok(());
    }
    Err(Fault::has_consumers(&stream.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn consumers_stand_in_the_way_unless_they_may_go_along() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        let checked =
            |stream: &Stream, body| check(stream, false, &cases::input::<DeleteStreamInput>(body).unwrap());
        let text = "DeleteStream can't delete 000000000000:a because there are consumers associated with this data \
                    stream. To delete a anyway, set the EnforceConsumerDeletion parameter to true to force the \
                    deletion of all the consumers that are associated with it.";
        let refused = Err(Fault::has_consumers(&stream.key));
        assert_eq!(checked(&stream, "{}"), refused);
        assert_eq!(cases::said(checked(&stream, "{}")), ("ResourceInUseException", text.to_owned()));
        assert_eq!(checked(&stream, r#"{"EnforceConsumerDeletion":false}"#), refused);
        assert_eq!(checked(&stream, r#"{"EnforceConsumerDeletion":true}"#), Ok(()));
        stream.consumers[0].status = ConsumerStatus::Deleting;
        assert_eq!(checked(&stream, "{}"), Ok(()));
        let stream = cases::stream("a", 1);
        assert_eq!(checked(&stream, "{}"), Ok(()));
        let with_members = |body| check(&stream, true, &cases::input::<DeleteStreamInput>(body).unwrap());
        assert_eq!(with_members("{}"), refused);
        assert_eq!(with_members(r#"{"EnforceConsumerDeletion":true}"#), Ok(()));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let body = r#"{"StreamName":"a b","StreamARN":"x","StreamId":"y"}"#;
        let fault = cases::input::<DeleteStreamInput>(body).unwrap_err();
        let pattern = "Member must satisfy regular expression pattern: ";
        let expected = [
            ("a b", "streamName", format!("{pattern}[a-zA-Z0-9_.-]+")),
            ("x", "streamARN", format!(r"{pattern}arn:aws.*:kinesis:.*:\d{{12}}:stream/\S+")),
            ("y", "streamId", format!("{pattern}[a-z0-9]{{20}}-[a-z0-9]{{3}}")),
        ];
        let expected =
            expected.each_ref().map(|(value, path, constraint)| (*value, *path, constraint.as_str()));
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }

    #[test]
    fn a_missing_stream_is_reported() {
        let call = cases::call(r#"{"StreamName":"gone","StreamId":"abcdefghij0123456789-abc"}"#);
        let input = cases::read::<DeleteStreamInput>(&call).unwrap();
        let text = "Stream gone under account 000000000000 not found.";
        let found = target::stream(&cases::catalog(vec![]), &call, &input);
        assert_eq!(cases::said(found), ("ResourceNotFoundException", text.to_owned()));
    }
}
