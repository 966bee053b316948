//! GetResourcePolicy: the policy of a stream or a consumer, as it was put; `{}` when it has none (recorded).
//!
//! Errors: ResourceNotFound, InvalidArgument for an ARN of something else.

use std::sync::Arc;

use tidelog_proto::Document;

use crate::ops::input::Input;
use crate::ops::resource::Resource;
use crate::ops::{Call, Fault, Reply};
use crate::service::Service;

/// Gives the policy.
pub fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    Ok(call.reply(&answer(&Resource::named(&service.catalog(), input)?)))
}

fn answer(resource: &Resource) -> Document {
    Document::structure([("Policy", resource.policy().unwrap_or("{}").into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn a_stream_and_its_consumer_have_policies_of_their_own() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        stream.consumers[0].policy = Some("{ \"Statement\": [] }".into());
        let catalog = cases::catalog(vec![stream.clone()]);
        for (rest, expected) in [("", "{}"), ("/consumer/app:1699998200", "{ \"Statement\": [] }")] {
            let body = format!(r#"{{"ResourceARN":"{}{rest}"}}"#, stream.key.arn());
            let resource =
                Resource::named(&catalog, &cases::input("GetResourcePolicy", &body).unwrap()).unwrap();
            assert_eq!(cases::json(&answer(&resource)), serde_json::json!({"Policy": expected}));
        }
    }
}
