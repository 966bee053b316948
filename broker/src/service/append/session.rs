//! Appends of a caller who wants each shard's records in the order of the appends, without waiting for each.
//!
//! An append that goes the ways of those under way is handed over as soon as it has its places: in the queues of the
//! groups that are led here, and in the streams of puts to the leaders of the others, who queue them as they come. The
//! next one may begin then. Any other waits for the earlier ones, and so does what has to be sent again because a shard
//! was sealed or a leader did not take it. Only a leader that loses its group when it has queued an append and regains it
//! before the next may let the second one come first; and what has an unknown outcome may still be written, at any time.
//! Called for messages of PutStream.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tidelog_proto::peer;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::encode::{GroupPart, Way};
use super::messages::{read_response, send_part};
use super::outcomes::{Results, Retries, refuse, settle_delivered};
use super::put_link::{Answer, PutLink};
use super::receive::Undelivered;
use super::{AppendRefusal, Appender, NewRecord, Placed, outcome_deadline, place_queued};
use crate::model::producer::Stamp;
use crate::model::stream::Stream;
use crate::replication::Leader;

/// Where an append stands among those of its caller.
#[derive(Debug, Default)]
pub struct Turn {
    /// How those went that may be under way.
    pub ways: Ways,
    /// Closed once all earlier appends are over.
    pub earlier: Option<oneshot::Receiver<()>>,
    /// Told what goes for the next append once that cannot come before this one.
    pub handed_over: Option<oneshot::Sender<Ways>>,
}

/// How appends went that may be under way: what they were routed by, and where to, by group.
#[derive(Debug, Default)]
pub struct Ways {
    stream: Option<Arc<Stream>>,
    of_groups: BTreeMap<u8, Path>,
}

/// Where a group's records went.
#[derive(Clone, Debug, PartialEq)]
enum Path {
    Here,
    /// Over a stream of puts to another node.
    Over(PutLink),
}

impl Ways {
    /// Adds another append's; `None` if it might come before one that is under way.
    fn with(mut self, stream: &Arc<Stream>, paths: impl IntoIterator<Item = (u8, Path)>) -> Option<Self> {
        if self.stream.is_some_and(|routed| !Arc::ptr_eq(&routed, stream)) {
            return None;
        }
        self.stream = Some(stream.clone());
        for (group, path) in paths {
            let known = self.of_groups.entry(group).or_insert_with(|| path.clone());
            if *known != path {
                return None;
            }
        }
        Some(self)
    }
}

impl Turn {
    /// Ends once all earlier appends have.
    async fn comes(&mut self) {
        if let Some(earlier) = self.earlier.take() {
            let _ended = earlier.await;
        }
    }

    fn hand_over(&mut self, ways: Ways) {
        if let Some(handed_over) = self.handed_over.take() {
            // Nobody waits for it when the caller has gone.
            let _ = handed_over.send(ways);
        }
    }
}

impl Appender {
    /// As [`Self::append`], in its turn.
    pub async fn append_in_turn(
        &self,
        stream: &Arc<Stream>,
        records: &[NewRecord<'_>],
        stamp: Option<&Stamp>,
        mut turn: Turn,
    ) -> Vec<Result<Placed, AppendRefusal>> {
        let (parts, mut results) = self.encode_all(stream, records, stamp);
        let deadline = outcome_deadline();
        let before = std::mem::take(&mut turn.ways);
        let paths = self.paths(&parts);
        let ways = paths.as_ref().and_then(|paths| {
            before.with(stream, parts.iter().map(|part| part.group).zip(paths.iter().cloned()))
        });
        let (untaken, mut retries) = match (paths, ways) {
            (Some(paths), Some(ways)) => {
                let queued = || turn.hand_over(ways);
                self.send_early(parts.into_iter().zip(paths), deadline, &mut results, queued).await
            }
            _ => (parts, Retries::default()),
        };
        if !untaken.is_empty() || !retries.is_empty() {
            turn.comes().await;
            let deadline = outcome_deadline();
            retries.append(self.send(untaken, deadline, &mut results).await);
            self.send_again(stream.uid, records, stamp, retries, deadline, &mut results).await;
        }
        if turn.handed_over.is_some() {
            turn.comes().await;
            turn.hand_over(Ways::default());
        }
        results
    }

    /// Where the parts can be queued at once; `None` if one cannot.
    fn paths(&self, parts: &[GroupPart]) -> Option<Vec<Path>> {
        let path = |part: &GroupPart| match (part.way, self.groups.leadership().leader(part.group)) {
            (Way::Here, _) => Some(Path::Here),
            (Way::Forward { .. }, Leader::At(node)) => self.put_links.running(node).map(Path::Over),
            (Way::Forward { .. }, _) => None,
        };
        parts.iter().map(path).collect()
    }

    /// As [`Self::send`], but calls `queued` once every part has its place, and gives back what a leader did not take.
    async fn send_early(
        &self,
        parts: impl Iterator<Item = (GroupPart, Path)>,
        deadline: Instant,
        results: &mut Results,
        queued: impl FnOnce(),
    ) -> (Vec<GroupPart>, Retries) {
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for (part, path) in parts {
            match path {
                Path::Here => here.push(part),
                Path::Over(link) => elsewhere.push((part, link)),
            }
        }
        let (taken, placed) = tokio::join!(self.hand_to(elsewhere, deadline), self.queue(here, deadline));
        queued();
        let mut retries = Retries::default();
        let answering = join_all(taken.into_iter().map(|(part, link, answer)| async move {
            let answer = match answer {
                Some(answer) => timeout_at(deadline, answer).await.unwrap_or(Err(Undelivered::Unknown)),
                None => Err(Undelivered::Refused("no room in time".into())),
            };
            (answer.and_then(|answer| read_response(answer, &part.batches)), part, link)
        }));
        let ((), answers) = tokio::join!(place_queued(placed, results, &mut retries), answering);
        let mut untaken = Vec::new();
        for (answer, part, link) in answers {
            match answer {
                Ok(delivered) if delivered.len() == part.sent.len() => {
                    settle_delivered(results, delivered, part.sent, &mut retries);
                }
                Err(Undelivered::NotProposed) => {
                    // The leader takes nothing more of this group over it that is in order.
                    self.put_links.retire(&link);
                    untaken.push(part);
                }
                Err(Undelivered::Refused(_)) => refuse(results, &part.sent, AppendRefusal::Unavailable),
                Ok(_) | Err(Undelivered::Unknown) => refuse(results, &part.sent, AppendRefusal::Unknown),
            }
        }
        (untaken, retries)
    }

    /// Hands parts to their links. Each comes with the future of its answer, `None` where there was no room in time.
    async fn hand_to(
        &self,
        parts: Vec<(GroupPart, PutLink)>,
        deadline: Instant,
    ) -> Vec<(GroupPart, PutLink, Option<impl Future<Output = Answer> + use<>>)> {
        // For all of them at once: two appends that each held a share and waited for more would wait for each other.
        let share = self.forwarding_share(parts.iter().map(|(part, _)| part), deadline).await;
        let mut handed = Vec::with_capacity(parts.len());
        for (part, link) in parts {
            let answer = match &share {
                Some(share) => {
                    let put = peer::PutRequest { in_order: true, ..send_part(&part, deadline) };
                    timeout_at(deadline, link.take(put, share.clone())).await.ok()
                }
                None => None,
            };
            handed.push((part, link, answer));
        }
        handed
    }
}
