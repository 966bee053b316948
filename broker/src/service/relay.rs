//! Operations that this node hands to another one, because that node leads their subject. This node relays the
//! answer.
//!
//! Every call has a deadline until its answer begins; an event stream is bounded by its own life and is pulled: the
//! connection holds a window of it and no more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog_proto::peer::{self, ExecuteFault, execute_response::Part};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Reader, Service};
use crate::cluster::peers::Lane;
use crate::replication::{Leader, ProposeError, refused_or_unknown};

/// Until an operation's answer begins.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// The answer of another node to a relayed call.
pub enum Relayed {
    /// The whole answer.
    Complete(Bytes),
    /// An event stream, as it comes. Dropping it ends the call on the other node.
    Events(BoxStream<'static, Result<Bytes, ExecuteFault>>),
    /// An error of the protocol.
    Fault(ExecuteFault),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRelayed {
    /// Nothing was done.
    NotDone,
    /// The operation may have been carried out, or may be later.
    Unknown,
}

impl Service {
    /// Runs an operation on the node that leads its group. Gives up when the node cannot be reached until
    /// `ends`, or does not lead the group any more.
    ///
    /// # Errors
    /// [`NotRelayed`].
    pub async fn relay(
        &self,
        node: u64,
        group: u8,
        is_stream: bool,
        request: peer::ExecuteRequest,
        ends: Instant,
    ) -> Result<Relayed, NotRelayed> {
        let lane = if is_stream { Lane::Events } else { Lane::Requests };
        let client = timeout_at(ends, self.groups.leadership().client_while_leading(node, group, lane)).await;
        let Ok(Some(mut client)) = client else { return Err(NotRelayed::NotDone) };
        let request = peer::ExecuteRequest { connection: Reader::current().connection(), ..request };
        let request = self.groups.peers().request(node, request, Some(ANSWER_DEADLINE));
        let answer = async {
            let mut parts = client.execute(request).await?.into_inner();
            let first = parts.message().await?;
            Ok((first, parts))
        };
        let answer = timeout(ANSWER_DEADLINE, answer).await.map_err(|_| NotRelayed::Unknown)?;
        let (first, parts) = answer.map_err(|status: tonic::Status| match refused_or_unknown(&status) {
            ProposeError::NotProposed => NotRelayed::NotDone,
            ProposeError::Unknown => NotRelayed::Unknown,
        })?;
        match first.and_then(|first| first.part) {
            Some(Part::Complete(body)) => Ok(Relayed::Complete(body)),
            Some(Part::Fault(fault)) => Ok(Relayed::Fault(fault)),
            Some(Part::NotHere(_)) => Err(NotRelayed::NotDone),
            Some(Part::Events(first)) => {
                let rest = stream::unfold(parts, |mut parts| async move {
                    // A node that goes away ends its streams, as the end of their time does: clients come back.
                    match parts.message().await.ok()??.part? {
                        Part::Events(bytes) => Some((Ok(bytes), parts)),
                        Part::Fault(fault) => Some((Err(fault), parts)),
                        Part::Complete(_) | Part::NotHere(_) => None,
                    }
                });
                Ok(Relayed::Events(stream::iter([Ok(first)]).chain(rest).boxed()))
            }
            None => Err(NotRelayed::Unknown),
        }
    }

    /// Where a group is led, once that is known. After a wait in vain nobody waits for that group again until it has a
    /// leader.
    pub async fn leader_until(&self, group: u8, ends: Instant) -> Leader {
        let patient = !self.is_given_up(group);
        let leader =
            self.groups.leadership().leader_within(group, if patient { ends } else { Instant::now() }).await;
        if leader == Leader::Here {
            self.give_up(group, false);
        }
        leader
    }
}
