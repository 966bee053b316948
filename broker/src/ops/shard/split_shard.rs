//! SplitShard: an open shard becomes two, the lower part of its keys under the lower number.
//!
//! The stream is UPDATING until both take records; puts and reads go on. Errors: ResourceNotFound for the stream or the
//! shard, ResourceInUse when the stream is not ACTIVE, InvalidArgument for a closed shard and a hash key that is not
//! inside it, Validation on an on-demand stream, LimitExceeded for the account's shards.

use std::sync::Arc;

use super::open_shard;
use crate::model::hash_key;
use crate::model::reshard::{self, Plan};
use crate::model::shard_id::ShardId;
use crate::model::stream::{Catalog, Stream, StreamKey};
use crate::ops::api::SplitShardInput;
use crate::ops::fault::InvalidReshard;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Begins the split.
pub async fn run(service: &Arc<Service>, call: &Call, input: &SplitShardInput) -> Result<(), Fault> {
    let catalog = service.catalog();
    let key = target::key(call, input)?;
    open_shard::parse(&key, &input.shard_to_split)?;
    let stream = target::find(&catalog, &key)?;
    let plan = plan(&stream, input)?;
    let begun = service.begin_reshard(stream.uid, &plan, false).await;
    begun.map_err(|error| Fault::of_stream(error, &stream.key))
}

/// The key at which the upper child of a shard begins when the shard is split in the middle. A shard that cannot be
/// halved has none: its first key stands for it, which [`run`] refuses.
///
/// # Errors
/// ResourceNotFound for the stream or the shard.
pub fn middle(catalog: &Catalog, key: &StreamKey, shard: &str) -> Result<u128, Fault> {
    let stream = target::find(catalog, key)?;
    let range = open_shard::find(&stream, shard)?.range;
    Ok(reshard::middle(range).unwrap_or(range.start))
}

fn plan(stream: &Stream, input: &SplitShardInput) -> Result<Plan, Fault> {
    open_shard::check_stream(stream, "SplitShard")?;
    let shard = open_shard::find(stream, &input.shard_to_split)?;
    let text = &input.new_starting_hash_key;
    let (start, end) = (shard.range.start, shard.range.end);
    let inside = |key: &u128| *key > start.saturating_add(1) && *key < end;
    let Some(at) = hash_key::parse_explicit(text).filter(inside) else {
        let (id, at) = (ShardId(shard.index), text.to_owned());
        let reason = InvalidReshard::SplitKey { shard: id, at, range: shard.range };
        return Err(Fault::invalid_reshard(&stream.key, reason));
    };
    Ok(Plan::split(stream, shard, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;
    use crate::model::stream::{HashRange, StreamMode, StreamStatus};
    use crate::ops::cases;

    fn planned(stream: &Stream, shard: &str, key: &str) -> Result<Plan, Fault> {
        let body = format!(r#"{{"StreamName":"a","ShardToSplit":"{shard}","NewStartingHashKey":"{key}"}}"#);
        plan(stream, &cases::input::<SplitShardInput>(&body)?)
    }

    #[test]
    fn the_key_must_lie_inside() {
        let stream = cases::stream("a", 1);
        for (key, fits) in [
            ("0".to_owned(), false),
            ("1".to_owned(), false),
            ("2".to_owned(), true),
            ((u128::MAX - 1).to_string(), true),
            (u128::MAX.to_string(), false),
            ("340282366920938463463374607431768211456".to_owned(), false),
        ] {
            let found = planned(&stream, "shardId-0", &key);
            assert_eq!(found.is_ok(), fits, "{key}");
            if let Err(fault) = found {
                let text = format!(
                    "NewStartingHashKey {key} used in SplitShard() on shard shardId-000000000000 in stream a under \
                     account 000000000000 is not both greater than one plus the shard's StartingHashKey 0 and less \
                     than the shard's EndingHashKey {}.",
                    u128::MAX
                );
                assert_eq!(fault.exception().text(), text);
            }
        }
    }

    #[test]
    fn a_shard_that_cannot_be_halved_is_refused() {
        let mut stream = cases::stream("a", 1);
        for (start, end) in [(0, 2), (5, 5), (u128::MAX, u128::MAX)] {
            stream.shards[0].range = HashRange { start, end };
            let catalog = fixture::catalog(vec![stream.clone()]);
            let at = middle(&catalog, &stream.key, "shardId-0").expect("a shard of that name");
            assert!(planned(&stream, "shardId-0", &at.to_string()).is_err(), "{start} to {end}");
        }
    }

    #[test]
    fn only_open_shards_of_a_provisioned_active_stream_are_split() {
        let mut stream = cases::split_stream("a", 1_000);
        assert!(planned(&stream, "shardId-000000000002", &(u128::MAX - 9).to_string()).is_ok());
        assert!(matches!(planned(&stream, "shardId-0", "5"), Err(Fault::InvalidArgument(_))));
        assert!(matches!(planned(&stream, "shardId-9", "5"), Err(Fault::ResourceNotFound(_))));
        assert!(matches!(planned(&stream, "nonsense", "5"), Err(Fault::ResourceNotFound(_))));
        stream.mode = StreamMode::OnDemand;
        assert!(matches!(planned(&stream, "shardId-1", "5"), Err(Fault::Validation(_))));
        stream.status = StreamStatus::Updating;
        let text = "Stream a under account 000000000000 not ACTIVE, instead in state UPDATING";
        assert_eq!(
            cases::said(planned(&stream, "shardId-1", "5")),
            ("ResourceInUseException", text.to_owned())
        );
    }
}
