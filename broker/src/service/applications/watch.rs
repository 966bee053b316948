//! The watch over leases: when each counter moved, as the leader of the tables' group has seen it.
//!
//! Only the leader judges whether workers run, by its own monotonic clock and by changes that it has seen itself:
//! clocks of clients and nodes differ, and without a leader no worker could renew. A new leader knows nothing; it has
//! to watch first. Invariant: a lease counts as idle for no longer than the leader has watched it without a break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidelog_proto::peer::{self, watched_leases_response};
use tidelog_tables::{Item, Owner};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Service;
use super::leases::{COORDINATOR, leases_and_lock};
use super::seen::{LeaseReport, WatchReport, Watched, WatchedTable};
use crate::cluster::peers::Lane;
use crate::replication::{DATA_GROUPS, Leader, ProposeError};
use crate::service::group_of;
use crate::shell::{Heartbeat, OwnerGone};

/// How long no counter may have moved before an application counts as stopped: three times KCL's default failover time.
pub const APPLICATION_QUIET: Duration = Duration::from_secs(30);
/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A leader that did not look for this long may have kept workers waiting as well.
const BREAK: Duration = Duration::from_secs(5);
/// Looks take at most this part of the time: a larger table is looked at less often.
const REST_PER_LOOK: u32 = 20;
/// Leases that are watched in one group. The smallest tables come first, so that a large one crowds out no other.
const LEASES_WATCHED_MAX: usize = 10_000;
/// Items of one look into the state: the group applies nothing meanwhile.
pub(super) const ITEMS_PER_LOOK: usize = 1_000;
/// How long another node may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// The watch over the tables of one group that is led here.
#[derive(Debug, Default)]
struct WatchedGroup {
    /// The number of changes up to the last look.
    changes: Option<u64>,
    tables: BTreeMap<(Owner, Box<str>), WatchedTable>,
    /// Tables that are not watched, because they have too many leases.
    too_large: BTreeSet<(Owner, Box<str>)>,
}

/// The watches of the groups that this node leads.
#[derive(Debug, Default)]
pub struct Watches(Mutex<BTreeMap<u8, WatchedGroup>>);

impl Watches {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u8, WatchedGroup>) -> T) -> T {
        work(&mut self.0.lock().expect("no code panics while it holds this lock"))
    }
}

impl Service {
    /// Watches the leases of the groups that this node leads.
    pub(in crate::service) async fn keep_watching_leases(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        loop {
            look.tick().await;
            heartbeat.beat();
            if looked.elapsed() >= BREAK {
                self.watches.with(BTreeMap::clear);
            }
            let began = Instant::now();
            for group in 1..=DATA_GROUPS {
                heartbeat.beat();
                if !self.leads(group) || !self.lease_tables.are_served() {
                    self.watches.with(|watches| watches.remove(&group));
                } else if let Err(error) = self.look_at_leases(group).await {
                    self.watches.with(|watches| watches.remove(&group));
                    tracing::debug!(group, %error, "cannot look at the leases of a group; watching it anew");
                }
            }
            looked = Instant::now();
            let rest = (began.elapsed() * REST_PER_LOOK).min(BREAK / 2);
            if rest > LOOK_EVERY {
                tokio::time::sleep(rest - LOOK_EVERY).await;
                looked = Instant::now();
            }
        }
    }

    async fn look_at_leases(&self, group: u8) -> Result<(), ProposeError> {
        let seen = self.watches.with(|watches| watches.get(&group).and_then(|watched| watched.changes));
        let proposals = self.groups.proposals();
        let Some((changes, mut tables)) = proposals.changed_tables(group, seen).await? else { return Ok(()) };
        tables.sort_by_key(|(_, _, items)| *items);
        let mut left = LEASES_WATCHED_MAX;
        let mut too_large = BTreeSet::new();
        tables.retain(|(owner, table, items)| {
            let fits = *items <= left;
            left = if fits { left - items } else { 0 };
            if !fits {
                too_large.insert((owner.clone(), table.clone()));
            }
            fits
        });
        let mut found = Vec::with_capacity(tables.len());
        for (owner, table, _) in tables {
            let mut items = self.applied_items(group, &owner, &table).await?;
            let coordinator = format!("{table}{COORDINATOR}");
            items.extend(self.applied_items(group, &owner, &coordinator).await?);
            found.push(((owner, table), leases_and_lock(&items)));
        }
        let now = Instant::now();
        self.watches.with(|watches| {
            let watched = watches.entry(group).or_default();
            watched.changes = Some(changes);
            watched.too_large = too_large;
            let mut before = std::mem::take(&mut watched.tables);
            for (place, (leases, lock)) in found {
                let mut table = before.remove(&place).unwrap_or_else(|| WatchedTable::new(now));
                table.look(&leases, lock, now);
                watched.tables.insert(place, table);
            }
        });
        Ok(())
    }

    /// The items of a table as this node has applied them; none when there is no such table.
    async fn applied_items(&self, group: u8, owner: &Owner, table: &str) -> Result<Vec<Item>, ProposeError> {
        let mut items: Vec<Item> = Vec::new();
        loop {
            let place = (owner.clone(), table.into());
            let (after, now_ms) = (items.last().cloned(), self.lease_tables.now_ms());
            let page = self.groups.proposals().table_page(group, place, after, ITEMS_PER_LOOK, now_ms);
            let Some(page) = page.await? else { return Ok(Vec::new()) };
            items.extend(page.items);
            if !page.has_more || items.len() > LEASES_WATCHED_MAX {
                return Ok(items);
            }
        }
    }

    fn watched_here(&self, owner: &Owner, application: &str) -> Watched {
        let group = group_of(owner, application);
        let now = Instant::now();
        self.watches.with(|watches| match watches.get(&group) {
            // Nothing is known yet.
            None => Watched::Report(WatchReport::default()),
            Some(watched) => {
                let place = (owner.clone(), application.into());
                match watched.tables.get(&place) {
                    Some(table) => Watched::Report(table.report(now)),
                    None if watched.too_large.contains(&place) => Watched::TooLarge,
                    None => Watched::Report(WatchReport::default()),
                }
            }
        })
    }

    /// Asks the leader of an application's tables for its report.
    pub(super) async fn watched(&self, owner: &Owner, application: &str) -> Watched {
        match self.groups.leadership().leader(group_of(owner, application)) {
            Leader::Here => self.watched_here(owner, application),
            Leader::At(node) => {
                let asking = self.watched_at(node, owner, application);
                timeout(ANSWER_DEADLINE, asking).await.ok().flatten().unwrap_or(Watched::NoLeader)
            }
            Leader::Unknown => Watched::NoLeader,
        }
    }

    async fn watched_at(&self, node: u64, owner: &Owner, application: &str) -> Option<Watched> {
        let peers = self.groups.peers();
        let mut client = peers.client(node, Lane::Requests).await.ok()?;
        let message = peer::WatchedLeasesRequest {
            account: owner.account.to_string(),
            region: owner.region.to_string(),
            application: application.to_owned(),
        };
        let answer = client.watched_leases(peers.request(node, message, Some(ANSWER_DEADLINE))).await;
        Some(read_watched(answer.ok()?.into_inner()))
    }

    /// Answers another node.
    pub fn watched_for(&self, request: &peer::WatchedLeasesRequest) -> peer::WatchedLeasesResponse {
        let owner = Owner::new(&request.account, &request.region);
        if !self.leads(group_of(&owner, &request.application)) {
            return peer::WatchedLeasesResponse::default();
        }
        send_watched(self.watched_here(&owner, &request.application))
    }
}

fn send_watched(watched: Watched) -> peer::WatchedLeasesResponse {
    let report = match watched {
        Watched::Report(report) => report,
        Watched::TooLarge => {
            return peer::WatchedLeasesResponse { is_leader: true, ..Default::default() };
        }
        Watched::NoLeader => return peer::WatchedLeasesResponse::default(),
    };
    let lease = |(key, lease): (Box<str>, LeaseReport)| watched_leases_response::Lease {
        key: key.into(),
        counter: lease.counter,
        still_ms: lease.still_ms,
        has_moved: lease.moved_ms.is_some(),
        checkpoint_still_ms: lease.checkpoint_still_ms,
        interval_ms: lease.interval_ms,
    };
    peer::WatchedLeasesResponse {
        is_leader: true,
        is_watched: true,
        watched_ms: report.watched_ms,
        leases: report.leases.into_iter().map(lease).collect(),
        owner_moves: report.owner_moves,
        lock_still_ms: report.lock_still_ms,
    }
}

fn read_watched(sent: peer::WatchedLeasesResponse) -> Watched {
    let lease = |sent: watched_leases_response::Lease| {
        let report = LeaseReport {
            counter: sent.counter,
            still_ms: sent.still_ms,
            moved_ms: sent.has_moved.then_some(sent.still_ms),
            checkpoint_still_ms: sent.checkpoint_still_ms,
            interval_ms: sent.interval_ms,
        };
        (sent.key.into(), report)
    };
    match (sent.is_leader, sent.is_watched) {
        (false, _) => Watched::NoLeader,
        (true, false) => Watched::TooLarge,
        (true, true) => Watched::Report(WatchReport {
            watched_ms: sent.watched_ms,
            leases: sent.leases.into_iter().map(lease).collect(),
            owner_moves: sent.owner_moves,
            lock_still_ms: sent.lock_still_ms,
        }),
    }
}
