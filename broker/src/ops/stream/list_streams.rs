//! ListStreams: the streams of the account in the region, sorted by name.
//!
//! Limits: 100 streams a page; a larger Limit counts as the page size; a NextToken is good for 300 s. A NextToken
//! counts more than an ExclusiveStartStreamName beside it, because paginators repeat the first call's members.
//!
//! Errors: ExpiredNextToken, InvalidArgument for a NextToken that is none.

use std::sync::Arc;

use super::description;
use crate::limits::LIST_STREAMS_PAGE;
use crate::model::stream::Catalog;
use crate::ops::api::{ListStreamsInput, ListStreamsOutput};
use crate::ops::{Call, Fault, target};
use crate::service::Service;
use crate::service::iterator::{PageToken, Sealer};

/// Lists a page.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &ListStreamsInput,
) -> Result<ListStreamsOutput, Fault> {
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    answer(&service.catalog(), &sealer, service.now_ms(), call, input)
}

fn answer(
    catalog: &Catalog,
    sealer: &Sealer,
    now_ms: u64,
    call: &Call,
    input: &ListStreamsInput,
) -> Result<ListStreamsOutput, Fault> {
    let after = match input.next_token.as_deref() {
        Some(token) => Some(after_token(sealer, token, now_ms)?),
        None => input.exclusive_start_stream_name.clone(),
    };
    let page = input.limit.map_or(LIST_STREAMS_PAGE, |limit| LIST_STREAMS_PAGE.min(limit as usize));
    let mut streams = target::streams_of(catalog, call)
        .skip_while(|stream| after.as_deref().is_some_and(|after| &*stream.key.name <= after));
    let listed = streams.by_ref().take(page).collect::<Vec<_>>();
    let has_more = streams.next().is_some();
    let next_token = listed.last().filter(|_| has_more).map(|last| {
        sealer.seal_page(&PageToken::Streams { after_name: last.key.name.to_string(), issued_ms: now_ms })
    });
    Ok(ListStreamsOutput {
        stream_names: listed.iter().map(|stream| stream.key.name.to_string()).collect(),
        has_more_streams: has_more,
        stream_summaries: Some(listed.iter().map(|stream| description::summary(stream)).collect()),
        next_token,
    })
}

fn after_token(sealer: &Sealer, token: &str, now_ms: u64) -> Result<String, Fault> {
    match target::open_page(sealer, token, now_ms)? {
        PageToken::Streams { after_name, .. } => Ok(after_name),
        PageToken::Shards { .. } | PageToken::Consumers { .. } => Err(target::invalid_next_token()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PAGE_TOKEN_LIFE_MS;
    use crate::ops::cases::{self, NOW_MS};

    fn list(count: u32, body: &str, now_ms: u64) -> Result<serde_json::Value, Fault> {
        let streams = (0..count).map(|number| cases::stream(&format!("s{number:03}"), 1)).collect();
        let call = cases::call(body);
        let input = cases::read::<ListStreamsInput>(&call)?;
        let listed = answer(&cases::catalog(streams), &Sealer::new([7; 32]), now_ms, &call, &input)?;
        Ok(cases::json(&listed))
    }

    fn names(page: &serde_json::Value) -> Vec<&str> {
        page["StreamNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn pages_follow_one_another_by_token_and_by_name() {
        let first = list(5, r#"{"Limit":2}"#, NOW_MS).unwrap();
        assert_eq!(names(&first), ["s000", "s001"]);
        assert_eq!(first["HasMoreStreams"], true);
        assert_eq!(first["StreamSummaries"][1]["StreamName"], "s001");
        assert_eq!(first["StreamSummaries"][1]["StreamStatus"], "ACTIVE");
        let token = first["NextToken"].as_str().unwrap();
        let body = format!(r#"{{"Limit":3,"NextToken":"{token}","ExclusiveStartStreamName":"a"}}"#);
        let second = list(5, &body, NOW_MS).unwrap();
        assert_eq!(names(&second), ["s002", "s003", "s004"]);
        assert_eq!(second["HasMoreStreams"], false);
        assert_eq!(second.get("NextToken"), None);
        let by_name = list(5, r#"{"ExclusiveStartStreamName":"s003"}"#, NOW_MS).unwrap();
        assert_eq!(names(&by_name), ["s004"]);
    }

    #[test]
    fn a_page_has_at_most_a_hundred() {
        let page = list(101, r#"{"Limit":10000}"#, NOW_MS).unwrap();
        assert_eq!((names(&page).len(), &page["HasMoreStreams"]), (100, &true.into()));
        let empty = list(0, "{}", NOW_MS).unwrap();
        assert_eq!(
            empty,
            serde_json::json!({"StreamNames": [], "HasMoreStreams": false, "StreamSummaries": []})
        );
    }

    #[test]
    fn tokens_die_and_cannot_be_made_up() {
        let token = list(5, r#"{"Limit":2}"#, NOW_MS).unwrap()["NextToken"].as_str().unwrap().to_owned();
        let body = format!(r#"{{"NextToken":"{token}"}}"#);
        let late = list(5, &body, NOW_MS + PAGE_TOKEN_LIFE_MS + 1);
        assert!(matches!(late, Err(Fault::ExpiredNextToken { .. })));
        let made_up = list(5, r#"{"NextToken":"AAAA"}"#, NOW_MS);
        assert!(matches!(made_up, Err(Fault::InvalidArgument(_))));
    }
}
