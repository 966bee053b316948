//! Iterators and NextTokens that are made up, of another cluster, of another kind, changed, or too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::limits::{ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS};
use tidelog_proto::{Codec, Document};

use crate::broker::{Broker, Client};
use crate::model::{Model, replaced};

const CODECS: [Codec; 2] = [Codec::Json, Codec::Cbor];

/// A broker with the stream `a`, an iterator of it, and a NextToken of ListShards.
async fn with_tokens(clock: Clock) -> (Broker, Client, String, String) {
    let broker = Broker::start_at(clock).await;
    let mut client = broker.client().await;
    let create = Document::structure([("StreamName", "a".into()), ("ShardCount", 2u32.into())]);
    assert_eq!(client.call("CreateStream", &create, Codec::Json).await.0, 200);
    let iterator = Document::structure([
        ("StreamName", "a".into()),
        ("ShardId", "shardId-0".into()),
        ("ShardIteratorType", "TRIM_HORIZON".into()),
    ]);
    let page = Document::structure([("StreamName", "a".into()), ("MaxResults", 1u32.into())]);
    let iterator = token(&mut client, "GetShardIterator", &iterator, "ShardIterator").await;
    let page = token(&mut client, "ListShards", &page, "NextToken").await;
    (broker, client, iterator, page)
}

/// The token that a call answers with, once the stream is there.
async fn token(client: &mut Client, operation: &str, request: &Document, member: &str) -> String {
    for _ in 0..500 {
        let (status, answer) = client.call(operation, request, Codec::Json).await;
        if status == 200 {
            let Some(Document::Text(token)) = answer.as_ref().and_then(|answer| answer.get(member)) else {
                panic!("{operation} answers {answer:?}")
            };
            return token.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{operation} does not answer")
}

async fn fault(client: &mut Client, operation: &str, request: &Document, codec: Codec) -> String {
    match client.call(operation, request, codec).await.1.as_ref().and_then(|answer| answer.get("__type")) {
        Some(Document::Text(name)) => name.clone(),
        other => panic!("{operation} {request:?} answers {other:?}"),
    }
}

fn changed(token: &str) -> String {
    let (first, rest) = token.split_at(token.len() / 2);
    let other = if rest.starts_with('A') { "B" } else { "A" };
    format!("{first}{other}{}", &rest[1..])
}

#[tokio::test]
async fn tokens_that_were_not_given_out_are_refused() {
    let model = Model::read();
    let (broker, mut client, iterator, page) = with_tokens(Clock::System).await;
    let (other, _, foreign_iterator, foreign_page) = with_tokens(Clock::System).await;
    let made_up = ["AAAA".to_owned(), "é\0".to_owned(), "=".repeat(400), changed(&iterator), changed(&page)];
    for codec in CODECS {
        for text in made_up.iter().chain([&foreign_iterator, &page]) {
            let request = Document::structure([("ShardIterator", text.as_str().into())]);
            let found = fault(&mut client, "GetRecords", &request, codec).await;
            assert_eq!(found, "InvalidArgumentException", "{text}");
        }
        for (operation, _) in model.operations() {
            if model.members(operation).iter().all(|(member, _)| *member != "NextToken") {
                continue;
            }
            // The page of ListShards is that of no other operation.
            let own = (operation != "ListShards").then_some(&page);
            for text in made_up.iter().chain([&foreign_page, &iterator]).chain(own) {
                let request = replaced(model.request(operation), "NextToken", Some(text.as_str().into()));
                let found = fault(&mut client, operation, &request, codec).await;
                let is_there = found != "InvalidAction";
                assert!(!is_there || found == "InvalidArgumentException", "{operation} {text} {found}");
            }
        }
    }
    broker.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn tokens_that_are_too_old_are_reported() {
    let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
    let (broker, mut client, iterator, page) = with_tokens(Clock::Manual(now_ms.clone())).await;
    now_ms.fetch_add(ITERATOR_LIFE_MS.max(PAGE_TOKEN_LIFE_MS) + 1, Ordering::AcqRel);
    for codec in CODECS {
        for (operation, member, token, expected) in [
            ("GetRecords", "ShardIterator", &iterator, "ExpiredIteratorException"),
            ("ListShards", "NextToken", &page, "ExpiredNextTokenException"),
        ] {
            let request = Document::structure([(member, token.as_str().into())]);
            assert_eq!(fault(&mut client, operation, &request, codec).await, expected);
        }
    }
    broker.stop().await;
}
