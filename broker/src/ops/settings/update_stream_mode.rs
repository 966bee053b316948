//! UpdateStreamMode: makes a stream provisioned or on demand. Its shards stay. The present mode is fine and changes
//! nothing, save for a warm throughput that comes with it.
//!
//! A stream that becomes provisioned loses the settings that only on-demand streams have: the strategy AUTO and
//! warm throughput.
//!
//! Limits: 2 switches of a stream within 24 hours, the account's on-demand streams and shards. Errors:
//! ResourceNotFound, ResourceInUse when the stream is not ACTIVE, InvalidArgument for a warm throughput that it cannot
//! have, LimitExceeded.

use std::sync::Arc;

use super::{check_active, warm_throughput};
use crate::model::stream::{Stream, StreamMode};
use crate::ops::api::UpdateStreamModeInput;
use crate::ops::stream::description;
use crate::ops::{Call, Fault, target};
use crate::service::{Service, StreamChange};

/// The mode and throughput that a request asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    mode: StreamMode,
    warm_mib_per_second: Option<u32>,
}

/// Switches the mode.
pub async fn run(service: &Arc<Service>, call: &Call, input: &UpdateStreamModeInput) -> Result<(), Fault> {
    let (catalog, now_ms) = (service.catalog(), service.now_ms());
    let stream = target::stream(&catalog, call, input)?;
    let asked = Asked {
        mode: description::mode(input.stream_mode_details.stream_mode),
        warm_mib_per_second: input.warm_throughput_mibps,
    };
    let is_committed = catalog.has_commitment(&stream.key, now_ms);
    let change = decide(&stream, asked, is_committed)?;
    if change == StreamChange::default() {
        return Ok(());
    }
    let changed = service.change_stream(stream.uid, change).await;
    changed.map_err(|error| Fault::of_stream(error, &stream.key))
}

/// Decides which settings change.
fn decide(stream: &Stream, asked: Asked, is_committed: bool) -> Result<StreamChange, Fault> {
    check_active(stream)?;
    if let Some(warm) = asked.warm_mib_per_second.filter(|warm| *warm > 0) {
        warm_throughput::check(asked.mode, is_committed, warm)?;
    }
    let mut change = StreamChange {
        warm_mib_per_second: asked.warm_mib_per_second.filter(|warm| *warm != stream.warm_mib_per_second),
        ..StreamChange::default()
    };
    if asked.mode == stream.mode {
        return Ok(change);
    }
    change.mode = Some(asked.mode);
    if asked.mode == StreamMode::Provisioned {
        change.warm_mib_per_second = Some(0);
        change.is_auto_distributed = Some(false);
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::StreamStatus;
    use crate::ops::cases;

    const ON_DEMAND: StreamMode = StreamMode::OnDemand;
    const PROVISIONED: StreamMode = StreamMode::Provisioned;

    fn decided(stream: &Stream, mode: StreamMode, warm: Option<u32>) -> Result<StreamChange, Fault> {
        decide(stream, Asked { mode, warm_mib_per_second: warm }, true)
    }

    #[test]
    fn settings_of_on_demand_streams_are_dropped() {
        let provisioned = cases::stream("a", 1);
        let on_demand = Stream {
            mode: ON_DEMAND,
            is_auto_distributed: true,
            warm_mib_per_second: 8,
            ..provisioned.clone()
        };
        let none = StreamChange::default();
        let away = StreamChange {
            mode: Some(PROVISIONED),
            warm_mib_per_second: Some(0),
            is_auto_distributed: Some(false),
            ..none
        };
        let warm = |mib| StreamChange { warm_mib_per_second: Some(mib), ..none };
        for (stream, mode, warm_asked, expected) in [
            (&provisioned, PROVISIONED, None, none),
            (&provisioned, PROVISIONED, Some(0), none),
            (&provisioned, ON_DEMAND, None, StreamChange { mode: Some(ON_DEMAND), ..none }),
            (&provisioned, ON_DEMAND, Some(9), StreamChange { mode: Some(ON_DEMAND), ..warm(9) }),
            (&on_demand, ON_DEMAND, None, none),
            (&on_demand, ON_DEMAND, Some(8), none),
            (&on_demand, ON_DEMAND, Some(9), warm(9)),
            (&on_demand, PROVISIONED, None, away),
        ] {
            assert_eq!(decided(stream, mode, warm_asked), Ok(expected), "{mode:?} {warm_asked:?}");
        }
        assert!(matches!(decided(&on_demand, PROVISIONED, Some(9)), Err(Fault::InvalidArgument(_))));
        let updating = Stream { status: StreamStatus::Updating, ..on_demand };
        assert!(matches!(decided(&updating, ON_DEMAND, None), Err(Fault::ResourceInUse(_))));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault = cases::input::<UpdateStreamModeInput>(r#"{"StreamModeDetails":{}}"#).unwrap_err();
        let expected = [
            ("null", "streamARN", "Member must not be null"),
            ("null", "streamModeDetails.streamMode", "Member must not be null"),
        ];
        assert_eq!(cases::violations(&fault), cases::expected(&expected));
    }
}
