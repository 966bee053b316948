//! Links: a kept stream of puts to each other node, and a second one while a link that was retired is still answered. A
//! call for each put would cost more than all the rest of a small put.
//!
//! A link sends puts in the order in which they were queued, and the node answers each by itself, in any order. When
//! the stream ends, a put that was still queued was certainly not proposed; a put that was sent and not answered has an
//! unknown outcome ([`run`]). The next put then starts another stream. Used by [`super::forward`] and
//! [`super::session`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::FutureExt;
use futures_util::stream::{self, Stream};
use tidelog_proto::peer;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::outcomes::PartError;
use crate::cluster::peers::{Client, Peers};
use crate::replication::refused_or_unknown;
use crate::shell::spawn_short;

/// Puts that wait for one stream; callers with further ones wait. The bytes of the puts have a bound of their own.
const WAITING_MAX: usize = 1_024;

pub(in crate::service) type Answer = Result<peer::PutResponse, PartError>;

/// A put, and the caller that waits for its outcome.
struct QueuedPut {
    put: peer::PutRequest,
    waiting: Waiting,
}

/// The caller that waits for an answer, and the memory for its records until then.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    _share: ForwardingShare,
}

/// A share of the memory for records on their way to other nodes.
pub(in crate::service) type ForwardingShare = Arc<OwnedSemaphorePermit>;

/// The stream of puts to a node, which receives them in order, if at all.
#[derive(Clone, Debug)]
pub struct PutLink(mpsc::Sender<QueuedPut>);

impl PutLink {
    /// A link to no node.
    #[cfg(test)]
    pub(super) fn unconnected() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Queues a put, once there is room. Returns the future of the node's answer; the caller checks that it fits the
    /// put.
    pub(in crate::service) async fn take(
        &self,
        put: peer::PutRequest,
        share: ForwardingShare,
    ) -> impl Future<Output = Answer> + use<> {
        let (answer, answered) = oneshot::channel();
        // A put that is dropped from the queue was never sent, and one that was sent always gets an answer.
        drop(self.0.send(QueuedPut { put, waiting: Waiting { answer, _share: share } }).await);
        answered.map(|answered| answered.unwrap_or(Err(PartError::NotProposed)))
    }
}

impl PartialEq for PutLink {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// The streams to the other nodes.
#[derive(Default)]
pub struct PutLinks {
    streams: Mutex<HashMap<u64, PutLink>>,
}

impl PutLinks {
    /// Sends a put to a node. Returns the node's answer, which may not fit the put.
    ///
    /// # Errors
    /// [`PartError`].
    pub(in crate::service) async fn send(
        &self,
        peers: &Arc<Peers>,
        (node, client): (u64, Client),
        put: peer::PutRequest,
        share: ForwardingShare,
    ) -> Answer {
        self.started(peers, node, client).take(put, share).await.await
    }

    /// Makes later puts start another stream. Puts that were sent over this one are still answered.
    pub(in crate::service) fn retire(&self, link: &PutLink) {
        let mut streams = self.streams.lock().expect("no code panics while it holds this lock");
        streams.retain(|_, running| running != link);
    }

    /// The stream to a node, if there is one.
    pub(in crate::service) fn running(&self, node: u64) -> Option<PutLink> {
        running(&self.streams.lock().expect("no code panics while it holds this lock"), node)
    }

    fn started(&self, peers: &Arc<Peers>, node: u64, client: Client) -> PutLink {
        let mut streams = self.streams.lock().expect("no code panics while it holds this lock");
        if let Some(link) = running(&streams, node) {
            return link;
        }
        let (stream, queue) = mpsc::channel(WAITING_MAX);
        // The end of the task closes the channel, and the next put starts another stream.
        spawn_short(run(peers.clone(), node, client, queue));
        let link = PutLink(stream);
        streams.insert(node, link.clone());
        link
    }
}

fn running(streams: &HashMap<u64, PutLink>, node: u64) -> Option<PutLink> {
    streams.get(&node).filter(|link| !link.0.is_closed()).cloned()
}

/// Sends queued puts and hands their answers to the callers until the stream ends; then every put that was sent and not
/// answered gets an unknown outcome, unless the node refused the whole stream.
async fn run(peers: Arc<Peers>, node: u64, mut client: Client, queue: mpsc::Receiver<QueuedPut>) {
    let sent = Arc::new(SentPuts::default());
    let puts = peers.request(node, send_puts(queue, sent.clone()), None);
    let mut answers = match client.put(puts).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => {
            tracing::debug!(%status, node, "no stream of puts to a leader");
            return sent.end(&refused_or_unknown(&status).into());
        }
    };
    loop {
        match answers.message().await {
            Ok(Some(answer)) => sent.answer(answer),
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%status, node, "a stream of puts to a leader has ended");
                break;
            }
        }
    }
    sent.end(&PartError::Unknown);
}

/// The queued puts in order, as the connection takes them. A put whose caller has gone is dropped.
fn send_puts(
    queue: mpsc::Receiver<QueuedPut>,
    sent: Arc<SentPuts>,
) -> impl Stream<Item = peer::PutRequest> + Send + 'static {
    stream::unfold((queue, sent), |(mut queue, sent)| async move {
        loop {
            let QueuedPut { put, waiting } = queue.recv().await?;
            // Its caller has gone and wants no outcome.
            if !waiting.answer.is_closed() {
                let id = sent.note(waiting)?;
                return Some((peer::PutRequest { id, ..put }, (queue, sent)));
            }
        }
    })
}

/// The callers that wait for the puts that were sent, by the puts' ids; `None` once the stream has ended.
struct SentPuts(Mutex<Option<Unanswered>>);

#[derive(Default)]
struct Unanswered {
    last_id: u64,
    puts: BTreeMap<u64, Waiting>,
}

impl Default for SentPuts {
    fn default() -> Self {
        Self(Mutex::new(Some(Unanswered::default())))
    }
}

impl SentPuts {
    fn unanswered(&self) -> MutexGuard<'_, Option<Unanswered>> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    /// The id for one more put; `None` when the stream has ended, so that the put is not sent.
    fn note(&self, waiting: Waiting) -> Option<u64> {
        let mut unanswered = self.unanswered();
        let unanswered = unanswered.as_mut()?;
        unanswered.last_id += 1;
        unanswered.puts.insert(unanswered.last_id, waiting);
        Some(unanswered.last_id)
    }

    fn answer(&self, answer: peer::PutResponse) {
        let waiting = self.unanswered().as_mut().and_then(|unanswered| unanswered.puts.remove(&answer.id));
        if let Some(Waiting { answer: waiting, _share }) = waiting {
            // The caller may have gone at its deadline.
            drop(waiting.send(Ok(answer)));
        }
    }

    fn end(&self, outcome: &PartError) {
        let unanswered = self.unanswered().take();
        for waiting in unanswered.into_iter().flat_map(|unanswered| unanswered.puts.into_values()) {
            drop(waiting.answer.send(Err(outcome.clone())));
        }
    }
}

impl Drop for SentPuts {
    fn drop(&mut self) {
        self.end(&PartError::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::Semaphore;

    use super::*;

    fn queued() -> (QueuedPut, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let share = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("one is there").into();
        (QueuedPut { put: peer::PutRequest::default(), waiting: Waiting { answer, _share: share } }, answered)
    }

    #[tokio::test]
    async fn a_put_whose_caller_has_left_is_skipped_and_a_retired_link_takes_nothing_new() {
        let (stream, queue) = mpsc::channel(4);
        let mut puts = Box::pin(send_puts(queue, Arc::default()));
        let (left, waits) = (queued(), queued());
        drop(left.1);
        for queued in [left.0, waits.0] {
            stream.try_send(queued).map_err(|_| "full").expect("room");
        }
        assert_eq!(puts.next().await.expect("a put").id, 1, "one is sent over");
        assert!(stream.capacity() == 4);

        let (put_links, link) = (PutLinks::default(), PutLink(stream));
        put_links.streams.lock().expect("no panic").insert(1, link.clone());
        assert_eq!(put_links.running(1), Some(link.clone()));
        put_links.retire(&PutLink(mpsc::channel(1).0));
        assert_eq!(put_links.running(1), Some(link.clone()), "it is another one");
        put_links.retire(&link);
        assert_eq!(put_links.running(1), None);
    }

    #[tokio::test]
    async fn puts_handed_over_are_unknown_and_others_are_not_proposed() {
        let sent = Arc::new(SentPuts::default());
        let (stream, queue) = mpsc::channel(4);
        let mut puts = Box::pin(send_puts(queue, sent.clone()));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (queued, answered) = queued();
                stream.try_send(queued).map_err(|_| "full").expect("room");
                answered
            })
            .collect();
        let first = puts.next().await.expect("a put").id;
        let second = puts.next().await.expect("a put").id;
        assert_ne!(first, second);
        sent.answer(peer::PutResponse { id: second, ..Default::default() });
        sent.end(&PartError::Unknown);
        assert_eq!(puts.next().await, None, "nothing is sent over after the end");
        drop(puts);
        let mut outcomes = Vec::new();
        for answered in waiting {
            outcomes.push(answered.await.unwrap_or(Err(PartError::NotProposed)).map(|answer| answer.id));
        }
        assert_eq!(outcomes, [Err(PartError::Unknown), Ok(second), Err(PartError::NotProposed)]);
        assert!(stream.is_closed(), "the next put begins another stream");
    }
}
