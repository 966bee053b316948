//! A session puts the messages of one PutStream call: several are in flight, and the records of each shard keep the
//! order of the messages.
//!
//! The parts of a put go into queues that keep their order: the group's own queue where this node leads the group,
//! otherwise the link to the leader's node. The flow of one put, [`Appender::append_in_order`]:
//!
//! 1. The put before it is in all of its queues. The caller waits for that ([`PutSession::last_is_queued`]) before it
//!    begins the next put.
//! 2. The put joins the puts in flight if it cannot overtake one of them: it must use the same version of the stream's
//!    shards and, for each group, the same queue ([`Routes::add`]).
//! 3. A put that joined enters its queues, lets the next put begin, and awaits its answers.
//! 4. A put that could not join, or has records to send again because a shard was sealed or a leader did not take them,
//!    waits until all earlier puts have ended, and then sends its records as a put without a session does.
//!
//! Two limits remain. A leader that loses its group after it has queued a put, and regains the group before the next
//! put arrives, may let the second put come first. And a put of unknown outcome may still be written at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tidelog_proto::peer;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::messages::{read_response, send_part};
use super::outcomes::{PartError, Results, Retries, settle_part};
use super::prepare::{GroupPart, Proposer};
use super::put_link::{Answer, PutLink};
use super::{AppendFailure, AppendedRecord, Appender, NewRecord, outcome_deadline};
use crate::model::producer::Stamp;
use crate::model::stream::Stream;
use crate::replication::Leader;

/// The puts of one caller, in their order.
#[derive(Debug, Default)]
pub struct PutSession(Arc<State>);

/// The progress of a session, and the tasks that wait for it. A watch channel would notify eight lists of waiting tasks
/// at each change.
#[derive(Debug, Default)]
struct State {
    progress: Mutex<Progress>,
    /// Notified when a put is in all of its queues or ends.
    changed: Notify,
}

/// The progress of a session's puts, which are numbered from 1.
#[derive(Debug, Default)]
struct Progress {
    /// Number of the put that began last.
    last: u64,
    /// True until that put is in all of its queues.
    is_queueing: bool,
    /// Numbers of the puts that have not ended.
    in_flight: BTreeSet<u64>,
    routes: Routes,
}

/// The routes of the puts in flight: the version of the stream that routed them, and the queue of each group.
#[derive(Debug, Default)]
struct Routes {
    stream: Option<Arc<Stream>>,
    queues: BTreeMap<u8, Queue>,
}

/// A queue that keeps the order of a group's records.
#[derive(Clone, Debug, PartialEq)]
enum Queue {
    /// The queue of a group that this node leads.
    Local,
    /// The link to the node that leads the group.
    Link(PutLink),
}

impl Routes {
    /// Adds the routes of one more put; false, with nothing added, if that put could overtake one in flight.
    fn add<'a>(
        &mut self,
        stream: &Arc<Stream>,
        queues: impl Iterator<Item = (u8, &'a Queue)> + Clone,
    ) -> bool {
        let is_same_stream = self.stream.as_ref().is_none_or(|routed| Arc::ptr_eq(routed, stream));
        let is_same_queue = |(group, queue)| self.queues.get(&group).is_none_or(|known| known == queue);
        if !is_same_stream || !queues.clone().all(is_same_queue) {
            return false;
        }
        self.stream = Some(stream.clone());
        self.queues.extend(queues.map(|(group, queue)| (group, queue.clone())));
        true
    }
}

impl State {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the progress has come so far, and returns the value that says so.
    async fn reached<T>(&self, is_reached: impl Fn(&Progress) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(reached) = is_reached(&self.progress()) {
                return reached;
            }
            changed.await;
        }
    }
}

impl PutSession {
    /// Begins the next put of the session, once the put before it is in its queues ([`Self::last_is_queued`]).
    pub fn begin(&self) -> OrderedPut {
        let mut progress = self.0.progress();
        progress.last += 1;
        progress.is_queueing = true;
        let number = progress.last;
        progress.in_flight.insert(number);
        OrderedPut { session: self.0.clone(), number }
    }

    /// Waits until the put that began last is in all of its queues; false if it ended without that, because it was
    /// refused as a whole.
    pub async fn last_is_queued(&self) -> bool {
        let is_queued = |progress: &Progress| {
            let is_decided = !progress.is_queueing || !progress.in_flight.contains(&progress.last);
            is_decided.then_some(!progress.is_queueing)
        };
        self.0.reached(is_queued).await
    }
}

/// One put of a session. Dropping it ends the put.
#[derive(Debug)]
pub struct OrderedPut {
    session: Arc<State>,
    number: u64,
}

impl OrderedPut {
    /// Adds this put's routes to those in flight; false if the put has to wait for the earlier ones.
    fn join<'a>(&self, stream: &Arc<Stream>, queues: impl Iterator<Item = (u8, &'a Queue)> + Clone) -> bool {
        self.session.progress().routes.add(stream, queues)
    }

    /// Unblocks the next put of the session once this one is queued.
    fn let_next_begin(&self) {
        let mut progress = self.session.progress();
        if progress.is_queueing && progress.last == self.number {
            progress.is_queueing = false;
            drop(progress);
            self.session.changed.notify_waiters();
        }
    }

    /// Waits until all earlier puts have ended.
    async fn wait_for_earlier(&self) {
        self.session
            .reached(|progress| (progress.in_flight.first() == Some(&self.number)).then_some(()))
            .await;
    }

    /// Forgets the routes of earlier puts, all of which have ended.
    fn forget_routes(&self) {
        self.session.progress().routes = Routes::default();
    }
}

impl Drop for OrderedPut {
    fn drop(&mut self) {
        let mut progress = self.session.progress();
        progress.in_flight.remove(&self.number);
        if progress.in_flight.is_empty() {
            progress.routes = Routes::default();
        }
        drop(progress);
        self.session.changed.notify_waiters();
    }
}

impl Appender {
    /// Appends records like [`Self::append`], as one put of a session.
    pub async fn append_in_order(
        &self,
        stream: &Arc<Stream>,
        records: &[NewRecord<'_>],
        stamp: Option<&Stamp>,
        put: OrderedPut,
    ) -> Vec<Result<AppendedRecord, AppendFailure>> {
        let (parts, mut results) = self.prepare_all(stream, records, stamp);
        let queues = self.queues(&parts);
        let is_joined = queues
            .as_ref()
            .is_some_and(|queues| put.join(stream, parts.iter().map(|part| part.group).zip(queues)));
        let (unsent, mut retries) = match queues.filter(|_| is_joined) {
            Some(queues) => self.send_queued(parts.into_iter().zip(queues), &put, &mut results).await,
            None => (parts, Retries::default()),
        };
        if !is_joined || !unsent.is_empty() || !retries.is_empty() {
            put.wait_for_earlier().await;
            let deadline = outcome_deadline();
            retries.append(self.send(unsent, deadline, &mut results).await);
            self.send_again(stream.uid, records, stamp, retries, deadline, &mut results).await;
        }
        if !is_joined {
            put.forget_routes();
            put.let_next_begin();
        }
        results
    }

    /// The queue of each part; `None` if a part has none now, because its group has no known leader or no link to it.
    fn queues(&self, parts: &[GroupPart]) -> Option<Vec<Queue>> {
        let queue = |part: &GroupPart| match part.proposer {
            Proposer::ThisNode => Some(Queue::Local),
            Proposer::Leader => match self.groups.leadership().leader(part.group) {
                Leader::At(node) => self.put_links.running(node).map(Queue::Link),
                Leader::Here | Leader::Unknown => None,
            },
        };
        parts.iter().map(queue).collect()
    }

    /// Sends parts like [`Self::send`], but through these queues alone, and lets the next put begin once each part is
    /// in its queue. Returns the parts that a leader did not take, and the records that have to be sent again.
    async fn send_queued(
        &self,
        parts: impl Iterator<Item = (GroupPart, Queue)>,
        put: &OrderedPut,
        results: &mut Results,
    ) -> (Vec<GroupPart>, Retries) {
        let deadline = outcome_deadline();
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        for (part, queue) in parts {
            match queue {
                Queue::Local => local.push(part),
                Queue::Link(link) => remote.push((part, link)),
            }
        }
        let (sent, queued) = tokio::join!(self.send_to_links(remote, deadline), self.queue(local, deadline));
        put.let_next_begin();
        let answering = join_all(sent.into_iter().map(|(part, link, answer)| async move {
            let answer = match answer {
                Some(answer) => timeout_at(deadline, answer).await.unwrap_or(Err(PartError::Unknown)),
                None => Err(PartError::NoRoom),
            };
            (answer.and_then(|answer| read_response(answer, &part.batches)), part, link)
        }));
        let (queued, answers) = tokio::join!(join_all(queued), answering);
        let (mut retries, mut untaken) = (Retries::default(), Vec::new());
        for (outcome, sent) in queued {
            settle_part(results, outcome, sent, &mut retries);
        }
        for (outcome, part, link) in answers {
            if outcome == Err(PartError::NotProposed) {
                // The leader takes no further ordered put of this group over this link.
                self.put_links.retire(&link);
                untaken.push(part);
            } else {
                settle_part(results, outcome, part.sent, &mut retries);
            }
        }
        (untaken, retries)
    }

    /// Queues parts in their links. Each comes with the future of its answer, `None` if there was no room in time.
    async fn send_to_links(
        &self,
        parts: Vec<(GroupPart, PutLink)>,
        deadline: Instant,
    ) -> Vec<(GroupPart, PutLink, Option<impl Future<Output = Answer> + use<>>)> {
        // One share for all of them: two puts that each had a share and waited for another would wait for each
        // other.
        let share = self.forwarding_share(parts.iter().map(|(part, _)| part), deadline).await;
        let mut sent = Vec::with_capacity(parts.len());
        for (part, link) in parts {
            let answer = match &share {
                Some(share) => {
                    let put = peer::PutRequest { in_order: true, ..send_part(&part, deadline) };
                    timeout_at(deadline, link.take(put, share.clone())).await.ok()
                }
                None => None,
            };
            sent.push((part, link, answer));
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::fixture;

    #[test]
    fn the_next_put_begins_once_the_one_before_is_in_its_queues() {
        let session = PutSession::default();
        assert_eq!(session.last_is_queued().now_or_never(), Some(true), "nothing has begun");
        let first = session.begin();
        assert_eq!(session.last_is_queued().now_or_never(), None);
        first.let_next_begin();
        assert_eq!(session.last_is_queued().now_or_never(), Some(true));
        let second = session.begin();
        first.let_next_begin();
        assert_eq!(session.last_is_queued().now_or_never(), None, "the first one says nothing of the second");
        assert_eq!(second.wait_for_earlier().now_or_never(), None);
        drop(first);
        assert_eq!(second.wait_for_earlier().now_or_never(), Some(()));
        drop(second);
        assert_eq!(session.last_is_queued().now_or_never(), Some(false), "it was refused as a whole");
    }

    #[test]
    fn a_put_waits_for_all_earlier_ones_and_not_for_later_ones() {
        let session = PutSession::default();
        let [first, second, third] = [(); 3].map(|()| session.begin());
        drop(second);
        assert_eq!(third.wait_for_earlier().now_or_never(), None);
        assert_eq!(first.wait_for_earlier().now_or_never(), Some(()));
        drop(first);
        assert_eq!(third.wait_for_earlier().now_or_never(), Some(()));
    }

    #[test]
    fn another_queue_or_version_of_the_stream_does_not_join_those_in_flight() {
        let (stream, newer) = (Arc::new(fixture::stream("a", 4)), Arc::new(fixture::stream("a", 4)));
        let session = PutSession::default();
        let first = session.begin();
        let link = Queue::Link(PutLink::unconnected());
        let other = Queue::Link(PutLink::unconnected());
        let joins = |put: &OrderedPut, stream: &Arc<Stream>, queues: &[(u8, &Queue)]| {
            put.join(stream, queues.iter().copied())
        };
        assert!(joins(&first, &stream, &[(1, &Queue::Local), (2, &link)]));
        let second = session.begin();
        assert!(!joins(&second, &newer, &[(1, &Queue::Local)]));
        assert!(!joins(&second, &stream, &[(3, &Queue::Local), (2, &other)]));
        assert!(!joins(&second, &stream, &[(1, &link)]));
        assert!(joins(&second, &stream, &[(2, &link), (3, &other)]), "a refused put has left no route");
        drop(first);
        assert!(!joins(&second, &stream, &[(1, &link)]), "a route lasts while a put is in flight");
        drop(second);
        assert!(joins(&session.begin(), &newer, &[(1, &link), (2, &other)]));
    }
}
