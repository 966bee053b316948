//! ListStreamConsumers: the consumers of a stream, sorted by name, in pages.
//!
//! Every page names the stream by its ARN, which the model requires; a NextToken goes with that stream only, and
//! excludes a StreamCreationTimestamp, because it stands for a stream that was chosen already.
//!
//! Limits: 100 consumers a page; a larger MaxResults counts as the page size; a NextToken is good for 300 s.
//! Errors: ResourceNotFound, ResourceInUse while the stream is CREATING or DELETING, ExpiredNextToken,
//! InvalidArgument.

use std::sync::Arc;

use super::description;
use crate::limits::LIST_CONSUMERS_PAGE;
use crate::model::stream::{Catalog, Stream};
use crate::ops::api::{ListStreamConsumersInput, ListStreamConsumersOutput};
use crate::ops::fault::InvalidTarget;
use crate::ops::{Call, Fault, target};
use crate::service::Service;
use crate::service::iterator::{PageToken, Sealer};

/// Lists a page.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &ListStreamConsumersInput,
) -> Result<ListStreamConsumersOutput, Fault> {
    let sealer = service.sealer().ok_or_else(Fault::no_key_yet)?;
    answer(&service.catalog(), &sealer, service.now_ms(), call, input)
}

fn answer(
    catalog: &Catalog,
    sealer: &Sealer,
    now_ms: u64,
    call: &Call,
    input: &ListStreamConsumersInput,
) -> Result<ListStreamConsumersOutput, Fault> {
    let stream = target::stream(catalog, call, input)?;
    let after = match input.next_token.as_deref() {
        Some(token) => Some(after_token(&stream, sealer, now_ms, input, token)?),
        None => {
            target::check_creation(&stream, input.stream_creation_timestamp)?;
            None
        }
    };
    if !stream.is_usable() {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    let page = input.max_results.map_or(LIST_CONSUMERS_PAGE, |limit| LIST_CONSUMERS_PAGE.min(limit as usize));
    let mut consumers = (stream.consumers.iter())
        .filter(|consumer| after.as_deref().is_none_or(|after| &*consumer.name > after));
    let listed = consumers.by_ref().take(page).collect::<Vec<_>>();
    let last = listed.last().filter(|_| consumers.next().is_some());
    let next_token = last.map(|last| {
        let (stream_uid, after_name) = (stream.uid, last.name.to_string());
        sealer.seal_page(&PageToken::Consumers { stream_uid, after_name, issued_ms: now_ms })
    });
    let listed = listed.into_iter().map(|consumer| description::consumer(&stream.key, consumer));
    Ok(ListStreamConsumersOutput { consumers: Some(listed.collect()), next_token })
}

fn after_token(
    stream: &Stream,
    sealer: &Sealer,
    now_ms: u64,
    input: &ListStreamConsumersInput,
    token: &str,
) -> Result<String, Fault> {
    if input.stream_creation_timestamp.is_some() {
        return Err(InvalidTarget::BesideNextToken("StreamCreationTimestamp".into()).into());
    }
    match target::open_page(sealer, token, now_ms)? {
        PageToken::Consumers { stream_uid, after_name, .. } if stream_uid == stream.uid => Ok(after_name),
        _ => Err(target::invalid_next_token()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PAGE_TOKEN_LIFE_MS;
    use crate::model::stream::StreamStatus;
    use crate::ops::cases::{self, NOW_MS};

    fn stream(consumers: u64) -> Stream {
        let mut stream = cases::stream("a", 1);
        stream.consumers = (0..consumers).map(|uid| cases::consumer(&format!("c{uid:03}"), uid)).collect();
        stream
    }

    fn list(stream: &Stream, members: &str, now_ms: u64) -> Result<serde_json::Value, Fault> {
        let call = cases::call(&format!(r#"{{"StreamARN":"{}"{members}}}"#, cases::stream("a", 1).key.arn()));
        let input = cases::read::<ListStreamConsumersInput>(&call)?;
        let catalog = cases::catalog(vec![stream.clone()]);
        answer(&catalog, &Sealer::new([7; 32]), now_ms, &call, &input).map(|answer| cases::json(&answer))
    }

    fn names(page: &serde_json::Value) -> Vec<&str> {
        let consumers = page["Consumers"].as_array().unwrap().iter();
        consumers.map(|consumer| consumer["ConsumerName"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_entry_does_not_repeat_the_stream() {
        let expected = serde_json::json!({"Consumers": [{
            "ConsumerName": "c000",
            "ConsumerARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/c000:1699998200",
            "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": 1_699_998_200.0,
        }]});
        assert_eq!(list(&stream(1), "", NOW_MS), Ok(expected));
        assert_eq!(list(&stream(0), "", NOW_MS), Ok(serde_json::json!({"Consumers": []})));
    }

    #[test]
    fn pages_follow_one_another() {
        let first = list(&stream(5), r#","MaxResults":2"#, NOW_MS).unwrap();
        assert_eq!(names(&first), ["c000", "c001"]);
        let token = format!(r#","NextToken":"{}""#, first["NextToken"].as_str().unwrap());
        let second = list(&stream(5), &token, NOW_MS).unwrap();
        assert_eq!((names(&second), second.get("NextToken")), (vec!["c002", "c003", "c004"], None));
        let large = list(&stream(101), r#","MaxResults":10000"#, NOW_MS).unwrap();
        assert_eq!((names(&large).len(), large["NextToken"].is_string()), (100, true));

        let late = list(&stream(5), &token, NOW_MS + PAGE_TOKEN_LIFE_MS + 1);
        assert!(matches!(late, Err(Fault::ExpiredNextToken { .. })));
        let mut namesake = stream(5);
        namesake.uid += 1;
        assert_eq!(list(&namesake, &token, NOW_MS), Err(target::invalid_next_token()));
        let both = list(&stream(5), &format!(r#"{token},"StreamCreationTimestamp":1"#), NOW_MS);
        let text = "NextToken and StreamCreationTimestamp cannot be provided together.";
        assert_eq!(cases::said(both), ("InvalidArgumentException", text.to_owned()));
    }

    #[test]
    fn states_and_namesakes_are_distinguished() {
        let mut stream = stream(1);
        let created = |second| format!(r#","StreamCreationTimestamp":{second}"#);
        let created_s = stream.created_ms / 1_000;
        assert!(list(&stream, &created(created_s), NOW_MS).is_ok());
        let other = list(&stream, &created(created_s - 1), NOW_MS);
        assert_eq!(other, Err(Fault::stream_not_found(&stream.key)));
        stream.status = StreamStatus::Deleting;
        assert!(matches!(list(&stream, "", NOW_MS), Err(Fault::ResourceInUse(_))));
        stream.status = StreamStatus::Updating;
        assert!(list(&stream, "", NOW_MS).is_ok());
    }
}
