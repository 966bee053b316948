//! Quotas of an account in a region that several operations have to keep.

use super::Fault;
use crate::limits::ControlLimits;
use crate::model::stream::{Catalog, StreamKey};

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
}
