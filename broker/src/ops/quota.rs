//! Quotas of an account in a region that several operations have to keep.

use super::Fault;
use crate::limits::ControlLimits;
use crate::model::stream::{Catalog, StreamKey, StreamMode};

/// Whether the account can have that many open shards more in the region of the stream.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it cannot.
pub fn check_shards(
    limits: &ControlLimits,
    catalog: &Catalog,
    key: &StreamKey,
    additional: u32,
) -> Result<(), Fault> {
    let Some(limit) = limits.shards_max else { return Ok(()) };
    let StreamKey { account, region, .. } = key;
    let is_same = |other: &StreamKey| other.account == *account && other.region == *region;
    let own = catalog.streams().iter().filter(|(other, _)| is_same(other));
    let open = own.map(|(_, stream)| stream.routes.len()).sum::<usize>();
    if open as u64 + u64::from(additional) <= u64::from(limit) {
        return Ok(());
    }
    Err(Fault::LimitExceeded(format!(
        "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the \
         account: {open}. Limit: {limit}. Number of additional shards that would have resulted from this request: \
         {additional}."
    )))
}

/// Whether the account can have one on-demand stream more in the region of the stream.
///
/// # Errors
/// [`Fault::LimitExceeded`] when it cannot.
pub fn check_on_demand_streams(
    limits: &ControlLimits,
    catalog: &Catalog,
    key: &StreamKey,
) -> Result<(), Fault> {
    let Some(limit) = limits.on_demand_streams_max else { return Ok(()) };
    let StreamKey { account, region, .. } = key;
    let is_same = |other: &StreamKey| other.account == *account && other.region == *region;
    let own = catalog.streams().iter().filter(|(other, _)| is_same(other));
    if own.filter(|(_, stream)| stream.mode == StreamMode::OnDemand).count() < limit as usize {
        return Ok(());
    }
    Err(Fault::LimitExceeded(format!(
        "This request would exceed the limit of {limit} on-demand streams for the account {account} in {region}."
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
        assert_eq!(check_shards(&limits, &catalog, &own.key, 1), Ok(()));
        let text = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard \
                    count for the account: 19999. Limit: 20000. Number of additional shards that would have resulted \
                    from this request: 2.";
        assert_eq!(check_shards(&limits, &catalog, &own.key, 2), Err(Fault::LimitExceeded(text.to_owned())));
    }

    #[test]
    fn an_account_has_fifty_on_demand_streams_in_a_region() {
        let stream = |uid: u64, mode| {
            let mut stream = cases::stream(&format!("s{uid}"), 1);
            (stream.uid, stream.mode) = (uid, mode);
            stream
        };
        let mut streams = (0..49).map(|uid| stream(uid, StreamMode::OnDemand)).collect::<Vec<_>>();
        streams.push(stream(49, StreamMode::Provisioned));
        let key = streams[0].key.clone();
        let checked =
            |streams: &[_], limits| check_on_demand_streams(&limits, &cases::catalog(streams.to_vec()), &key);
        assert_eq!(checked(&streams, ControlLimits::aws()), Ok(()));
        streams.push(stream(50, StreamMode::OnDemand));
        assert!(matches!(checked(&streams, ControlLimits::aws()), Err(Fault::LimitExceeded(_))));
        assert_eq!(checked(&streams, ControlLimits::off()), Ok(()));
    }
}
