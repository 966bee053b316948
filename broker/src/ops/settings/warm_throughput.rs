//! Warm throughput: capacity that an on-demand stream has ahead of need, for accounts with the commitment.
//!
//! An open shard takes 1 MiB per second, so a stream has its warm throughput once it has as many open shards; it grows
//! by itself soon after it was asked for. It does not shrink.

use crate::limits::WARM_MIB_PER_SECOND_MAX;
use crate::model::stream::{Stream, StreamMode};
use crate::ops::Fault;
use crate::ops::api::WarmThroughputObject;
use crate::ops::fault::{InvalidArgument, LimitExceeded};

/// Whether a stream in that mode can have that many MiB per second.
///
/// # Errors
/// [`Fault::InvalidArgument`] on a provisioned stream or without the commitment, [`Fault::LimitExceeded`] for more than
/// 10 GiB per second.
pub fn check(mode: StreamMode, is_committed: bool, mib_per_second: u32) -> Result<(), Fault> {
    if mode != StreamMode::OnDemand {
        return Err(Fault::InvalidArgument(InvalidArgument::OnDemandOnly("WarmThroughputMiBps".into())));
    }
    if !is_committed {
        return Err(Fault::InvalidArgument(InvalidArgument::NoCommitment));
    }
    if mib_per_second <= WARM_MIB_PER_SECOND_MAX {
        return Ok(());
    }
    Err(Fault::LimitExceeded(LimitExceeded::WarmThroughput(mib_per_second)))
}

/// Describes the throughput that a stream was asked to have ahead of need, and the part of it that its open
/// shards have.
pub fn describe(stream: &Stream, target_mib_per_second: u32) -> WarmThroughputObject {
    let open = u32::try_from(stream.routes.len()).unwrap_or(u32::MAX);
    WarmThroughputObject {
        target_mibps: Some(target_mib_per_second),
        current_mibps: Some(target_mib_per_second.min(open)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn it_takes_on_demand_and_the_commitment() {
        let (provisioned, on_demand) = (StreamMode::Provisioned, StreamMode::OnDemand);
        assert_eq!(check(on_demand, true, 10_240), Ok(()));
        assert!(matches!(check(on_demand, true, 10_241), Err(Fault::LimitExceeded(_))));
        assert!(matches!(check(on_demand, false, 1), Err(Fault::InvalidArgument(_))));
        assert!(matches!(check(provisioned, true, 1), Err(Fault::InvalidArgument(_))));
    }

    #[test]
    fn the_present_throughput_is_that_of_open_shards() {
        let stream = cases::stream("a", 4);
        for (target, current) in [(0, 0), (3, 3), (4, 4), (9, 4)] {
            let expected = serde_json::json!({"TargetMiBps": target, "CurrentMiBps": current});
            assert_eq!(cases::json(&describe(&stream, target)), expected);
        }
    }
}
