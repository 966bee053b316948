//! Descriptions of applications: their workers, the owner and checkpoint of each shard, and how far behind it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidelog_tables::Owner;
use tidelog_tables::lease::{LATEST, Lease, TRIM_HORIZON};

use super::find::{Fit, FoundStream, find, fit, index_of, position_of};
use super::leases::Application;
use super::seen::{LeaseReport, WatchReport, Watched};
use super::{APPLICATION_QUIET, ApplicationError, FAILOVER, Service};
use crate::model::stream::{Stream, StreamKey};
use crate::replication::META_GROUP;
use crate::service::read::behind::{Behind, Unread};
use crate::service::{ServiceError, ServiceUnavailable};

/// An application as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationDescription {
    /// Names of its tables.
    pub tables: Vec<String>,
    /// The stream that it reads.
    pub stream: FoundStream,
    /// Milliseconds for which the leader of its tables has watched it; `None` when that is not known now.
    pub watched_ms: Option<u64>,
    /// Leases that went from one worker to another in the last minute, as far as it was watched.
    pub owner_moves: Option<u64>,
    /// By name.
    pub workers: Vec<WorkerDescription>,
    /// By key.
    pub leases: Vec<LeaseDescription>,
    /// The lock of the leading worker.
    pub lock: Option<LockDescription>,
}

/// A worker that has leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerDescription {
    /// The name.
    pub name: String,
    /// Whether it has renewed a lease within its failover time: KCL's default, or three times the longest of the last
    /// times between its renewals. `None` when that is not known yet.
    pub is_alive: Option<bool>,
    /// The leases of shards that were not processed to their end.
    pub leases: u64,
    /// Milliseconds since it was seen to renew a lease, if it was.
    pub renewed_ms: Option<u64>,
}

/// The lease of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDescription {
    /// The lease as it is in the table.
    pub lease: Lease,
    /// Whether it is of another stream than the application's.
    pub is_of_other_stream: bool,
    /// Records behind the checkpoint; `None` when that is not known now.
    pub records_behind: Option<u64>,
    /// Age of the oldest of them in milliseconds; `None` when that is not known now.
    pub millis_behind: Option<u64>,
    /// Milliseconds since its counter was seen to move, if it was.
    pub moved_ms: Option<u64>,
    /// Milliseconds for which its checkpoint has been seen not to move; `None` when that is not known now.
    pub checkpoint_still_ms: Option<u64>,
}

/// The lock by which one worker leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockDescription {
    /// The worker that leads.
    pub worker: String,
    /// Milliseconds for which the lock was not renewed; `None` when that is not known now.
    pub still_ms: Option<u64>,
    /// Milliseconds after which another worker takes it.
    pub duration_ms: u64,
}

impl Service {
    /// Names of the KCL applications of an account and region, in order.
    ///
    /// # Errors
    /// [`ApplicationError`].
    pub async fn list_applications(&self, owner: &Owner) -> Result<Vec<String>, ApplicationError> {
        if !self.lease_tables.are_served() {
            return Ok(Vec::new());
        }
        Ok(self.lease_tables.applications(owner).await?)
    }

    /// An application, and how far behind each of its shards is. `named` is the stream that it reads, where the caller
    /// knows better than its leases.
    ///
    /// # Errors
    /// [`ApplicationError`]: no such application, or no such stream.
    pub async fn describe_application(
        &self,
        owner: &Owner,
        name: &str,
        named: Option<&StreamKey>,
    ) -> Result<ApplicationDescription, ApplicationError> {
        let application = self.application(owner, name).await?;
        let stream = self.find_stream(owner, &application, named).await?;
        let (watched, behind) =
            tokio::join!(self.watched(owner, name), self.behind_leases(owner, &stream, &application.leases));
        Ok(describe(application, stream, &watched, &behind))
    }

    /// The stream of an application as of now.
    pub(super) async fn find_stream(
        &self,
        owner: &Owner,
        application: &Application,
        named: Option<&StreamKey>,
    ) -> Result<FoundStream, ApplicationError> {
        let not_now = |_| ServiceError::Unavailable(ServiceUnavailable::NoMetadataLeader);
        self.groups.proposals().read_index(META_GROUP).await.map_err(not_now)?;
        let catalog = self.catalog();
        if let Some(key) = named {
            let is_there = catalog.streams().get(key).is_some_and(|stream| stream.is_usable());
            let is_own = (&*key.account, &*key.region) == (&*owner.account, &*owner.region);
            if !is_there || !is_own {
                return Err(ServiceError::StreamGone.into());
            }
            return Ok(FoundStream::Named(key.name.to_string()));
        }
        let own = catalog
            .streams()
            .iter()
            .filter(|(key, _)| (&*key.account, &*key.region) == (&*owner.account, &*owner.region));
        Ok(find(&application.name, &application.leases, own.map(|(_, stream)| &**stream)))
    }

    /// The stream of that name of an owner.
    pub(super) fn stream_of(&self, owner: &Owner, name: &str) -> Option<Arc<Stream>> {
        let key = StreamKey {
            account: (&*owner.account).into(),
            region: (&*owner.region).into(),
            name: name.into(),
        };
        self.catalog().streams().get(&key).filter(|stream| stream.is_usable()).cloned()
    }

    /// The leases of an application by the name of their stream.
    async fn behind_leases(
        &self,
        owner: &Owner,
        found: &FoundStream,
        leases: &[Lease],
    ) -> BTreeMap<String, Option<Behind>> {
        let mut behind = BTreeMap::new();
        let names: BTreeSet<&str> = leases.iter().filter_map(|lease| stream_name(found, lease)).collect();
        for name in names {
            let Some(stream) = self.stream_of(owner, name) else { continue };
            let own = || leases.iter().filter(|lease| stream_name(found, lease) == Some(name));
            let unread: Vec<_> = own().filter_map(|lease| unread(&stream, lease)).collect();
            let known = self.behind(&stream, &unread).await;
            for lease in own() {
                let is_of_other = fit(&stream, lease) == Fit::Not;
                let place = index_of(&lease.shard).and_then(|index| known.get(&index)).copied();
                if !is_of_other {
                    behind.insert(lease.key.to_string(), place);
                }
            }
        }
        behind
    }
}

/// The name of the stream that a lease is of.
pub(super) fn stream_name<'a>(found: &'a FoundStream, lease: &'a Lease) -> Option<&'a str> {
    lease.stream_name().or_else(|| found.one())
}

fn unread(stream: &Stream, lease: &Lease) -> Option<(u32, Unread)> {
    let index = index_of(&lease.shard)?;
    if fit(stream, lease) == Fit::Not || lease.is_ended() {
        return None;
    }
    let unread = match (position_of(lease), &*lease.checkpoint) {
        (Some(number), _) => Unread::Ordinal(number.ordinal + 1),
        (None, TRIM_HORIZON) => Unread::Ordinal(1),
        // Its worker begins after the newest record.
        (None, LATEST) => Unread::Ordinal(u64::MAX),
        // AT_TIMESTAMP: the time is in the configuration of the application.
        _ => return None,
    };
    Some((index, unread))
}

/// Puts together everything that is known. `behind` has a lease only if it is of its stream.
fn describe(
    application: Application,
    stream: FoundStream,
    watched: &Watched,
    behind: &BTreeMap<String, Option<Behind>>,
) -> ApplicationDescription {
    let report = match watched {
        Watched::Report(report) => Some(report),
        Watched::TooLarge | Watched::NoLeader => None,
    };
    let seen = |lease: &Lease| report.and_then(|report| report.leases.get(&lease.key));
    let is_known = |lease: &Lease| stream_name(&stream, lease).is_some();
    let describe_lease = |lease: &Lease| {
        let lag = match behind.get(&*lease.key) {
            _ if lease.is_ended() => Some((0, 0)),
            Some(Some(behind)) => Some((behind.records, behind.millis)),
            _ => None,
        };
        LeaseDescription {
            is_of_other_stream: is_known(lease) && !behind.contains_key(&*lease.key),
            records_behind: lag.map(|(records, _)| records),
            millis_behind: lag.map(|(_, millis)| millis),
            moved_ms: seen(lease).and_then(|seen| seen.moved_ms),
            checkpoint_still_ms: seen(lease).map(|seen| seen.checkpoint_still_ms),
            lease: lease.clone(),
        }
    };
    ApplicationDescription {
        watched_ms: report.map(|report| report.watched_ms),
        owner_moves: report.map(|report| report.owner_moves),
        workers: workers(&application.leases, report),
        leases: application.leases.iter().map(describe_lease).collect(),
        lock: application.lock.map(|lock| LockDescription {
            worker: lock.owner.into(),
            still_ms: report.and_then(|report| report.lock_still_ms),
            duration_ms: lock.duration_ms,
        }),
        tables: application.tables,
        stream,
    }
}

fn workers(leases: &[Lease], report: Option<&WatchReport>) -> Vec<WorkerDescription> {
    let mut owned: BTreeMap<&str, Vec<&Lease>> = BTreeMap::new();
    for lease in leases.iter().filter(|lease| !lease.is_ended()) {
        if let Some(owner) = &lease.owner {
            owned.entry(owner).or_default().push(lease);
        }
    }
    let default_ms = FAILOVER.as_millis() as u64;
    let describe = |(name, own): (&str, Vec<&Lease>)| {
        let seen: Vec<Option<&LeaseReport>> = own
            .iter()
            .map(|lease| {
                // A counter that has moved since the last look was moved by its owner.
                report
                    .and_then(|report| report.leases.get(&lease.key))
                    .filter(|seen| seen.counter == lease.counter)
            })
            .collect();
        let observed = report.and_then(|report| report.failover_ms(own.iter().copied()));
        let failover_ms = observed.unwrap_or(0).max(default_ms);
        // Without two renewals to go by, the failover time may be a longer one.
        let silent_ms = if observed.is_some() { failover_ms } else { APPLICATION_QUIET.as_millis() as u64 };
        let renewed_ms = seen.iter().flatten().filter_map(|seen| seen.moved_ms).min();
        let is_idle = seen.iter().all(|seen| seen.is_some_and(|seen| seen.still_ms >= silent_ms));
        let is_alive = match renewed_ms {
            Some(renewed_ms) if renewed_ms < failover_ms => Some(true),
            _ if is_idle => Some(false),
            _ => None,
        };
        WorkerDescription { name: name.to_owned(), is_alive, leases: own.len() as u64, renewed_ms }
    };
    owned.into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use tidelog_tables::Item;

    use super::*;

    fn lease(key: &str, owner: &str, checkpoint: &str) -> Lease {
        let item = format!(
            r#"{{"leaseKey": {{"S": "{key}"}}, "leaseOwner": {{"S": "{owner}"}}, "leaseCounter": {{"N": "5"}},
                 "checkpoint": {{"S": "{checkpoint}"}}}}"#
        );
        Lease::of(&Item::from_json(item.as_bytes()).expect("an item")).expect("a lease")
    }

    fn seen(still_ms: u64, has_moved: bool) -> LeaseReport {
        let moved_ms = has_moved.then_some(still_ms);
        let interval_ms = has_moved.then_some(3_300);
        LeaseReport { counter: "5".into(), still_ms, moved_ms, checkpoint_still_ms: still_ms, interval_ms }
    }

    #[test]
    fn a_worker_lives_while_a_counter_of_its_moves() {
        let leases = [
            lease("a", "busy", "TRIM_HORIZON"),
            lease("b", "busy", "TRIM_HORIZON"),
            lease("c", "idle", "TRIM_HORIZON"),
            lease("d", "new", "TRIM_HORIZON"),
            lease("e", "gone", "SHARD_END"),
            lease("f", "slow", "TRIM_HORIZON"),
            lease("g", "unseen", "TRIM_HORIZON"),
            lease("h", "gone before", "TRIM_HORIZON"),
        ];
        let reports = [
            ("a", seen(2_000, true)),
            ("b", seen(40_000, true)),
            ("c", seen(12_000, true)),
            ("d", seen(4_000, false)),
            ("f", LeaseReport { interval_ms: Some(20_000), ..seen(19_000, true) }),
            ("g", seen(29_000, false)),
            ("h", seen(30_000, false)),
        ];
        let report = WatchReport {
            watched_ms: 50_000,
            leases: reports.into_iter().map(|(key, seen)| (key.into(), seen)).collect(),
            ..WatchReport::default()
        };
        let found = |report| {
            let workers = workers(&leases, report);
            workers
                .into_iter()
                .map(|own| (own.name, own.is_alive, own.leases, own.renewed_ms))
                .collect::<Vec<_>>()
        };
        let expected = [
            ("busy".to_owned(), Some(true), 2, Some(2_000)),
            ("gone before".to_owned(), Some(false), 1, None),
            ("idle".to_owned(), Some(false), 1, Some(12_000)),
            ("new".to_owned(), None, 1, None),
            ("slow".to_owned(), Some(true), 1, Some(19_000)),
            ("unseen".to_owned(), None, 1, None),
        ];
        assert_eq!(found(Some(&report)), expected);
        assert!(
            found(None).iter().all(|(_, is_alive, ..)| is_alive.is_none()),
            "without a leader nothing is known"
        );
    }
}
