//! Streams that are to be there once the broker has started, in the words of kinesis-mock: `NAME[:SHARDS[:REGION]]`.

use std::sync::Arc;

use tidelog::config::InitialStream;
use tidelog::limits::{SHARDS_BY_DEFAULT, SHARDS_PER_ACCOUNT_MAX};
use tidelog::model::stream_name::StreamName;

use super::values;

/// One stream; shards and region may be empty or absent.
pub(crate) fn stream(text: &str) -> Result<InitialStream, String> {
    let mut parts = text.trim().split(':');
    let (name, shards, region) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(format!("`{text}` has more than a name, a number of shards and a region"));
    }
    let Some(name) = StreamName::parse(name) else {
        return Err(format!(
            "`{name}` is not the name of a stream: 1 to 128 letters, digits, `_`, `.` and `-`"
        ));
    };
    let shard_count = match shards.filter(|shards| !shards.is_empty()) {
        None => SHARDS_BY_DEFAULT,
        Some(digits) => match digits.parse::<u32>() {
            Ok(count) if (1..=SHARDS_PER_ACCOUNT_MAX).contains(&count) => count,
            _ => {
                return Err(format!(
                    "`{digits}` is not a number of shards from 1 to {SHARDS_PER_ACCOUNT_MAX}"
                ));
            }
        },
    };
    let region = region.filter(|region| !region.is_empty()).map(values::region).transpose()?;
    Ok(InitialStream { name: name.into_shared(), shard_count, region: region.map(Arc::from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_region_may_be_left_out() {
        for (text, shard_count, region) in [
            ("a", 4, None),
            ("a:", 4, None),
            ("a:1", 1, None),
            (" a:2:", 2, None),
            ("a::us-west-2", 4, Some("us-west-2")),
            ("a:3:us-west-2 ", 3, Some("us-west-2")),
        ] {
            let expected = InitialStream { name: "a".into(), shard_count, region: region.map(Arc::from) };
            assert_eq!(stream(text), Ok(expected), "{text}");
        }
        for text in ["", ":1", "a b", "a:0", "a:20001", "a:x", "a:-1", "a:1:US", "a:1:us-east-1:x"] {
            assert!(stream(text).is_err(), "{text}");
        }
    }
}
