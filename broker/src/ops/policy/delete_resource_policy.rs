//! DeleteResourcePolicy: removes the policy of a stream or a consumer.
//!
//! Errors: ResourceNotFound, also when there is no policy (AWS's answer then is not recorded); ResourceInUse while
//! the resource is not ACTIVE (a stream may be UPDATING).

use std::sync::Arc;

use crate::ops::Fault;
use crate::ops::api::DeleteResourcePolicyInput;
use crate::ops::fault::NotFound;
use crate::ops::resource::Resource;
use crate::service::Service;

/// Removes the policy.
pub async fn run(service: &Arc<Service>, input: &DeleteResourcePolicyInput) -> Result<(), Fault> {
    let resource = Resource::named(&service.catalog(), input)?;
    check(&resource)?;
    let removed = service.set_policy(resource.id(), None).await;
    removed.map_err(|error| Fault::of_stream(error, &resource.stream().key))
}

fn check(resource: &Resource) -> Result<(), Fault> {
    resource.check_usable()?;
    if resource.policy().is_some() {
        return Ok(());
    }
    Err(Fault::ResourceNotFound(NotFound::Policy(resource.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn only_a_policy_that_is_there_is_removed() {
        let mut stream = cases::stream("a", 1);
        let body = format!(r#"{{"ResourceARN":"{}"}}"#, stream.key.arn());
        let input = cases::input::<DeleteResourcePolicyInput>(&body).unwrap();
        let checked = |stream: &crate::model::stream::Stream| {
            check(&Resource::named(&cases::catalog(vec![stream.clone()]), &input).unwrap())
        };
        let text = "The stream a under account 000000000000 has no resource policy.";
        assert_eq!(cases::said(checked(&stream)), ("ResourceNotFoundException", text.to_owned()));
        stream.policy = Some("{}".into());
        assert_eq!(checked(&stream), Ok(()));
    }
}
