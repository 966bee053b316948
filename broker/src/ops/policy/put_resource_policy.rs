//! PutResourcePolicy: keeps a policy with a stream or a consumer, in place of the one before.
//!
//! Limits: 20 KiB. Errors: ResourceNotFound, ResourceInUse while the resource is not ACTIVE (a stream may be
//! UPDATING), InvalidArgument for a document that is no policy.

use std::sync::Arc;

use super::document;
use crate::limits::POLICY_BYTES_MAX;
use crate::ops::Fault;
use crate::ops::api::PutResourcePolicyInput;
use crate::ops::fault::InvalidArgument;
use crate::ops::resource::Resource;
use crate::service::Service;

/// Keeps the policy.
pub async fn run(service: &Arc<Service>, input: &PutResourcePolicyInput) -> Result<(), Fault> {
    let policy = &input.policy;
    let resource = Resource::named(&service.catalog(), input)?;
    check(&resource, policy)?;
    let put = service.set_policy(resource.id(), Some(policy)).await;
    put.map_err(|error| Fault::of_stream(error, &resource.stream().key))
}

fn check(resource: &Resource, policy: &str) -> Result<(), Fault> {
    let invalid =
        |reason| Fault::InvalidArgument(InvalidArgument::Policy { resource: resource.name(), reason });
    if policy.len() > POLICY_BYTES_MAX {
        return Err(invalid(format!("it has more than {POLICY_BYTES_MAX} bytes")));
    }
    document::check(policy).map_err(invalid)?;
    resource.check_usable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{Stream, StreamStatus};
    use crate::ops::cases;

    const POLICY: &str =
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"kinesis:*","Resource":"*"}}"#;

    fn checked(stream: &Stream, policy: &str) -> Result<(), Fault> {
        let input = PutResourcePolicyInput { resource_arn: stream.key.arn(), ..Default::default() };
        check(&Resource::named(&cases::catalog(vec![stream.clone()]), &input).unwrap(), policy)
    }

    #[test]
    fn a_policy_is_checked_before_it_is_kept() {
        let mut stream = cases::stream("a", 1);
        assert_eq!(checked(&stream, POLICY), Ok(()));
        let text =
            "The policy of stream a under account 000000000000 is not valid: Statement is missing or empty.";
        assert_eq!(cases::said(checked(&stream, "{}")), ("InvalidArgumentException", text.to_owned()));
        let padding = " ".repeat(POLICY_BYTES_MAX - POLICY.len());
        assert_eq!(checked(&stream, &format!("{POLICY}{padding}")), Ok(()));
        let text =
            "The policy of stream a under account 000000000000 is not valid: it has more than 20480 bytes.";
        let found = checked(&stream, &format!("{POLICY}{padding} "));
        assert_eq!(cases::said(found), ("InvalidArgumentException", text.to_owned()));
        stream.status = StreamStatus::Creating;
        assert!(matches!(checked(&stream, POLICY), Err(Fault::ResourceInUse(_))));
    }

    #[test]
    fn resource_and_policy_are_required() {
        let fault = cases::input::<PutResourcePolicyInput>("{}").unwrap_err();
        let expected = [
            ("null", "resourceARN", "Member must not be null"),
            ("null", "policy", "Member must not be null"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
