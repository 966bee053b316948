//! The facts about a stream, gathered from its broker.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tidelog_proto::v1::{
    DescribeApplicationResponse, DescribeGroupResponse, DescribeStreamRequest, Stream, StreamMode,
};
use tokio::time::{Instant, sleep_until};

use super::damaged::{self, Damaged};
use super::sample::{Amount, Limits, Sample, sampled};
use super::throttles::{self, Reading, Throttles};
use crate::command::group::{application, applications, described, may_read};
use crate::command::native::Broker;
use crate::command::shards::short;
use tidelog_client::{Error, Reason};
use tidelog_client::{Shard, Shards};

/// How many shards or groups are looked at at once.
const LOOKS_MAX: usize = 16;
/// How long throttles are watched at least.
const WATCHED_MIN: Duration = Duration::from_secs(1);

/// A consumer group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) described: DescribeGroupResponse,
}

/// An application of the Kinesis Client Library.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Application {
    pub(super) name: String,
    pub(super) described: DescribeApplicationResponse,
}

/// The facts about a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) stream: String,
    /// Whether the broker makes shards by the load.
    pub(super) is_on_demand: bool,
    pub(super) retention_hours: u32,
    /// The open ones, from the lowest hash key on.
    pub(super) shards: Vec<Shard>,
    /// Span of the samples.
    pub(super) span: Duration,
    /// Samples of the open shards, in their order.
    pub(super) samples: Vec<Sample>,
    pub(super) groups: Vec<Group>,
    /// KCL applications that may read the stream.
    pub(super) applications: Vec<Application>,
    pub(super) throttles: Option<Throttles>,
    /// The limits of a shard; AWS's figures where the broker does not say.
    pub(super) limits: Limits,
    /// Records of the stream that the node which was asked cannot read.
    pub(super) damaged: Vec<Damaged>,
    /// Facts that could not be gathered, and the reasons.
    pub(super) unknown: Vec<String>,
}

impl Facts {
    /// Adds up the traffic of all shards.
    pub(super) fn amount(&self) -> Amount {
        sum(self.samples.iter().map(|sample| sample.amount))
    }

    /// Adds up the traffic of all shards by keys, records of KPL in their parts.
    pub(super) fn keyed(&self) -> Amount {
        sum(self.samples.iter().map(|sample| sample.keyed))
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::default(), |mut sum, amount| {
        sum.add(amount);
        sum
    })
}

/// Gathers all facts. A fact that fails for one shard or group becomes unknown.
///
/// # Errors
/// Errors of the first call: there is no such stream, or the server is no broker.
pub(super) async fn gathered(broker: &Broker, stream: &str, span: Duration) -> Result<Facts, Error> {
    let described = stream_of(broker, stream).await?;
    let mut facts = Facts {
        is_on_demand: described.mode() == StreamMode::OnDemand,
        retention_hours: described.retention_hours,
        shards: Vec::new(),
        span,
        samples: Vec::new(),
        groups: Vec::new(),
        applications: Vec::new(),
        throttles: None,
        limits: Limits::default(),
        damaged: Vec::new(),
        unknown: Vec::new(),
        stream: described.name,
    };
    let (first, began) = (facts.throttles_now(broker).await, Instant::now());
    facts.shards = Shards::list(&broker.connection, stream).await?.open().into_iter().cloned().collect();
    facts.look_at_groups(broker).await;
    facts.look_at_applications(broker).await;
    facts.look_at_health(broker).await;
    // Before the samples, whose reading may be throttled itself.
    if let Some(first) = first {
        facts.limits = first.limits;
        sleep_until(began + WATCHED_MIN).await;
        let second = facts.throttles_now(broker).await;
        facts.throttles = second.map(|second| Throttles::between(&first, second, began.elapsed()));
    }
    facts.look_at_shards(broker).await;
    Ok(facts)
}

async fn stream_of(broker: &Broker, stream: &str) -> Result<Stream, Error> {
    let node = broker.connection.node();
    let message = DescribeStreamRequest { stream: stream.to_owned() };
    let answer = node.answer(node.streams().describe_stream(node.request(message))).await?;
    answer.stream.ok_or_else(|| Error::new(Reason::Refused, "the broker's answer is empty"))
}

impl Facts {
    async fn throttles_now(&mut self, broker: &Broker) -> Option<Reading> {
        let why = match broker.metrics().await {
            Ok(page) => match throttles::read(&page, &self.stream, broker.settings()) {
                Some(reading) => return Some(reading),
                None => "its page of metrics is none of Tidelog's".to_owned(),
            },
            Err(error) => error,
        };
        self.unknown.push(format!("throttles: {why}"));
        None
    }

    async fn look_at_health(&mut self, broker: &Broker) {
        let region = broker.settings().region.clone();
        match broker.health().await.and_then(|page| damaged::read(&page, &self.stream, &region)) {
            Ok(damaged) => self.damaged = damaged,
            Err(why) => self.unknown.push(format!("damaged records: {why}")),
        }
    }

    async fn look_at_groups(&mut self, broker: &Broker) {
        let names = match broker.groups(&self.stream).await {
            Ok(names) => names,
            Err(error) => return self.unknown.push(format!("consumer groups: {error}")),
        };
        let stream = self.stream.clone();
        let looks = names.into_iter().map(|name| async {
            let found = described(broker, &stream, &name).await;
            (name, found)
        });
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).collect().await;
        for (name, found) in looks {
            match found {
                Ok(described) => self.take_group(Group { name, described }),
                // Deleted in between.
                Err(error) if error.reason() == Reason::NotFound => {}
                Err(error) => self.unknown.push(format!("the group {name}: {error}")),
            }
        }
    }

    async fn look_at_applications(&mut self, broker: &Broker) {
        let names = match applications(broker).await {
            Ok(names) => names,
            // A broker without lease tables.
            Err(error) if error.reason() == Reason::Refused => return,
            Err(error) => return self.unknown.push(format!("KCL applications: {error}")),
        };
        let looks = names.into_iter().map(|name| async {
            let found = application(broker, None, &name).await;
            (name, found)
        });
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).collect().await;
        for (name, found) in looks {
            match found {
                Ok(described) if may_read(&described, Some(&self.stream)) => {
                    self.take_application(Application { name, described });
                }
                Ok(_) => {}
                Err(error) if error.reason() == Reason::NotFound => {}
                Err(error) => self.unknown.push(format!("the KCL application {name}: {error}")),
            }
        }
    }

    fn take_application(&mut self, application: Application) {
        let Application { name, described } = &application;
        if described.workers.iter().any(|worker| worker.is_alive.is_none()) {
            let watched = match described.watched_ms {
                Some(millis) => format!("the leader of its tables has watched them for {} s", millis / 1_000),
                None => "the leader of its tables cannot be asked".to_owned(),
            };
            self.unknown.push(format!("whether all workers of {name} run: {watched}"));
        }
        self.applications.push(application);
    }

    fn take_group(&mut self, group: Group) {
        let unknown = group.described.shards.iter().filter(|shard| shard.millis_behind.is_none());
        let unknown: Vec<_> = unknown.map(|shard| short(&shard.shard_id)).collect();
        if !unknown.is_empty() {
            self.unknown.push(format!("how far {} is behind in shard {}", group.name, unknown.join(", ")));
        }
        self.groups.push(group);
    }

    async fn look_at_shards(&mut self, broker: &Broker) {
        let (stream, span, limits) = (&self.stream, self.span, self.limits);
        let looks = self.shards.iter().map(|shard| async {
            let sample = sampled(&broker.connection, stream, &shard.shard_id, span, limits).await;
            sample.map_err(|error| format!("the load of shard {}: {error}", short(&shard.shard_id)))
        });
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).collect().await;
        for look in looks {
            match look {
                Ok(sample) => self.samples.push(sample),
                Err(why) => self.unknown.push(why),
            }
        }
    }
}
