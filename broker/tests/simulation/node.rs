//! A broker in the simulation: one disk and one clock through all its lives, and in each life the whole node, from
//! HTTP down to the bytes on its disk.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::node::{Node, NodeConfig, NodeError};
use tidelog::replication::{Durability, Shell, Sizes, Tasks};
use tidelog::service::{Pace, Service, Transitions};
use tidelog::wire::{Bounds, Gateway, accept};
use tidelog_storage::shard::StoreOptions;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use turmoil::net::TcpListener;

use crate::client::PORT;
use crate::dice::Dice;
use crate::medium::Medium;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::host_of;

/// The clocks' beginning, milliseconds since the epoch.
const START_MS: u64 = 1_700_000_000_000;

/// Where a node is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its software does not run.
    Down,
    /// It recovers.
    Starting,
    /// It serves.
    Serving,
    /// It could not start, and says why.
    Refused(String),
    /// It has stopped as it was asked to.
    Stopped,
}

/// See the module.
pub struct SimNode {
    /// From 1.
    pub id: u64,
    /// Its host.
    pub name: String,
    /// Its disk.
    pub medium: Medium,
    now_ms: Arc<AtomicU64>,
    skew_ms: Cell<i64>,
    sync_latency: Cell<Duration>,
    life: RefCell<Life>,
    trace: Arc<Trace>,
    seed: u64,
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
            now_ms: Arc::new(AtomicU64::new(START_MS)),
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
            lives: Cell::new(0),
            checkpoint_wanted: Notify::new(),
        })
    }

    /// Turns the clock to `elapsed` of the simulation, as far off as it is.
    pub fn turn_clock(&self, elapsed: Duration) {
        let ms = START_MS + u64::try_from(elapsed.as_millis()).expect("a run is short");
        self.now_ms.store(ms.saturating_add_signed(self.skew_ms.get()), Ordering::Release);
    }

    /// Sets how far off the clock is.
    pub fn set_skew_ms(&self, ms: i64) {
        self.skew_ms.set(ms);
    }

    /// Sets what a commit takes from now on.
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

    /// Its service, while it serves. Not to be kept: it would outlive a crash.
    pub fn service(&self) -> Option<Arc<Service>> {
        self.life.borrow().service.upgrade()
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.life.borrow().stop.send_replace(true);
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
        let (stop, mut stopping) = watch::channel(false);
        *self.life.borrow_mut() =
            Life { state: State::Starting, tasks: tasks.clone(), service: Weak::new(), stop };
        self.lives.set(self.lives.get() + 1);
        let node = match Node::start(self.config(tasks)).await {
            Ok(node) => node,
            Err(error) => {
                self.enter(State::Refused(error.to_string()));
                return std::future::pending().await;
            }
        };
        self.life.borrow_mut().service = Arc::downgrade(&node.service());
        let gateway = Gateway::new(
            node.service(),
            "000000000000".into(),
            "us-east-1".into(),
            None,
            Bounds::default(),
            stopping.clone(),
        );
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        self.enter(State::Serving);
        let checkpoints = tokio::task::spawn_local(self.clone().make_checkpoints());
        while let Some(accepted) = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            _ = stopping.wait_for(|stop| *stop) => None,
        } {
            let (stream, _) = accepted?;
            tokio::spawn(accept::serve_plain(stream, gateway.clone(), stopping.clone()));
        }
        checkpoints.abort();
        drop((listener, gateway, checkpoints.await));
        let stopped = node.shutdown().await;
        self.trace.note(&format!(
            "{} stopped: {:?}",
            self.name,
            stopped.map_err(|error: NodeError| error.to_string())
        ));
        self.enter(State::Stopped);
        Ok(())
    }

    /// Checkpoints far more often than by itself.
    async fn make_checkpoints(self: Rc<Self>) {
        let mut dice = Dice::new(self.seed ^ self.lives.get(), "checkpoints");
        loop {
            let wait = Duration::from_millis(dice.between(500, 6_000));
            // Either is a reason for one.
            let _ = timeout(wait, self.checkpoint_wanted.notified()).await;
            let Some(service) = self.service() else { return };
            let made = service.groups().checkpoint().await;
            let made = made.map_err(|error| error.to_string());
            self.trace.note(&format!("{} checkpoint {made:?}", self.name));
        }
    }

    /// Has it make a checkpoint right now, if it serves.
    pub fn want_checkpoint(&self) {
        self.checkpoint_wanted.notify_waiters();
    }

    fn config(&self, tasks: Arc<Tasks>) -> NodeConfig {
        NodeConfig {
            data_dir: PathBuf::from("/data"),
            limits: ShardLimits::off(),
            control_limits: ControlLimits::off(),
            transitions: Transitions::default(),
            durability: Durability::Fsync,
            pace: Pace::default(),
            clock: Clock::Manual(self.now_ms.clone()),
            disk: Arc::new(self.medium.clone()),
            shell: Shell::Tasks(tasks),
            sizes: sizes(),
        }
    }
}

/// Small files, so that a run of seconds fills many of them.
fn sizes() -> Sizes {
    Sizes {
        wal_file_bytes: 512 << 10,
        wal_first_file_bytes: 128 << 10,
        wal_live_bytes_max: 16 << 20,
        reserved_bytes: 2 << 20,
        store: StoreOptions {
            segment_bytes: 24 << 10,
            segment_age_ms: 60_000,
            unflushed_bytes_max: 256 << 10,
            tail_bytes_max: 16 << 10,
            open_files_max: 8,
        },
    }
}
