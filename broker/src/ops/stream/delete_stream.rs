//! DeleteStream: removes a stream and its records, in any state it is in.
//!
//! EnforceConsumerDeletion is accepted; there are no consumers yet that could stand in the way.
//!
//! Errors: ResourceNotFound.

use std::sync::Arc;

use crate::ops::input::Input;
use crate::ops::{Call, Fault, Reply, target};
use crate::service::Service;

/// Begins the deletion; one that is under way is left to itself.
pub async fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    let deleted = service.delete_stream(stream.uid).await;
    deleted.map(|()| Reply::EMPTY).map_err(|error| Fault::of_stream(error, &stream.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn bounds_are_told_in_aws_words() {
        let body = r#"{"StreamName":"a b","StreamARN":"x","StreamId":"y"}"#;
        let fault = cases::input("DeleteStream", body).unwrap_err();
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
    fn a_stream_that_is_not_there_is_told() {
        let call = cases::call(r#"{"StreamName":"gone","StreamId":"abcdefghij0123456789-abc"}"#);
        let input = call.input("DeleteStream").unwrap();
        let text = "Stream gone under account 000000000000 not found.";
        let found = target::stream(&cases::catalog(vec![]), &call, &input);
        assert_eq!(found, Err(Fault::ResourceNotFound(text.to_owned())));
    }
}
