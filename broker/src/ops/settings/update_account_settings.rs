//! UpdateAccountSettings: enables or disables the commitment of the caller's account in the region, and answers
//! with its new state. A commitment that has the wanted state already keeps it.
//!
//! Nothing is billed; on-demand streams get the benefits that the commitment has at AWS: 50 consumers and warm
//! throughput.
//!
//! Errors: none of its own.

use std::sync::Arc;

use super::describe_account_settings;
use crate::ops::api::MinimumThroughputBillingCommitmentInputStatus::Enabled;
use crate::ops::api::{UpdateAccountSettingsInput, UpdateAccountSettingsOutput};
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Sets the commitment.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &UpdateAccountSettingsInput,
) -> Result<UpdateAccountSettingsOutput, Fault> {
    let is_enabled = input.minimum_throughput_billing_commitment.status == Enabled;
    let set = service.set_commitment(&call.account, &call.region, is_enabled).await;
    set.map_err(|error| Fault::of_stream(error, &target::in_account(call, "".into())))?;
    let commitment = describe_account_settings::commitment(service, call);
    Ok(UpdateAccountSettingsOutput { minimum_throughput_billing_commitment: Some(commitment) })
}

#[cfg(test)]
mod tests {
    use crate::ops::api::UpdateAccountSettingsInput;
    use crate::ops::cases;

    #[test]
    fn a_status_of_the_request_is_enabled_or_disabled() {
        let input = |body: &str| cases::input::<UpdateAccountSettingsInput>(body);
        let body =
            r#"{"MinimumThroughputBillingCommitment":{"Status":"ENABLED_UNTIL_EARLIEST_ALLOWED_END"}}"#;
        let expected = [(
            "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
            "minimumThroughputBillingCommitment.status",
            "Member must satisfy enum value set: [ENABLED, DISABLED]",
        )];
        assert_eq!(cases::violations(&input(body).unwrap_err()), cases::expected(&expected));
        let expected = [("null", "minimumThroughputBillingCommitment", "Member must not be null")];
        assert_eq!(cases::violations(&input("{}").unwrap_err()), cases::expected(&expected));
    }
}
