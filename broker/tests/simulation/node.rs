//! A broker in the simulation: one disk and one clock through all its lives, and in each life the whole node, from
//! HTTP down to the bytes on its disk.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tidelog::clock::{Clock, SteppedClock};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::node::{ClusterNode, Node, NodeConfig, NodeError};
use tidelog::replication::{Durability, RepairPace, Shell, Sizes, Tasks};
use tidelog::service::{Pace, Service, Transitions};
use tidelog::wire::{Audience, Bounds, Gateway, accept};
use tidelog_storage::shard::StoreOptions;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpListener;

use crate::client::PORT;
use crate::dice::Dice;
use crate::medium::Medium;
use crate::network;
use crate::plan::{Plan, Planted};
use crate::planted::{open_children_early, trim_by_own_clock};
use crate::trace::Trace;
use crate::world::host_of;

/// The clocks' beginning, milliseconds since the epoch.
const START_MS: u64 = 1_700_000_000_000;
/// The boot times' beginning, milliseconds.
const BOOTED_MS: u64 = 60_000;
/// Milliseconds by which a clock may be behind the beginning and still be one that can be right.
const EARLIEST_BEFORE_MS: u64 = 12 * 3_600_000;

/// Where a node is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The node's software does not run.
    Down,
    /// The node recovers.
    Starting,
    /// The node serves.
    Serving,
    /// The node was asked to stop, and is about to.
    Stopping,
    /// The node could not start, and says why.
    Refused(String),
    /// The node has stopped as it was asked to.
    Stopped,
}

/// A broker in the simulation, through all its lives.
pub struct SimNode {
    /// From 1.
    pub id: u64,
    /// The name of the node's host.
    pub name: String,
    /// The node's disk.
    pub medium: Medium,
    clock: Arc<SteppedClock>,
    is_accept_wanted: Cell<bool>,
    skew_ms: Cell<i64>,
    sync_latency: Cell<Duration>,
    life: RefCell<Life>,
    trace: Arc<Trace>,
    seed: u64,
    nodes: u64,
    planted: Option<Planted>,
    transitions: Transitions,
    lives: Cell<u64>,
    checkpoint_wanted: Notify,
}

struct Life {
    state: State,
    tasks: Arc<Tasks>,
    service: Weak<Service>,
    stop: watch::Sender<bool>,
}

impl SimNode {
    /// A node that has not run yet.
    pub fn new(id: u64, plan: &Plan, trace: &Arc<Trace>) -> Rc<Self> {
        let seed = Dice::new(plan.seed, &host_of(id)).below(u64::MAX);
        Rc::new(Self {
            id,
            name: host_of(id),
            medium: Medium::new(id, seed, trace.clone(), plan.lie()),
            clock: Arc::new(SteppedClock {
                wall_ms: START_MS.into(),
                boot_ms: BOOTED_MS.into(),
                earliest_ms: START_MS - EARLIEST_BEFORE_MS,
            }),
            is_accept_wanted: Cell::new(false),
            skew_ms: Cell::new(0),
            sync_latency: Cell::new(plan.sync_latency),
            life: RefCell::new(Life {
                state: State::Down,
                tasks: Arc::default(),
                service: Weak::new(),
                stop: watch::channel(false).0,
            }),
            trace: trace.clone(),
            seed,
            nodes: plan.nodes,
            planted: plan.planted,
            transitions: Transitions {
                split_shard: plan.reshard_pause,
                merge_shards: plan.reshard_pause,
                update_shard_count: plan.reshard_pause,
                ..Transitions::default()
            },
            lives: Cell::new(0),
            checkpoint_wanted: Notify::new(),
        })
    }

    /// Advances the clocks to `elapsed` of the simulation; the wall clock keeps its skew.
    pub fn turn_clock(&self, elapsed: Duration) {
        let ms = u64::try_from(elapsed.as_millis()).expect("a run is short");
        let wall_ms = (START_MS + ms).saturating_add_signed(self.skew_ms.get());
        self.clock.wall_ms.store(wall_ms, Ordering::Release);
        self.clock.boot_ms.store(BOOTED_MS + ms, Ordering::Release);
    }

    /// How far off the clock is.
    pub fn skew_ms(&self) -> i64 {
        self.skew_ms.get()
    }

    /// Has an operator accept the cluster's clocks by this node's as soon as it serves: they are right.
    pub fn want_accept(&self) {
        self.is_accept_wanted.set(true);
    }

    /// Sets how far off the clock is.
    pub fn set_skew_ms(&self, ms: i64) {
        self.skew_ms.set(ms);
    }

    /// Sets the duration of a commit from now on.
    pub fn set_sync_latency(&self, latency: Duration) {
        self.sync_latency.set(latency);
        self.life.borrow().tasks.set_sync_latency(latency);
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.life.borrow().state.clone()
    }

    /// Why it has ended itself, if it has.
    pub fn aborted(&self) -> Option<String> {
        self.life.borrow().tasks.aborted().map(str::to_owned)
    }

    /// Returns the node's service, while it serves. Callers do not keep it: it would outlive a crash.
    pub fn service(&self) -> Option<Arc<Service>> {
        self.life.borrow().service.upgrade()
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.life.borrow().stop.send_replace(true);
    }

    /// Whether it was asked to stop in this life.
    pub fn is_asked_to_stop(&self) -> bool {
        *self.life.borrow().stop.borrow()
    }

    /// To be called when its host has been crashed.
    pub fn fell(&self) {
        let mut life = self.life.borrow_mut();
        life.state = State::Down;
        life.service = Weak::new();
        life.tasks = Arc::default();
    }

    fn enter(&self, state: State) {
        self.trace.note(&format!("{} {state:?}", self.name));
        self.life.borrow_mut().state = state;
    }

    /// One life, on a host of the simulated network.
    pub async fn live(self: Rc<Self>) -> turmoil::Result {
        let tasks = Arc::new(Tasks::default());
        tasks.set_sync_latency(self.sync_latency.get());
        let (stop, mut is_stopping) = watch::channel(false);
        *self.life.borrow_mut() =
            Life { state: State::Starting, tasks: tasks.clone(), service: Weak::new(), stop };
        self.lives.set(self.lives.get() + 1);
        let cluster = self.cluster().await?;
        let node = match Node::start(self.config(tasks, cluster)).await {
            Ok(node) => node,
            Err(error) => {
                self.enter(State::Refused(error.to_string()));
                return std::future::pending().await;
            }
        };
        self.life.borrow_mut().service = Arc::downgrade(&node.service());
        let (close, closing) = watch::channel(false);
        let (account, region) = ("000000000000".into(), "us-east-1".into());
        let gateway = Gateway::new(
            node.service(),
            account,
            region,
            Audience::default(),
            None,
            Bounds::default(),
            closing.clone(),
        );
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        let listening = tokio::task::spawn_local(listen(listener, gateway, closing));
        let checkpoints = tokio::task::spawn_local(self.clone().make_checkpoints());
        let accepting = tokio::task::spawn_local(self.clone().accept_clocks());
        let mut tasks = vec![listening, checkpoints, accepting];
        if self.planted == Some(Planted::TrimByOwnClock) {
            tasks.push(tokio::task::spawn_local(trim_by_own_clock(self.clone())));
        }
        if self.planted == Some(Planted::ChildOpenedEarly) {
            tasks.push(tokio::task::spawn_local(open_children_early(self.clone())));
        }
        self.enter(State::Serving);
        // The sender lives as long as this life.
        drop(is_stopping.wait_for(|stop| *stop).await);
        self.enter(State::Stopping);
        node.retire().await;
        close.send_replace(true);
        for task in tasks {
            task.abort();
            drop(task.await);
        }
        let stopped = match AssertUnwindSafe(node.shutdown()).catch_unwind().await {
            Ok(stopped) => stopped.map_err(|error: NodeError| error.to_string()),
            // A worker ended the node while it stopped; the nemesis crashes it.
            Err(_) if self.aborted().is_some() => return std::future::pending().await,
            Err(panic) => resume_unwind(panic),
        };
        self.trace.note(&format!("{} stopped: {stopped:?}", self.name));
        self.enter(State::Stopped);
        Ok(())
    }

    /// Returns the node's place among others, if there are others.
    async fn cluster(&self) -> turmoil::Result<Option<ClusterNode>> {
        if self.nodes == 1 {
            return Ok(None);
        }
        let members = (1..=self.nodes).map(|id| (id, network::address(id))).collect();
        let incoming = network::listen().await?;
        Ok(Some(ClusterNode { id: self.id, members, dial: network::dial(), incoming }))
    }

    /// Checkpoints far more often than by itself.
    async fn make_checkpoints(self: Rc<Self>) {
        let mut dice = Dice::new(self.seed ^ self.lives.get(), "checkpoints");
        loop {
            let wait = Duration::from_millis(dice.between(500, 6_000));
            // Either is a reason for one.
            let _ = timeout(wait, self.checkpoint_wanted.notified()).await;
            let Some(service) = self.service() else { return };
            let made = service.groups().checkpoints().make().await;
            let made = made.map_err(|error| error.to_string());
            self.trace.note(&format!("{} checkpoint {made:?}", self.name));
        }
    }

    /// Accepts the clocks when that is wanted.
    async fn accept_clocks(self: Rc<Self>) {
        loop {
            sleep(Duration::from_millis(20)).await;
            let Some(service) = self.service().filter(|_| self.is_accept_wanted.get()) else { continue };
            let wall_ms = self.clock.wall_ms.load(Ordering::Acquire);
            // Records may have been stamped for as long as clocks were off.
            if service.accept_clocks(wall_ms, u64::MAX).await.is_ok() {
                self.trace.note(&format!("{} has clocks accepted", self.name));
                self.is_accept_wanted.set(false);
            }
        }
    }

    /// Has it make a checkpoint right now, if it serves.
    pub fn want_checkpoint(&self) {
        self.checkpoint_wanted.notify_waiters();
    }

    fn config(&self, tasks: Arc<Tasks>, cluster: Option<ClusterNode>) -> NodeConfig {
        NodeConfig {
            cluster,
            data_dir: PathBuf::from("/data"),
            limits: ShardLimits::off(),
            control_limits: ControlLimits::off(),
            lease_tables: Some(tidelog_tables::Bounds::default()),
            application_quiet: tidelog::service::APPLICATION_QUIET,
            transitions: self.transitions,
            durability: Durability::Fsync,
            pace: Pace::default(),
            clock: Clock::Stepped(self.clock.clone()),
            disk: Arc::new(self.medium.clone()),
            shell: Shell::Tasks(tasks),
            sizes: sizes(),
        }
    }
}

/// Takes connections of clients until it is aborted; those go on until `closing` is true.
async fn listen(listener: TcpListener, gateway: Arc<Gateway>, closing: watch::Receiver<bool>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(accept::serve_plain(stream, gateway.clone(), closing.clone()));
    }
}

/// Small files, so that a run of seconds fills many of them.
fn sizes() -> Sizes {
    Sizes {
        wal_file_bytes: 512 << 10,
        wal_first_file_bytes: 128 << 10,
        wal_live_bytes_max: 16 << 20,
        // Half of it is kept for nodes that lag: so little that some need the files.
        wal_live_bytes_max_in_cluster: 4 << 20,
        reserved_bytes: 2 << 20,
        in_flight_bytes_max: 64 << 20,
        unflushed_bytes_max: 64 << 20,
        forwarded_bytes_max: 64 << 20,
        received_bytes_max: 64 << 20,
        events_for_peers_bytes_max: 64 << 20,
        file_reads_max: 16,
        store: StoreOptions {
            segment_bytes: 24 << 10,
            segment_age_ms: 60_000,
            flush_until_bytes: 128 << 10,
            tail_bytes_max: 16 << 10,
            open_files_max: 8,
            ..StoreOptions::default()
        },
        repair_pace: RepairPace {
            look_every: Duration::from_millis(100),
            scrub_pause: Duration::from_secs(3),
            ..RepairPace::default()
        },
    }
}
