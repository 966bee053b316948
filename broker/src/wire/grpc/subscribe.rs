//! Subscribe: many shards followed at once, and after them their children.
//!
//! One message is made at a time, from whichever shard has something: the others wait, and so do the nodes that lead
//! them. What a message takes is counted with the events of all subscriptions until the next one is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use tidelog_proto::v1::{SubscribeRequest, SubscribeResponse, subscribe_response::Event};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::records::shard_name;
use super::{Messages, messages, status};
use crate::model::stream::{Shard, Stream};
use crate::ops::native::{self, At, Item, Place, Source, Way};
use crate::ops::{Call, Fault};
use crate::service::Service;

/// Longest name of a consumer, characters.
const NAME_LENGTH_MAX: usize = 128;

/// Begins a subscription.
///
/// # Errors
/// As `records.proto` has it; once it has begun, its messages end with them.
pub(super) async fn begin(
    service: &Arc<Service>,
    call: &Call,
    request: &SubscribeRequest,
) -> Result<Messages<SubscribeResponse>, Status> {
    let SubscribeRequest { stream, consumer, shards, from, follow_reshards } = request;
    if !is_name(consumer) {
        return Err(status::invalid("A consumer's name has 1 to 128 characters of [a-zA-Z0-9_.-], or none."));
    }
    let from = messages::at(from.as_ref())?.unwrap_or(At::Latest);
    let named = shards.iter().map(|shard| Ok((&*shard.shard_id, messages::at(shard.from.as_ref())?)));
    let named = named.collect::<Result<Vec<_>, Status>>()?;
    let places = native::places(service, call, stream, &named, from).await.map_err(status::of)?;
    let mut following = Following {
        service: service.clone(),
        consumer: consumer.as_str().into(),
        follows_reshards: *follow_reshards,
        followed: places.iter().map(|place| place.shard.index).collect(),
        ended: BTreeSet::new(),
        waiting: places,
        running: SelectAll::new(),
        room: None,
        is_over: false,
    };
    following.start_those_whose_turn_it_is();
    Ok(following.responses())
}

fn is_name(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= NAME_LENGTH_MAX && text.bytes().all(is_legal)
}

/// What a shard has told.
type Told = (Arc<Stream>, Shard, Result<Item, Fault>);

/// A subscription under way.
struct Following {
    service: Arc<Service>,
    consumer: Arc<str>,
    follows_reshards: bool,
    /// Indices of all shards that it has followed, follows or will follow.
    followed: BTreeSet<u32>,
    /// Of those, which have come to their end.
    ended: BTreeSet<u32>,
    /// Shards whose parents are not at their end.
    waiting: Vec<Place>,
    running: SelectAll<BoxStream<'static, Told>>,
    /// Of the message that was given last.
    room: Option<OwnedSemaphorePermit>,
    is_over: bool,
}

impl Following {
    fn responses(self) -> Messages<SubscribeResponse> {
        let responses = stream::unfold(self, |mut following| async move {
            let response = following.next().await?;
            Some((response, following))
        });
        responses.boxed()
    }

    async fn next(&mut self) -> Option<Result<SubscribeResponse, Status>> {
        self.room = None;
        if self.is_over {
            return None;
        }
        let (stream, shard, item) = self.running.next().await?;
        let event = match item {
            Ok(Item::Batch(batch)) => {
                let bytes = batch.records.iter().map(|record| record.data.len()).sum();
                self.room = self.service.room(bytes).await;
                Event::Records(messages::records(&shard, batch, self.service.now_ms()))
            }
            Ok(Item::EndOfShard(children)) => {
                let end = messages::end(&children);
                self.go_on_after(&stream, &shard, children);
                Event::End(end)
            }
            Ok(Item::Done) => unreachable!("a shard that is followed is never done"),
            Err(fault) => {
                self.is_over = true;
                return Some(Err(status::of(fault)));
            }
        };
        Some(Ok(SubscribeResponse { shard_id: shard_name(shard.index), event: Some(event) }))
    }

    /// A shard has come to its end: its children may follow it.
    fn go_on_after(&mut self, stream: &Arc<Stream>, ended: &Shard, children: Vec<Shard>) {
        self.ended.insert(ended.index);
        if self.follows_reshards {
            for child in children {
                if self.followed.insert(child.index) {
                    self.waiting.push(Place::from_the_oldest(stream.clone(), child));
                }
            }
        }
        self.start_those_whose_turn_it_is();
    }

    fn start_those_whose_turn_it_is(&mut self) {
        let (followed, ended, follows) = (&self.followed, &self.ended, self.follows_reshards);
        let is_its_turn = |place: &mut Place| {
            !follows
                || messages::parents(&place.shard)
                    .all(|parent| !followed.contains(&parent) || ended.contains(&parent))
        };
        let starting: Vec<Place> = self.waiting.extract_if(.., is_its_turn).collect();
        for place in starting {
            let (stream, shard) = (place.stream.clone(), place.shard.clone());
            let way = Way::Share(self.consumer.clone());
            let source = Source::new(self.service.clone(), place, way);
            let told = stream::unfold((source, stream, shard), |(mut source, stream, shard)| async move {
                let item = source.next().await?;
                Some(((stream.clone(), shard.clone(), item), (source, stream, shard)))
            });
            self.running.push(told.boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        for (name, is_legal) in
            [("", true), ("a", true), ("A.b_c-9", true), ("a b", false), ("é", false), ("a/b", false)]
        {
            assert_eq!(is_name(name), is_legal, "{name}");
        }
        assert!(is_name(&"a".repeat(128)) && !is_name(&"a".repeat(129)));
    }
}
