//! Pages for operators and their tools: health and metrics. Never authenticated, never a user's data.

#![expect(clippy::disallowed_types, reason = "one caller makes a page, and the others wait for that page")]

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Gateway;
use super::exchange::Answer;
use crate::cluster::administration::{CachedStatus, troubles};
use crate::observability::{self, raft_groups};
use crate::replication::{GroupStatus, Leader};
use crate::service::DamagedRecords;

/// Content type of the pages that are JSON.
pub(super) const JSON: &str = "application/json";
/// Prometheus text exposition format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The state of a node that has not started yet.
const STARTING: &str = "starting";

/// Whether a path is a page of these, which is served past the bound of connections too.
pub(super) fn is_page(path: &str) -> bool {
    let pages = ["/health", "/healthcheck", "/_localstack/health", "/livez", "/ready", "/metrics"];
    pages.contains(&path)
}

/// The page `/health`: `reasons` has the faults of the node and of its cluster. A node that has not started
/// yet answers 503, because scripts wait for a 200 until they send requests; `services` is the member that
/// scripts for LocalStack look for.
pub(super) async fn health(gateway: &Gateway) -> Answer {
    let Some(service) = gateway.service() else {
        let reasons = [vec![gateway.stage.current()], late_tasks(gateway)].concat();
        let page = serde_json::json!({
            "status": STARTING,
            "reasons": reasons,
            "version": env!("CARGO_PKG_VERSION"),
            "services": services(gateway),
        });
        return Answer::new(StatusCode::SERVICE_UNAVAILABLE, JSON, page.to_string());
    };
    let status = gateway.pages.status.get(service.groups()).await;
    let mut reasons = troubles(&status);
    reasons.extend(service.put_refusal().map(|refusal| format!("Puts are refused: {refusal}.")));
    let damaged = service.damaged_records();
    reasons.extend(damaged.iter().map(ToString::to_string));
    let damaged: Vec<_> = damaged.iter().map(named).collect();
    reasons.extend(gateway.room.troubles());
    let left = service.groups().checkpoints().segments_left_aside();
    if left > 0 {
        reasons.push(format!(
            "The log has not brought back the records of {left} segments that no checkpoint lists; they are in set-aside \
             of the data directory."
        ));
    }
    reasons.extend(late_tasks(gateway));
    let page = serde_json::json!({
        "status": if reasons.is_empty() { "ok" } else { "degraded" },
        "reasons": reasons,
        "damaged": damaged,
        "version": env!("CARGO_PKG_VERSION"),
        "cluster": status.cluster,
        "node": status.node,
        "services": services(gateway),
    });
    Answer::new(StatusCode::OK, JSON, page.to_string())
}

/// The services of this port by their names in LocalStack. Metrics and identities need no node.
fn services(gateway: &Gateway) -> serde_json::Value {
    const RUNNING: &str = "running";
    let (streams, tables) = match gateway.service() {
        None => (STARTING, STARTING),
        Some(service) if service.lease_tables().are_served() => (RUNNING, RUNNING),
        Some(_) => (RUNNING, "disabled"),
    };
    serde_json::json!({ "cloudwatch": RUNNING, "dynamodb": tables, "kinesis": streams, "sts": RUNNING })
}

/// Whether the node takes requests: it has started, and does not stop.
pub(super) fn ready(gateway: &Gateway) -> Answer {
    let unready = |status: &str, reason: &str| {
        let page = serde_json::json!({ "status": status, "reasons": [reason] });
        Answer::new(StatusCode::SERVICE_UNAVAILABLE, JSON, page.to_string())
    };
    if gateway.is_leaving() {
        return unready("stopping", "The node is stopping.");
    }
    if gateway.service().is_none() {
        return unready(STARTING, &gateway.stage.current());
    }
    Answer::new(StatusCode::OK, JSON, serde_json::json!({ "status": "ok", "reasons": [] }).to_string())
}

/// Whether the process turns: every loop comes round in its time. A task that ends ends the process.
pub(super) fn livez(gateway: &Gateway) -> Answer {
    let late = late_tasks(gateway);
    let (status, word) = match late.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
    };
    let page = serde_json::json!({ "status": word, "reasons": late });
    Answer::new(status, JSON, page.to_string())
}

fn late_tasks(gateway: &Gateway) -> Vec<String> {
    let late = gateway.shell.late_tasks().into_iter();
    late.map(|(name, since)| format!("The task `{name}` has not come round for {} s.", since.as_secs()))
        .collect()
}

/// Records that cannot be read, for programs.
fn named(records: &DamagedRecords) -> serde_json::Value {
    let (from, to) = records.sequence_numbers();
    serde_json::json!({
        "account": records.stream.account,
        "region": records.stream.region,
        "stream": records.stream.name,
        "shard": records.shard,
        "first": records.first,
        "last": records.last,
        "from_sequence_number": from,
        "to_sequence_number": to,
        "advice": records.to_string(),
    })
}

/// Pages that are kept for requests that come soon after, or at the same time.
#[derive(Default)]
pub(super) struct Pages {
    status: CachedStatus,
    metrics: KeptPage,
}

/// Every metric, as Prometheus reads it, those of single shards and of applications at the end.
pub(super) async fn metrics(gateway: &Gateway) -> Answer {
    let Some(service) = gateway.service() else {
        let page = observability::render() + &gateway.applications.page(Instant::now());
        return Answer::new(StatusCode::OK, PROMETHEUS, page);
    };
    let make = || {
        let leaders = service.groups().leadership().watch_leaders();
        let leads =
            |wanted: Leader| leaders.borrow().iter().filter(|leader| **leader == wanted).count() as f64;
        metrics::gauge!(observability::GROUPS_LED).set(leads(Leader::Here));
        metrics::gauge!(observability::GROUPS_LEADERLESS).set(leads(Leader::Unknown));
        let unreadable = service.groups().repairs().damage_report().len();
        metrics::gauge!(observability::UNREADABLE_SEGMENTS).set(unreadable as f64);
        metrics::counter!(observability::DISK_SYNCS).absolute(service.groups().disk().syncs());
        for pool in gateway.room.pools() {
            metrics::gauge!(observability::MEMORY_BYTES, "class" => pool.name()).set(pool.bytes() as f64);
            metrics::gauge!(observability::MEMORY_USED_BYTES, "class" => pool.name()).set(pool.used() as f64);
            metrics::counter!(observability::MEMORY_REFUSALS, "class" => pool.name())
                .absolute(pool.refusals());
        }
        observability::render()
            + &raft_groups::page(&group_rows(service.groups().membership().status()))
            + &service.shard_level_page(&gateway.account, &gateway.region)
            + &gateway.applications.page(Instant::now())
    };
    Answer::new(StatusCode::OK, PROMETHEUS, gateway.pages.metrics.get(make).await)
}

fn group_rows(groups: Vec<GroupStatus>) -> Vec<raft_groups::GroupRow> {
    let row = |GroupStatus { group, term, last_index, matched, .. }: GroupStatus| {
        let behind = matched.into_iter().map(|(node, index)| (node, last_index.saturating_sub(index)));
        raft_groups::GroupRow { group, term, behind: behind.collect() }
    };
    groups.into_iter().map(row).collect()
}

/// A page that one caller makes at a time. A caller that waited gets the page that another one began to make after
/// its request.
#[derive(Default)]
struct KeptPage(Mutex<Option<(Instant, Bytes)>>);

impl KeptPage {
    async fn get(&self, make: impl FnOnce() -> String) -> Bytes {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((begun, page)) = &*last
            && *begun > asked
        {
            return page.clone();
        }
        let begun = Instant::now();
        let page = Bytes::from(make());
        *last = Some((begun, page.clone()));
        page
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use futures_util::future::{join, join_all};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn callers_that_ask_at_the_same_time_share_a_page() {
        let (page, made) = (KeptPage::default(), Cell::new(0));
        let make = || {
            made.set(made.get() + 1);
            made.get().to_string()
        };
        assert_eq!(page.get(make).await, "1");
        assert_eq!(page.get(make).await, "2", "one that was begun before is not shared");
        // Fifty ask while one is being made.
        let making = page.0.lock().await;
        let made_at_last = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(making);
        };
        let (pages, ()) = join(join_all((0..50).map(|_| page.get(make))), made_at_last).await;
        assert!(pages.iter().all(|page| page == "3"), "{pages:?}");
    }
}
