//! ListShards: the shards of a stream, filtered and in pages.
//!
//! A NextToken stands for the stream and the filter of the first call and excludes the members that name a stream.
//! A time before the trim horizon is raised to it, so that AT_TRIM_HORIZON and AT_TIMESTAMP always cover the whole
//! hash range.
//!
//! Limits: 1,000 shards a page; a larger MaxResults counts as the page size; a NextToken is good for 300 s. Errors:
//! ResourceNotFound, ResourceInUse while the stream is CREATING or DELETING, ExpiredNextToken, InvalidArgument.

use std::sync::Arc;

use crate::limits::LIST_SHARDS_PAGE;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Catalog, Shard, Stream};
use crate::ops::api::{Choice, ListShardsInput, ListShardsOutput, ShardFilter, ShardFilterType};
use crate::ops::fault::{InvalidTarget, NotFound};
use crate::ops::stream::description;
use crate::ops::{Call, Fault, target};
use crate::service::Service;
use crate::service::iterator::{PageToken, Sealer, TokenFilter};

/// Lists a page.
pub fn run(service: &Arc<Service>, call: &Call, input: &ListShardsInput) -> Result<ListShardsOutput, Fault> {
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    let (catalog, now_ms) = (service.catalog(), service.now_ms());
    answer(&catalog, &sealer, now_ms, call, input)
}

fn answer(
    catalog: &Catalog,
    sealer: &Sealer,
    now_ms: u64,
    call: &Call,
    input: &ListShardsInput,
) -> Result<ListShardsOutput, Fault> {
    let (stream, after, filter) = match input.next_token.as_deref() {
        Some(token) => following_page(catalog, sealer, now_ms, input, token)?,
        None => first_page(catalog, now_ms, call, input)?,
    };
    if !stream.is_usable() {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    let page = input.max_results.map_or(LIST_SHARDS_PAGE, |limit| LIST_SHARDS_PAGE.min(limit as usize));
    let is_wanted = |shard: &&Shard| after.is_none_or(|after| shard.index > after.0) && is_in(shard, filter);
    let mut shards = stream.shards.iter().filter(is_wanted);
    let listed = shards.by_ref().take(page).collect::<Vec<_>>();
    let last = listed.last().filter(|_| shards.next().is_some());
    let next_token = last.map(|last| {
        let (stream_uid, after_shard) = (stream.uid, ShardId(last.index));
        sealer.seal_page(&PageToken::Shards { stream_uid, after_shard, filter, issued_ms: now_ms })
    });
    let listed = listed.into_iter().map(description::shard).collect();
    Ok(ListShardsOutput { shards: Some(listed), next_token })
}

/// The stream, the shard to begin after and the filter.
type Page = (Arc<Stream>, Option<ShardId>, TokenFilter);

fn following_page(
    catalog: &Catalog,
    sealer: &Sealer,
    now_ms: u64,
    input: &ListShardsInput,
    token: &str,
) -> Result<Page, Fault> {
    let excluded = [
        ("StreamName", input.stream_name.is_some()),
        ("StreamARN", input.stream_arn.is_some()),
        ("ExclusiveStartShardId", input.exclusive_start_shard_id.is_some()),
        ("StreamCreationTimestamp", input.stream_creation_timestamp.is_some()),
    ];
    if let Some((member, _)) = excluded.into_iter().find(|(_, is_there)| *is_there) {
        return Err(InvalidTarget::BesideNextToken(member.into()).into());
    }
    let PageToken::Shards { stream_uid, after_shard, filter, .. } = target::open_page(sealer, token, now_ms)?
    else {
        return Err(target::invalid_next_token());
    };
    let gone = || Fault::ResourceNotFound(NotFound::PagedStream);
    let stream = catalog.by_uid(stream_uid).cloned().ok_or_else(gone)?;
    Ok((stream, Some(after_shard), filter))
}

fn first_page(catalog: &Catalog, now_ms: u64, call: &Call, input: &ListShardsInput) -> Result<Page, Fault> {
    if input.stream_name.is_none() && input.stream_arn.is_none() {
        return Err(InvalidTarget::NoStreamOrNextToken.into());
    }
    let start = input.exclusive_start_shard_id.as_deref().map(shard_id).transpose()?;
    let asked = input.shard_filter.as_ref().map(read_filter).transpose()?;
    let stream = target::stream(catalog, call, input)?;
    target::check_creation(&stream, input.stream_creation_timestamp)?;
    let horizon_ms = trim_horizon_ms(&stream, now_ms);
    let (after, filter) = match asked {
        None | Some(Filter::All) => (None, TokenFilter::All),
        Some(Filter::After(shard)) => (Some(shard), TokenFilter::All),
        Some(Filter::Open) => (None, TokenFilter::Open),
        Some(Filter::OpenAtTrimHorizon) => (None, TokenFilter::OpenAt(horizon_ms)),
        Some(Filter::OpenAt(time_ms)) => (None, TokenFilter::OpenAt(time_ms.max(horizon_ms))),
        Some(Filter::OpenSince(time_ms)) => (None, TokenFilter::OpenSince(time_ms.max(horizon_ms))),
    };
    Ok((stream, start.max(after), filter))
}

/// The shards that a ShardFilter selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    All,
    Open,
    After(ShardId),
    OpenAtTrimHorizon,
    OpenAt(u64),
    OpenSince(u64),
}

fn read_filter(filter: &ShardFilter) -> Result<Filter, Fault> {
    let takes_shard = filter.kind == ShardFilterType::AfterShardId;
    let takes_time = matches!(filter.kind, ShardFilterType::AtTimestamp | ShardFilterType::FromTimestamp);
    for (member, is_needed, is_there) in [
        ("ShardId", takes_shard, filter.shard_id.is_some()),
        ("Timestamp", takes_time, filter.timestamp.is_some()),
    ] {
        if is_needed != is_there {
            let (member, kind) = (member.into(), filter.kind.name().to_owned());
            return Err(InvalidTarget::ShardFilter { member, kind, is_needed }.into());
        }
    }
    let time_ms = filter.timestamp.map_or(0, |time| u64::try_from(time.0).unwrap_or(0));
    Ok(match filter.kind {
        ShardFilterType::AfterShardId => {
            Filter::After(shard_id(filter.shard_id.as_deref().unwrap_or_default())?)
        }
        ShardFilterType::AtTrimHorizon => Filter::OpenAtTrimHorizon,
        ShardFilterType::AtLatest => Filter::Open,
        ShardFilterType::AtTimestamp => Filter::OpenAt(time_ms),
        ShardFilterType::FromTimestamp => Filter::OpenSince(time_ms),
        ShardFilterType::FromTrimHorizon => Filter::All,
    })
}

fn shard_id(text: &str) -> Result<ShardId, Fault> {
    ShardId::parse(text).ok_or_else(|| InvalidTarget::ShardId(text.to_owned()).into())
}

/// When the oldest record that can still be read may have arrived: never before the oldest listed shards opened, also
/// when the retention was raised after their parents were forgotten. So the listed shards cover every key from it on.
/// The shards that were open at that time, or at the trim horizon if that is later; without a time at the trim horizon.
pub fn open_at(stream: &Stream, time_ms: Option<u64>, now_ms: u64) -> impl Iterator<Item = &Shard> {
    let filter = TokenFilter::OpenAt(trim_horizon_ms(stream, now_ms).max(time_ms.unwrap_or_default()));
    stream.shards.iter().filter(move |shard| is_in(shard, filter))
}

fn trim_horizon_ms(stream: &Stream, now_ms: u64) -> u64 {
    let is_listed = |parent: &u32| stream.shard(*parent).is_some();
    let is_oldest = |shard: &&Shard| !shard.parent.iter().chain(&shard.adjacent_parent).any(is_listed);
    let opened_ms = stream.shards.iter().filter(is_oldest).map(|shard| shard.opened_ms).max();
    let kept_ms = u64::from(stream.retention_hours) * 3_600_000;
    now_ms.saturating_sub(kept_ms).max(opened_ms.unwrap_or(stream.created_ms))
}

fn is_in(shard: &Shard, filter: TokenFilter) -> bool {
    let is_open_since = |time_ms| shard.closed_ms.is_none_or(|closed_ms| closed_ms >= time_ms);
    match filter {
        TokenFilter::All => true,
        TokenFilter::Open => shard.closed_ms.is_none(),
        TokenFilter::OpenAt(time_ms) => shard.opened_ms <= time_ms && is_open_since(time_ms),
        TokenFilter::OpenSince(time_ms) => is_open_since(time_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PAGE_TOKEN_LIFE_MS;
    use crate::model::stream::StreamStatus;
    use crate::ops::cases::{self, NOW_MS};

    fn list(stream: &Stream, body: &str, now_ms: u64) -> Result<serde_json::Value, Fault> {
        let call = cases::call(body);
        let input = cases::read::<ListShardsInput>(&call)?;
        let catalog = cases::catalog(vec![stream.clone()]);
        let listed = answer(&catalog, &Sealer::new([7; 32]), now_ms, &call, &input)?;
        Ok(cases::json(&listed))
    }

    fn indices(page: &serde_json::Value) -> Vec<u32> {
        let shards = page["Shards"].as_array().unwrap().iter();
        shards.map(|shard| ShardId::parse(shard["ShardId"].as_str().unwrap()).unwrap().0).collect()
    }

    #[test]
    fn filters_choose_by_the_instants_of_the_reshard() {
        // Opened an hour before now, split ten minutes before now.
        let stream = cases::split_stream("a", 600_000);
        let seconds = |ago_ms: u64| (NOW_MS - ago_ms) as f64 / 1_000.0;
        for (filter, expected) in [
            (String::new(), vec![0, 1, 2]),
            (r#","ShardFilter":{"Type":"FROM_TRIM_HORIZON"}"#.to_owned(), vec![0, 1, 2]),
            (r#","ShardFilter":{"Type":"AT_TRIM_HORIZON"}"#.to_owned(), vec![0]),
            (r#","ShardFilter":{"Type":"AT_LATEST"}"#.to_owned(), vec![1, 2]),
            (r#","ShardFilter":{"Type":"AFTER_SHARD_ID","ShardId":"shardId-1"}"#.to_owned(), vec![2]),
            (
                r#","ExclusiveStartShardId":"shardId-000000000000","ShardFilter":{"Type":"FROM_TRIM_HORIZON"}"#
                    .to_owned(),
                vec![1, 2],
            ),
            (format!(r#","ShardFilter":{{"Type":"AT_TIMESTAMP","Timestamp":{}}}"#, seconds(700_000)), vec![0]),
            (format!(r#","ShardFilter":{{"Type":"AT_TIMESTAMP","Timestamp":{}}}"#, seconds(500_000)), vec![1, 2]),
            (r#","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1}"#.to_owned(), vec![0]),
            (
                format!(r#","ShardFilter":{{"Type":"FROM_TIMESTAMP","Timestamp":{}}}"#, seconds(500_000)),
                vec![1, 2],
            ),
            (r#","ShardFilter":{"Type":"FROM_TIMESTAMP","Timestamp":-5}"#.to_owned(), vec![0, 1, 2]),
        ] {
            let page = list(&stream, &format!(r#"{{"StreamName":"a"{filter}}}"#), NOW_MS).unwrap();
            assert_eq!(indices(&page), expected, "{filter}");
            assert_eq!(page.get("NextToken"), None);
        }
    }

    #[test]
    fn the_trim_horizon_moves_with_the_retention() {
        let mut stream = cases::split_stream("a", 600_000);
        stream.retention_hours = 24;
        let body = r#"{"StreamName":"a","ShardFilter":{"Type":"AT_TRIM_HORIZON"}}"#;
        let a_day_later_ms = NOW_MS + 24 * 3_600_000;
        assert_eq!(indices(&list(&stream, body, a_day_later_ms - 700_000).unwrap()), [0]);
        assert_eq!(indices(&list(&stream, body, a_day_later_ms - 500_000).unwrap()), [1, 2]);
    }

    #[test]
    fn the_horizon_never_lies_before_the_oldest_listed_shards() {
        // Shard 0 was split, its records expired, and the retention was raised afterwards.
        let mut stream = cases::split_stream("a", 3_600_000);
        let split_ms = stream.shards[1].opened_ms;
        stream.shards.remove(0);
        stream.retention_hours = 168;
        assert_eq!(trim_horizon_ms(&stream, NOW_MS), split_ms);
        let whole = cases::split_stream("a", 3_600_000);
        assert_eq!(trim_horizon_ms(&whole, NOW_MS), whole.shards[0].opened_ms);
    }

    #[test]
    fn pages_keep_the_filter() {
        let stream = cases::split_stream("a", 600_000);
        let body = r#"{"StreamName":"a","MaxResults":1,"ShardFilter":{"Type":"AT_LATEST"}}"#;
        let first = list(&stream, body, NOW_MS).unwrap();
        assert_eq!(indices(&first), [1]);
        let token = first["NextToken"].as_str().unwrap();
        let second = list(&stream, &format!(r#"{{"NextToken":"{token}"}}"#), NOW_MS).unwrap();
        assert_eq!((indices(&second), second.get("NextToken")), (vec![2], None));
        let late = list(&stream, &format!(r#"{{"NextToken":"{token}"}}"#), NOW_MS + PAGE_TOKEN_LIFE_MS + 1);
        assert!(matches!(late, Err(Fault::ExpiredNextToken { .. })));
        let both = list(&stream, &format!(r#"{{"StreamName":"a","NextToken":"{token}"}}"#), NOW_MS);
        let text = "NextToken and StreamName cannot be provided together.";
        assert_eq!(cases::said(both), ("InvalidArgumentException", text.to_owned()));
        let mut namesake = stream.clone();
        namesake.uid += 1;
        let gone = list(&namesake, &format!(r#"{{"NextToken":"{token}"}}"#), NOW_MS);
        assert!(matches!(gone, Err(Fault::ResourceNotFound(_))));
    }

    #[test]
    fn a_page_has_at_most_a_thousand() {
        let stream = cases::stream("a", 1_500);
        let page = list(&stream, r#"{"StreamName":"a","MaxResults":10000}"#, NOW_MS).unwrap();
        assert_eq!(indices(&page).len(), 1_000);
        assert!(page["NextToken"].is_string());
    }

    #[test]
    fn contradicting_members_are_refused() {
        let stream = cases::stream("a", 1);
        for part in [
            r#""ShardFilter":{"Type":"AFTER_SHARD_ID"}"#,
            r#""ShardFilter":{"Type":"AT_TIMESTAMP"}"#,
            r#""ShardFilter":{"Type":"AT_LATEST","Timestamp":1}"#,
            r#""ShardFilter":{"Type":"AT_LATEST","ShardId":"shardId-0"}"#,
            r#""ExclusiveStartShardId":"x""#,
            r#""NextToken":"AAAA""#,
        ] {
            let found = list(&stream, &format!(r#"{{"StreamName":"a",{part}}}"#), NOW_MS);
            assert!(matches!(found, Err(Fault::InvalidArgument(_))), "{part}: {found:?}");
        }
        let text = "Either NextToken or StreamName should be provided.";
        assert_eq!(cases::said(list(&stream, "{}", NOW_MS)), ("InvalidArgumentException", text.to_owned()));
        let fault =
            list(&stream, r#"{"StreamName":"a","ShardFilter":{},"MaxResults":10001}"#, NOW_MS).unwrap_err();
        let expected = cases::expected(&[
            ("null", "shardFilter.type", "Member must not be null"),
            ("10001", "maxResults", "Member must have value less than or equal to 10000"),
        ]);
        assert_eq!(cases::violations(&fault), expected);
    }

    #[test]
    fn states_and_namesakes_are_distinguished() {
        let mut stream = cases::stream("a", 1);
        let created_s = stream.created_ms / 1_000;
        let body = |second: u64| format!(r#"{{"StreamName":"a","StreamCreationTimestamp":{second}}}"#);
        assert!(list(&stream, &body(created_s), NOW_MS).is_ok());
        let other = list(&stream, &body(created_s - 1), NOW_MS);
        assert!(matches!(other, Err(Fault::ResourceNotFound(_))));
        stream.status = StreamStatus::Creating;
        let text = "Stream a under account 000000000000 not ACTIVE, instead in state CREATING";
        let creating = list(&stream, r#"{"StreamName":"a"}"#, NOW_MS);
        assert_eq!(cases::said(creating), ("ResourceInUseException", text.to_owned()));
    }
}
