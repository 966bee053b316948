//! Subscribe: many shards followed at once, and after them their children.
//!
//! One message is given at a time, from whichever shard has something ([`Sources`]). Records have their room before
//! they are read, and keep it until the message after theirs is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tidelog_proto::v1::{SubscribeRequest, SubscribeResponse, subscribe_response::Event};
use tonic::Status;

use super::records::shard_name;
use super::sources::Sources;
use super::{Messages, messages, status};
use crate::model::stream::{Shard, Stream};
use crate::ops::Call;
use crate::ops::native::{self, At, FollowMode, Item, ShardStart, Source};
use crate::service::{CallRoom, FollowedShards, Service};

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
    room: CallRoom,
) -> Result<Messages<SubscribeResponse>, Status> {
    let SubscribeRequest { stream, consumer, shards, from, follow_reshards } = request;
    if !is_name(consumer) {
        return Err(status::invalid("A consumer's name has 1 to 128 characters of [a-zA-Z0-9_.-], or none."));
    }
    let from = messages::at(from.as_ref())?.unwrap_or(At::Latest);
    let named = shards.iter().map(|shard| Ok((&*shard.shard_id, messages::at(shard.from.as_ref())?)));
    let named = named.collect::<Result<Vec<_>, Status>>()?;
    let starts = native::find_starts(service, call, stream, &named, from).await.map_err(status::of)?;
    let mut counted = service.followed_shards(starts.first().map_or(0, |start| start.stream.uid));
    if !counted.add(starts.len()) {
        return Err(too_many());
    }
    let mut following = Following {
        service: service.clone(),
        consumer: consumer.as_str().into(),
        follows_reshards: *follow_reshards,
        followed: starts.iter().map(|start| start.shard.index).collect(),
        ended: BTreeSet::new(),
        waiting: starts,
        sources: Sources::new(service),
        room,
        given: None,
        counted,
        is_over: false,
    };
    following.start_ready_shards();
    Ok(following.responses())
}

fn too_many() -> Status {
    status::unavailable("This node follows as many shards of the stream for its clients as it can.")
}

fn is_name(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= NAME_LENGTH_MAX && text.bytes().all(is_legal)
}

/// A subscription under mode.
struct Following {
    service: Arc<Service>,
    consumer: Arc<str>,
    follows_reshards: bool,
    /// Indices of all shards that it has followed, follows or will follow.
    followed: BTreeSet<u32>,
    /// Indices of the followed shards that have come to their end.
    ended: BTreeSet<u32>,
    /// Shards whose parents are not at their end.
    waiting: Vec<ShardStart>,
    sources: Sources,
    room: CallRoom,
    /// The source of the message that was given last.
    given: Option<Source>,
    /// The shards among all that are followed on this node.
    counted: FollowedShards,
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
        if let Some(source) = self.given.take() {
            self.sources.go_on(source);
        }
        if self.is_over {
            return None;
        }
        let (source, item) = self.sources.next().await?;
        let shard = source.shard().clone();
        let event = match item {
            Ok(Item::Batch(batch)) => {
                self.given = Some(source);
                Event::Records(messages::records(&shard, batch, self.service.now_ms()))
            }
            Ok(Item::EndOfShard(children)) => {
                let end = messages::end(&children);
                if !self.go_on_after(source.stream(), &shard, children) {
                    self.is_over = true;
                    return Some(Err(too_many()));
                }
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

    /// A shard has come to its end: its children may follow it. False when there is no room for them.
    fn go_on_after(&mut self, stream: &Arc<Stream>, ended: &Shard, children: Vec<Shard>) -> bool {
        self.ended.insert(ended.index);
        self.counted.remove_one();
        if self.follows_reshards {
            for child in children {
                if self.followed.insert(child.index) {
                    if !self.counted.add(1) {
                        return false;
                    }
                    self.waiting.push(ShardStart::from_the_oldest(stream.clone(), child));
                }
            }
        }
        self.start_ready_shards();
        true
    }

    fn start_ready_shards(&mut self) {
        let (followed, ended, follows) = (&self.followed, &self.ended, self.follows_reshards);
        let is_due = |start: &mut ShardStart| {
            !follows
                || messages::parents(&start.shard)
                    .all(|parent| !followed.contains(&parent) || ended.contains(&parent))
        };
        for start in self.waiting.extract_if(.., is_due) {
            let mode = FollowMode::Share(self.consumer.clone());
            self.sources.add(Source::new(self.service.clone(), start, mode, self.room.clone()));
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
