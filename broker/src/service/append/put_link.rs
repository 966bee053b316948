//! Puts on their way to the leaders of their groups: one kept stream to each node instead of a call for each put, which
//! cost more than all the rest of it.
//!
//! Each put is answered by itself, in any order. What was not handed to the stream was certainly not heard; when a
//! stream ends, everything that was handed to it and is not answered has an unknown outcome. Used by [`super::forward`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::FutureExt;
use futures_util::stream::{self, Stream};
use tidelog_proto::peer;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::receive::Undelivered;
use crate::cluster::peers::{Client, Peers};
use crate::replication::refused_or_unknown;
use crate::shell::spawn_short;

/// Puts that wait for one stream; further ones wait for room. Their bytes have a bound of their own.
const WAITING_MAX: usize = 1_024;

pub(in crate::service) type Answer = Result<peer::PutResponse, Undelivered>;

/// A put, and who waits for its outcome.
struct Errand {
    put: peer::PutRequest,
    waiting: Waiting,
}

/// Who waits for an answer, and the memory for what was put until then.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    _share: Share,
}

/// A share of the memory for what is on its way to other nodes.
pub(in crate::service) type Share = Arc<OwnedSemaphorePermit>;

/// A stream to a node. What is handed to it is heard in that order, if it is.
#[derive(Clone, Debug)]
pub struct Courier(mpsc::Sender<Errand>);

impl Courier {
    /// Hands a put over, once there is room. What it gives back is the node's answer; it may be to something else than
    /// what was asked.
    pub(in crate::service) async fn take(
        &self,
        put: peer::PutRequest,
        share: Share,
    ) -> impl Future<Output = Answer> + use<> {
        let (answer, answered) = oneshot::channel();
        // An errand that is dropped was not handed over: what was is answered in any case.
        drop(self.0.send(Errand { put, waiting: Waiting { answer, _share: share } }).await);
        answered.map(|answered| answered.unwrap_or(Err(Undelivered::NotProposed)))
    }
}

impl PartialEq for Courier {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// The streams to the other nodes.
#[derive(Default)]
pub struct Couriers {
    streams: Mutex<HashMap<u64, Courier>>,
}

impl Couriers {
    /// Brings a put to a node. The answer is the node's; it may be to something else than what was asked.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub(in crate::service) async fn carry(
        &self,
        peers: &Arc<Peers>,
        (node, client): (u64, Client),
        put: peer::PutRequest,
        share: Share,
    ) -> Answer {
        self.started(peers, node, client).take(put, share).await.await
    }

    /// Lets puts begin another stream. What was handed to this one is answered.
    pub(in crate::service) fn retire(&self, courier: &Courier) {
        let mut streams = self.streams.lock().expect("no code panics while it holds this lock");
        streams.retain(|_, running| running != courier);
    }

    /// The stream to a node, if there is one.
    pub(in crate::service) fn running(&self, node: u64) -> Option<Courier> {
        running(&self.streams.lock().expect("no code panics while it holds this lock"), node)
    }

    fn started(&self, peers: &Arc<Peers>, node: u64, client: Client) -> Courier {
        let mut streams = self.streams.lock().expect("no code panics while it holds this lock");
        if let Some(courier) = running(&streams, node) {
            return courier;
        }
        let (stream, errands) = mpsc::channel(WAITING_MAX);
        // A stream that ends, however it does, is closed, and the next put makes another.
        spawn_short(run(peers.clone(), node, client, errands));
        let courier = Courier(stream);
        streams.insert(node, courier.clone());
        courier
    }
}

fn running(streams: &HashMap<u64, Courier>, node: u64) -> Option<Courier> {
    streams.get(&node).filter(|courier| !courier.0.is_closed()).cloned()
}

/// Hands puts over and brings their answers back, until the stream ends.
async fn run(peers: Arc<Peers>, node: u64, mut client: Client, errands: mpsc::Receiver<Errand>) {
    let handed = Arc::new(Handed::default());
    let puts = peers.request(node, hand_over(errands, handed.clone()), None);
    let mut answers = match client.put(puts).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => {
            tracing::debug!(%status, node, "no stream of puts to a leader");
            return handed.end(&refused_or_unknown(&status).into());
        }
    };
    loop {
        match answers.message().await {
            Ok(Some(answer)) => handed.answer(answer),
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%status, node, "a stream of puts to a leader has ended");
                break;
            }
        }
    }
    handed.end(&Undelivered::Unknown);
}

/// The puts as they are handed to the connection.
fn hand_over(
    errands: mpsc::Receiver<Errand>,
    handed: Arc<Handed>,
) -> impl Stream<Item = peer::PutRequest> + Send + 'static {
    stream::unfold((errands, handed), |(mut errands, handed)| async move {
        loop {
            let Errand { put, waiting } = errands.recv().await?;
            // Whoever has left is spared.
            if !waiting.answer.is_closed() {
                let id = handed.note(waiting)?;
                return Some((peer::PutRequest { id, ..put }, (errands, handed)));
            }
        }
    })
}

/// Who waits for the puts that were handed over, by their ids; `None` once the stream has ended.
struct Handed(Mutex<Option<Unanswered>>);

#[derive(Default)]
struct Unanswered {
    last_id: u64,
    puts: BTreeMap<u64, Waiting>,
}

impl Default for Handed {
    fn default() -> Self {
        Self(Mutex::new(Some(Unanswered::default())))
    }
}

impl Handed {
    fn unanswered(&self) -> MutexGuard<'_, Option<Unanswered>> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    /// The id for one more put; `None` when the stream has ended: it is not handed over then.
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
            // Whoever has waited too long is gone.
            drop(waiting.send(Ok(answer)));
        }
    }

    fn end(&self, undelivered: &Undelivered) {
        let unanswered = self.unanswered().take();
        for waiting in unanswered.into_iter().flat_map(|unanswered| unanswered.puts.into_values()) {
            drop(waiting.answer.send(Err(undelivered.clone())));
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.end(&Undelivered::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::Semaphore;

    use super::*;

    fn errand() -> (Errand, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let share = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("one is there").into();
        (Errand { put: peer::PutRequest::default(), waiting: Waiting { answer, _share: share } }, answered)
    }

    #[tokio::test]
    async fn whoever_has_left_is_spared_and_who_is_retired_takes_nothing_new() {
        let (stream, errands) = mpsc::channel(4);
        let mut puts = Box::pin(hand_over(errands, Arc::default()));
        let (left, waits) = (errand(), errand());
        drop(left.1);
        for errand in [left.0, waits.0] {
            stream.try_send(errand).map_err(|_| "full").expect("room");
        }
        assert_eq!(puts.next().await.expect("a put").id, 1, "one is handed over");
        assert!(stream.capacity() == 4);

        let (couriers, courier) = (Couriers::default(), Courier(stream));
        couriers.streams.lock().expect("no panic").insert(1, courier.clone());
        assert_eq!(couriers.running(1), Some(courier.clone()));
        couriers.retire(&Courier(mpsc::channel(1).0));
        assert_eq!(couriers.running(1), Some(courier.clone()), "it is another one");
        couriers.retire(&courier);
        assert_eq!(couriers.running(1), None);
    }

    #[tokio::test]
    async fn what_was_handed_over_is_unknown_and_what_was_not_is_not_proposed() {
        let handed = Arc::new(Handed::default());
        let (stream, errands) = mpsc::channel(4);
        let mut puts = Box::pin(hand_over(errands, handed.clone()));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (errand, answered) = errand();
                stream.try_send(errand).map_err(|_| "full").expect("room");
                answered
            })
            .collect();
        let first = puts.next().await.expect("a put").id;
        let second = puts.next().await.expect("a put").id;
        assert_ne!(first, second);
        handed.answer(peer::PutResponse { id: second, ..Default::default() });
        handed.end(&Undelivered::Unknown);
        assert_eq!(puts.next().await, None, "nothing is handed over after the end");
        drop(puts);
        let mut outcomes = Vec::new();
        for answered in waiting {
            outcomes.push(answered.await.unwrap_or(Err(Undelivered::NotProposed)).map(|answer| answer.id));
        }
        assert_eq!(outcomes, [Err(Undelivered::Unknown), Ok(second), Err(Undelivered::NotProposed)]);
        assert!(stream.is_closed(), "the next put begins another stream");
    }
}
