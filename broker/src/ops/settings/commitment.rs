//! How an account's commitment to a minimum throughput is described.
//!
//! A commitment stands for 24 hours at least. One that is disabled before has the status
//! ENABLED_UNTIL_EARLIEST_ALLOWED_END and is in force until then, which EndedAt says; enabling it again begins a new
//! one. (The model has the statuses and times; nobody recorded how they go together.)

use crate::model::stream::Commitment;
use crate::ops::api::MinimumThroughputBillingCommitmentOutputStatus::{self as Status, *};
use crate::ops::api::{MinimumThroughputBillingCommitmentOutput, Timestamp};

/// The commitment of an account that has one, or never had one.
pub fn describe(commitment: Option<&Commitment>, now_ms: u64) -> MinimumThroughputBillingCommitmentOutput {
    MinimumThroughputBillingCommitmentOutput {
        status: commitment.map_or(Disabled, |own| status(own, now_ms)),
        started_at: commitment.map(|own| Timestamp::from_ms(own.started_ms)),
        earliest_allowed_end_at: commitment.map(|own| Timestamp::from_ms(own.earliest_end_ms())),
        ended_at: commitment.and_then(Commitment::end_ms).map(Timestamp::from_ms),
    }
}

fn status(commitment: &Commitment, now_ms: u64) -> Status {
    match (commitment.is_enabled, commitment.is_in_force(now_ms)) {
        (true, _) => Enabled,
        (false, true) => EnabledUntilEarliestAllowedEnd,
        (false, false) => Disabled,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ops::cases::{self, NOW_MS};

    #[test]
    fn a_commitment_stands_for_a_day_at_least() {
        const HOUR_MS: u64 = 3_600_000;
        let (started_ms, started_s) = (NOW_MS - 10 * HOUR_MS, 1_699_964_000.0);
        let earliest_s = started_s + 86_400.0;
        let commitment =
            |ended_ms: Option<u64>| Some(Commitment { is_enabled: ended_ms.is_none(), started_ms, ended_ms });
        let times = |status: &str| json!({"Status": status, "StartedAt": started_s, "EarliestAllowedEndAt": earliest_s});
        let ending = |status: &str, ended_s: f64| {
            let mut described = times(status);
            described["EndedAt"] = json!(ended_s);
            described
        };
        let early = commitment(Some(NOW_MS - HOUR_MS));
        for (commitment, now_ms, expected) in [
            (None, NOW_MS, json!({"Status": "DISABLED"})),
            (commitment(None), NOW_MS, times("ENABLED")),
            (commitment(None), NOW_MS + 100 * HOUR_MS, times("ENABLED")),
            (early, NOW_MS, ending("ENABLED_UNTIL_EARLIEST_ALLOWED_END", earliest_s)),
            (early, NOW_MS + 14 * HOUR_MS, ending("DISABLED", earliest_s)),
            (
                commitment(Some(NOW_MS + 50 * HOUR_MS)),
                NOW_MS + 50 * HOUR_MS,
                ending("DISABLED", started_s + 60.0 * 3_600.0),
            ),
        ] {
            assert_eq!(cases::json(&describe(commitment.as_ref(), now_ms)), expected, "{commitment:?}");
        }
    }
}
