//! Quotas of an account in a region that several operations have to keep.

use super::Fault;
use crate::limits::{ControlLimits, SHARDS_PER_CHANGE_MAX};
use crate::model::stream::{Catalog, Stream, StreamKey, StreamMode, StreamStatus};

/// Whether a stream can have that many open shards more: one change is bounded, and so is the account in the region.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it cannot.
pub fn check_shards(
    limits: &ControlLimits,
    catalog: &Catalog,
    key: &StreamKey,
    additional: u32,
) -> Result<(), Fault> {
    let StreamKey { account, region, .. } = key;
    if additional > SHARDS_PER_CHANGE_MAX {
        return Err(Fault::LimitExceeded(format!(
            "This request would add {additional} shards to stream {}. Limit: {SHARDS_PER_CHANGE_MAX}.",
            key.name
        )));
    }
    let Some(limit) = limits.shards_max else { return Ok(()) };
    let open = catalog.open_shards(key);
    if open as u64 + u64::from(additional) <= u64::from(limit) {
        return Ok(());
    }
    Err(Fault::LimitExceeded(format!(
        "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the \
         account: {open}. Limit: {limit}. Number of additional shards that would have resulted from this request: \
         {additional}."
    )))
}

/// Whether the account can begin another stream in the region while those that are CREATING are.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it cannot.
pub fn check_creating_streams(
    limits: &ControlLimits,
    catalog: &Catalog,
    key: &StreamKey,
) -> Result<(), Fault> {
    let creating = count(catalog, key, |stream| stream.status == StreamStatus::Creating);
    check(limits.creating_streams_max, creating, key, "streams in the CREATING state")
}

/// Whether the account can have another on-demand stream in the region.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it cannot.
pub fn check_on_demand_streams(
    limits: &ControlLimits,
    catalog: &Catalog,
    key: &StreamKey,
) -> Result<(), Fault> {
    let on_demand = count(catalog, key, |stream| stream.mode == StreamMode::OnDemand);
    check(limits.on_demand_streams_max, on_demand, key, "on-demand streams")
}

/// How many such streams there are beside that of the key.
fn count(catalog: &Catalog, key: &StreamKey, is_such: impl Fn(&Stream) -> bool) -> usize {
    let is_other =
        |other: &StreamKey| other.account == key.account && other.region == key.region && other != key;
    catalog.streams().iter().filter(|(other, stream)| is_other(other) && is_such(stream)).count()
}

fn check(limit: Option<u32>, there: usize, key: &StreamKey, what: &str) -> Result<(), Fault> {
    let Some(limit) = limit.filter(|limit| there as u64 >= u64::from(*limit)) else { return Ok(()) };
    let StreamKey { account, region, .. } = key;
    Err(Fault::LimitExceeded(format!(
        "This request would exceed the limit of {limit} {what} for the account {account} in {region}."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn shards_of_other_regions_do_not_count() {
        let own = cases::stream("a", 19_999);
        let mut other = cases::stream("b", 100);
        other.uid = 43;
        other.key.region = "us-west-2".into();
        let catalog = cases::catalog(vec![own.clone(), other]);
        let limits = ControlLimits::aws();
        assert_eq!(check_shards(&ControlLimits::off(), &catalog, &own.key, 2), Ok(()));
        let endless = check_shards(&ControlLimits::off(), &catalog, &own.key, 2_147_483_647);
        assert!(
            matches!(endless, Err(Fault::LimitExceeded(_))),
            "no setting allows a stream that fits no memory"
        );
        assert_eq!(check_shards(&limits, &catalog, &own.key, 1), Ok(()));
        let text = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard \
                    count for the account: 19999. Limit: 20000. Number of additional shards that would have resulted \
                    from this request: 2.";
        assert_eq!(check_shards(&limits, &catalog, &own.key, 2), Err(Fault::LimitExceeded(text.to_owned())));
    }

    #[test]
    fn streams_have_quotas_of_their_own() {
        let streams = (0..50).map(|index| {
            let mut stream = cases::stream(&format!("s{index}"), 1);
            stream.uid = index;
            stream.mode = StreamMode::OnDemand;
            stream.status = if index < 5 { StreamStatus::Creating } else { StreamStatus::Active };
            stream
        });
        let full = cases::catalog(streams.collect());
        let room = cases::catalog(full.streams().values().skip(1).map(|stream| (**stream).clone()).collect());
        let key = cases::stream("new", 1).key;
        let mut elsewhere = key.clone();
        elsewhere.region = "eu-west-1".into();
        for (check, what) in [
            (check_creating_streams as fn(&_, &_, &_) -> _, "5 streams in the CREATING state"),
            (check_on_demand_streams, "50 on-demand streams"),
        ] {
            let refused = Err(Fault::LimitExceeded(format!(
                "This request would exceed the limit of {what} for the account 000000000000 in us-east-1."
            )));
            assert_eq!(check(&ControlLimits::aws(), &full, &key), refused);
            assert_eq!(check(&ControlLimits::aws(), &room, &key), Ok(()));
            assert_eq!(check(&ControlLimits::aws(), &full, &elsewhere), Ok(()));
            assert_eq!(check(&ControlLimits::off(), &full, &key), Ok(()));
        }
    }
}
