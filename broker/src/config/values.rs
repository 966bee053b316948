//! Parsers of single settings. Each error says what would have been right; clap names the flag and the value.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::Durability;
use crate::limits::ShardLimits;

/// Longest interval between two syncs, milliseconds: longer ones would no longer be called durable by anyone.
const INTERVAL_MS_MAX: u64 = 60_000;

/// `aws`, `off`, or a list such as `write-bytes=2097152,read-calls=off`.
pub(super) fn limits(text: &str) -> Result<ShardLimits, String> {
    match text {
        "aws" => Ok(ShardLimits::aws()),
        "off" => Ok(ShardLimits::off()),
        list => list.split(',').try_fold(ShardLimits::aws(), limit),
    }
}

fn limit(mut limits: ShardLimits, part: &str) -> Result<ShardLimits, String> {
    let (name, value) = part.trim().split_once('=').ok_or_else(|| {
        format!("`{part}` is not `aws`, `off`, or a list such as `write-bytes=2097152,read-calls=off`")
    })?;
    let figure = match value {
        "off" => None,
        digits => match digits.parse::<u64>() {
            Ok(figure) if figure > 0 => Some(figure),
            _ => return Err(format!("`{name}` needs a whole number above zero, or `off`")),
        },
    };
    match name {
        "write-bytes" => limits.write_bytes_per_second = figure,
        "write-records" => limits.write_records_per_second = figure,
        "read-bytes" => limits.read_bytes_per_second = figure,
        "read-calls" => limits.read_calls_per_second = figure,
        _ => {
            return Err(format!(
                "`{name}` is not one of `write-bytes`, `write-records`, `read-bytes`, `read-calls`"
            ));
        }
    }
    Ok(limits)
}

/// `fsync` or `interval=MILLISECONDS`.
pub(super) fn durability(text: &str) -> Result<Durability, String> {
    if text == "fsync" {
        return Ok(Durability::Fsync);
    }
    let milliseconds = text.strip_prefix("interval=").and_then(|digits| digits.parse::<u64>().ok());
    match milliseconds {
        Some(interval) if (1..=INTERVAL_MS_MAX).contains(&interval) => {
            Ok(Durability::Interval(Duration::from_millis(interval)))
        }
        _ => Err("it is `fsync`, or `interval=MILLISECONDS` with 1 to 60000".into()),
    }
}

/// 12 digits.
pub(super) fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.into())
    } else {
        Err("an account is 12 digits, such as 000000000000".into())
    }
}

/// 1 to 32 lower-case letters, digits and hyphens: what may stand in an ARN.
pub(super) fn region(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=32).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.into())
    } else {
        Err("a region is 1 to 32 lower-case letters, digits and hyphens, such as us-east-1".into())
    }
}

/// Anything the log filter understands.
pub(super) fn log(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.into()).map_err(|error| error.to_string())
}
