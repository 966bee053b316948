//! Parsers of single settings. Each error names the values that would have been right; clap names the flag and the
//! value.

use std::time::Duration;

use tidelog::config::{AllowedOrigins, DiskReserve, Durability, LeaseTableLimits, Transitions};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::observability::logs::LogFormat;
use tidelog::observability::requests::RequestLines;
use tidelog::replication::DISK_RESERVE_BYTES_MIN;
use tracing_subscriber::EnvFilter;

/// Longest interval between two syncs, milliseconds: longer ones would no longer be called durable by anyone.
const INTERVAL_MS_MAX: u64 = 60_000;
/// Largest share of a volume that may be kept free, in percent: a broker that may use less has the wrong volume.
const DISK_RESERVE_PERCENT_MAX: u8 = 50;
/// Least bytes of the lease tables of a data group: two items of the largest size, one of each of two accounts.
const LEASE_TABLE_BYTES_MIN: u64 = 1 << 20;
/// Longest delay of a change of state, milliseconds: clients have long given up.
const TRANSITION_MS_MAX: u64 = 600_000;

/// Longest service after the signal to stop, seconds.
const DRAIN_SECONDS_MAX: u64 = 3_600;
/// Least time after which a request may count as slow.
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest time after which a request may count as slow: no request runs that long.
const SLOW_MAX: Duration = Duration::from_secs(3_600);

/// `aws`, `off`, or a list such as `write-bytes=2097152,read-calls=off`.
pub(crate) fn limits(text: &str) -> Result<ShardLimits, String> {
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
    let figure = figure(name, value)?;
    match name {
        "write-bytes" => limits.write_bytes_per_second = figure,
        "write-records" => limits.write_records_per_second = figure,
        "read-bytes" => limits.read_bytes_per_second = figure,
        "read-calls" => limits.read_calls_per_second = figure,
        "iterators" => limits.iterators_per_second = figure,
        "fanout-bytes" => limits.fanout_bytes_per_second = figure,
        _ => {
            return Err(format!(
                "`{name}` is not one of `write-bytes`, `write-records`, `read-bytes`, `read-calls`, `iterators`, \
                 `fanout-bytes`"
            ));
        }
    }
    Ok(limits)
}

/// A whole number above zero, or `off`.
fn figure(name: &str, value: &str) -> Result<Option<u64>, String> {
    match value {
        "off" => Ok(None),
        digits => match digits.parse::<u64>() {
            Ok(figure) if figure > 0 => Ok(Some(figure)),
            _ => Err(format!("`{name}` needs a whole number above zero, or `off`")),
        },
    }
}

/// `aws`, `off`, or a list such as `rates=off,shards=100`.
pub(crate) fn control_limits(text: &str) -> Result<ControlLimits, String> {
    match text {
        "aws" => Ok(ControlLimits::aws()),
        "off" => Ok(ControlLimits::off()),
        list => list.split(',').try_fold(ControlLimits::aws(), control_limit),
    }
}

fn control_limit(mut limits: ControlLimits, part: &str) -> Result<ControlLimits, String> {
    let (name, value) = part
        .trim()
        .split_once('=')
        .ok_or_else(|| format!("`{part}` is not `aws`, `off`, or a list such as `rates=off,shards=100`"))?;
    // No account comes near the bound of 32 bits.
    let count =
        |value| figure(name, value).map(|figure| figure.map(|it| u32::try_from(it).unwrap_or(u32::MAX)));
    let bound = |count: Option<u32>| count.ok_or_else(|| format!("`{name}` needs a whole number above zero"));
    match (name, value) {
        ("rates", "on") => limits.rates = true,
        ("rates", "off") => limits.rates = false,
        ("rates", _) => return Err("`rates` is `on` or `off`".into()),
        ("shards", value) => limits.shards_max = count(value)?,
        ("on-demand-streams", value) => limits.on_demand_streams_max = count(value)?,
        ("cluster-streams", value) => limits.cluster_streams_max = bound(count(value)?)?,
        ("cluster-shards", value) => limits.cluster_shards_max = bound(count(value)?)?,
        _ => {
            return Err(format!(
                "`{name}` is not one of `rates`, `shards`, `on-demand-streams`, `cluster-streams`, `cluster-shards`"
            ));
        }
    }
    Ok(limits)
}

/// A list such as `tables=1000,bytes=16MiB`.
pub(crate) fn lease_table_limits(text: &str) -> Result<LeaseTableLimits, String> {
    text.split(',').try_fold(LeaseTableLimits::default(), lease_table_limit)
}

fn lease_table_limit(mut limits: LeaseTableLimits, part: &str) -> Result<LeaseTableLimits, String> {
    let (name, value) = part
        .trim()
        .split_once('=')
        .ok_or_else(|| format!("`{part}` is not part of a list such as `tables=1000,bytes=16MiB`"))?;
    let count = || match value.parse::<u64>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{name}` needs a whole number above zero")),
    };
    match name {
        "tables" => limits.tables = count()?,
        "items" => limits.items = count()?,
        "bytes" => {
            limits.group_bytes = size(value)?;
            if !(LEASE_TABLE_BYTES_MIN..=LeaseTableLimits::GROUP_BYTES_MAX).contains(&limits.group_bytes) {
                return Err("`bytes` is 1MiB to 32MiB".into());
            }
        }
        _ => return Err(format!("`{name}` is not one of `tables`, `items`, `bytes`")),
    }
    Ok(limits)
}

/// Milliseconds for every change, or a list such as `create-stream=500,delete-stream=500`.
pub(crate) fn transitions(text: &str) -> Result<Transitions, String> {
    if !text.contains('=') {
        return delay(text).map(Transitions::all);
    }
    text.split(',').try_fold(Transitions::default(), transition)
}

fn transition(mut transitions: Transitions, part: &str) -> Result<Transitions, String> {
    let (name, value) = part.trim().split_once('=').unwrap_or((part, ""));
    let change = match name {
        "create-stream" => &mut transitions.create_stream,
        "delete-stream" => &mut transitions.delete_stream,
        "register-consumer" => &mut transitions.register_consumer,
        "deregister-consumer" => &mut transitions.deregister_consumer,
        "split-shard" => &mut transitions.split_shard,
        "merge-shards" => &mut transitions.merge_shards,
        "update-shard-count" => &mut transitions.update_shard_count,
        _ => {
            return Err(format!(
                "`{name}` is not one of `create-stream`, `delete-stream`, `register-consumer`, `deregister-consumer`, \
                 `split-shard`, `merge-shards`, `update-shard-count`"
            ));
        }
    };
    *change = delay(value)?;
    Ok(transitions)
}

fn delay(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(delay_ms) if delay_ms <= TRANSITION_MS_MAX => Ok(Duration::from_millis(delay_ms)),
        _ => Err(format!("`{text}` is not a number of milliseconds from 0 to {TRANSITION_MS_MAX}")),
    }
}

/// Seconds of service after the signal to stop.
pub(crate) fn drain(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds <= DRAIN_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is not a number of seconds from 0 to {DRAIN_SECONDS_MAX}")),
    }
}

/// `fsync` or `interval=MILLISECONDS`.
pub(crate) fn durability(text: &str) -> Result<Durability, String> {
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

/// Bytes, or a number of KiB, MiB or GiB, such as `512MiB`; as much as a broker needs at least.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < tidelog::room::BYTES_MIN as u64 {
        return Err("a broker needs 192MiB at least".into());
    }
    Ok(bytes)
}

/// Bytes, or a number of KiB, MiB or GiB.
fn size(text: &str) -> Result<u64, String> {
    let unit = |(name, shift)| text.strip_suffix(name).map(|digits| (digits.trim_end(), shift));
    let (digits, shift) =
        [("KiB", 10), ("MiB", 20), ("GiB", 30)].into_iter().find_map(unit).unwrap_or((text, 0));
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "it is a number of bytes, or one with KiB, MiB or GiB, such as `512MiB`".into())
}

/// `auto`, bytes such as `512MiB`, or a share of the volume such as `5%`.
pub(crate) fn disk_reserve(text: &str) -> Result<DiskReserve, String> {
    if text == "auto" {
        return Ok(DiskReserve::Auto);
    }
    if let Some(share) = text.strip_suffix('%') {
        return match share.trim().parse::<u8>() {
            Ok(percent) if (1..=DISK_RESERVE_PERCENT_MAX).contains(&percent) => {
                Ok(DiskReserve::Percent(percent))
            }
            _ => Err(format!("a share of the volume is `1%` to `{DISK_RESERVE_PERCENT_MAX}%`")),
        };
    }
    match size(text)? {
        bytes if bytes >= DISK_RESERVE_BYTES_MIN => Ok(DiskReserve::Bytes(bytes)),
        _ => Err("votes, trims and checkpoints need at least 40MiB".into()),
    }
}

/// `*`, `off`, or origins separated by commas; nothing is the default.
pub(crate) fn origins(text: &str) -> Result<AllowedOrigins, String> {
    if text.is_empty() { Ok(AllowedOrigins::default()) } else { text.parse() }
}

/// A DNS name without a port.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.split('.').all(is_label) {
        Ok(text.into())
    } else {
        Err("a host is a name without a port, such as kinesis.example".into())
    }
}

/// 12 digits.
pub(crate) fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.into())
    } else {
        Err("an account is 12 digits, such as 000000000000".into())
    }
}

/// 1 to 32 lower-case letters, digits and hyphens: the characters that an ARN may have.
pub(crate) fn region(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=32).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.into())
    } else {
        Err("a region is 1 to 32 lower-case letters, digits and hyphens, such as us-east-1".into())
    }
}

/// `text` or `json`.
pub(crate) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("a format of the log is text or json".into()),
    }
}

/// `off`, `errors`, `all` or `slow=TIME`.
pub(crate) fn log_requests(text: &str) -> Result<RequestLines, String> {
    let slow = |time: &str| {
        let (figure, unit_ms) = match time.strip_suffix("ms") {
            Some(figure) => (figure, 1),
            None => (time.strip_suffix('s')?, 1_000),
        };
        let figure: u64 = figure.parse().ok()?;
        let time = Duration::from_millis(figure.checked_mul(unit_ms)?);
        (MILLISECOND..=SLOW_MAX).contains(&time).then_some(RequestLines::Slow(time))
    };
    match text {
        "off" => Ok(RequestLines::Off),
        "errors" => Ok(RequestLines::Errors),
        "all" => Ok(RequestLines::All),
        _ => text.strip_prefix("slow=").and_then(slow).ok_or_else(|| {
            "requests to log are off, errors, all, or slow=TIME with a time of 1ms to 3600s".into()
        }),
    }
}

/// Anything the log filter understands.
pub(crate) fn log(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.into()).map_err(|error| error.to_string())
}
