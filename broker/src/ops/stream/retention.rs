//! Steps that both changes of a stream's retention share: members, order of checks, texts.

use std::sync::Arc;

use tidelog_proto::stored::set_retention;

use crate::limits::{RETENTION_HOURS_MAX, RETENTION_HOURS_MIN};
use crate::model::stream::{Stream, StreamStatus};
use crate::ops::api::Targets;
use crate::ops::fault::InvalidRetention;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// The direction in which the retention may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Not below the present one.
    Up,
    /// Not above the present one.
    Down,
}

/// Sets the retention, unless it is unchanged.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    targets: &dyn Targets,
    requested: i32,
    direction: Direction,
) -> Result<(), Fault> {
    let stream = target::stream(&service.catalog(), call, targets)?;
    let hours = decide(&stream, requested, direction)?;
    if hours == stream.retention_hours {
        return Ok(());
    }
    let direction = match direction {
        Direction::Up => set_retention::Direction::Up,
        Direction::Down => set_retention::Direction::Down,
    };
    let set = service.set_retention(stream.uid, hours, direction).await;
    set.map_err(|error| Fault::of_stream(error, &stream.key))
}

/// The hours to set.
fn decide(stream: &Stream, requested: i32, direction: Direction) -> Result<u32, Fault> {
    let requested = i64::from(requested);
    if requested < i64::from(RETENTION_HOURS_MIN) {
        return Err(InvalidRetention::TooShort(requested).into());
    }
    let Some(hours) = u32::try_from(requested).ok().filter(|hours| *hours <= RETENTION_HOURS_MAX) else {
        return Err(InvalidRetention::TooLong(requested).into());
    };
    if stream.status != StreamStatus::Active {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    let existing = stream.retention_hours;
    let is_wrong = match direction {
        Direction::Up => hours < existing,
        Direction::Down => hours > existing,
    };
    if !is_wrong {
        return Ok(hours);
    }
    Err(InvalidRetention::Direction { stream: stream.key.name.to_string(), hours, existing }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::IncreaseStreamRetentionPeriodInput;
    use crate::ops::cases;

    #[test]
    fn the_retention_goes_the_way_it_is_asked_to() {
        let mut stream = cases::stream("S", 1);
        stream.retention_hours = 48;
        for (requested, up, down) in [
            (24, Err("shorter"), Ok(24)),
            (48, Ok(48), Ok(48)),
            (49, Ok(49), Err("longer")),
            (8_760, Ok(8_760), Err("longer")),
            (8_761, Err("too long"), Err("too long")),
            (2_147_483_647, Err("too long"), Err("too long")),
            (23, Err("too short"), Err("too short")),
            (-1, Err("too short"), Err("too short")),
        ] {
            for (direction, expected) in [(Direction::Up, up), (Direction::Down, down)] {
                match (decide(&stream, requested, direction), expected) {
                    (Ok(hours), Ok(expected)) => assert_eq!(hours, expected),
                    (Err(fault @ Fault::InvalidArgument(_)), Err(part)) => {
                        assert!(fault.exception().text().contains(part), "{fault:?}");
                    }
                    (found, _) => panic!("{requested} {direction:?}: {found:?}"),
                }
            }
        }
    }

    #[test]
    fn texts_are_aws_own() {
        let mut stream = cases::stream("S", 1);
        stream.retention_hours = 25;
        let text = "Requested retention period (24 hours) for stream S can not be shorter than existing retention \
                    period (25 hours). Use DecreaseRetentionPeriod API.";
        assert_eq!(
            cases::said(decide(&stream, 24, Direction::Up)),
            ("InvalidArgumentException", text.to_owned())
        );
        stream.status = StreamStatus::Creating;
        let text = "Stream S under account 000000000000 not ACTIVE, instead in state CREATING";
        assert_eq!(
            cases::said(decide(&stream, 24, Direction::Down)),
            ("ResourceInUseException", text.to_owned())
        );
    }

    #[test]
    fn the_hours_are_required() {
        let fault = cases::input::<IncreaseStreamRetentionPeriodInput>(r#"{"StreamName":"a"}"#).unwrap_err();
        let expected = cases::expected(&[("null", "retentionPeriodHours", "Member must not be null")]);
        assert_eq!(cases::violations(&fault), expected);
    }
}
