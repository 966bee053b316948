//! GetResourcePolicy: the policy of a stream or a consumer, as it was put; `{}` when it has none (recorded).
//!
//! Errors: ResourceNotFound, InvalidArgument for an ARN of something else.

use std::sync::Arc;

use crate::ops::Fault;
use crate::ops::api::{GetResourcePolicyInput, GetResourcePolicyOutput};
use crate::ops::resource::Resource;
use crate::service::Service;

/// Returns the policy of a stream or consumer, or `{}` when it has none.
pub fn run(service: &Arc<Service>, input: &GetResourcePolicyInput) -> Result<GetResourcePolicyOutput, Fault> {
    Ok(answer(&Resource::named(&service.catalog(), input)?))
}

fn answer(resource: &Resource) -> GetResourcePolicyOutput {
    GetResourcePolicyOutput { policy: resource.policy().unwrap_or("{}").to_owned() }
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
                Resource::named(&catalog, &cases::input::<GetResourcePolicyInput>(&body).unwrap()).unwrap();
            assert_eq!(cases::json(&answer(&resource)), serde_json::json!({"Policy": expected}));
        }
    }
}
