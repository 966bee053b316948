//! One run: faults for a while, then none, then the audit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::PanicHookInfo;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::sleep;

use crate::audit::audit;
use crate::history::History;
use crate::nemesis::{CLIENTS, Nemesis};
use crate::node::SimNode;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::workload;
use crate::world::{World, host_of};

/// The streams have to be there by then.
const BEGIN_MAX: Duration = Duration::from_secs(60);
/// The audit has to be done so long after faults have ended.
const AUDIT_MAX: Duration = Duration::from_secs(120);

/// The result of a run.
pub struct Report {
    /// Hash of the trace, and its lines.
    pub trace: (u64, u64),
    /// The violations.
    pub violations: Vec<String>,
    /// Records sent, and acknowledged.
    pub records: (usize, usize),
    /// Simulated.
    pub elapsed: Duration,
    /// By kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// By operation and answer.
    pub calls: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (call, count) in &self.calls {
            writeln!(out, "{count:>6} {call}")?;
        }
        for (fault, count) in &self.faults {
            writeln!(out, "fault {count} {fault}")?;
        }
        for violation in &self.violations {
            writeln!(out, "violation {violation}")?;
        }
        let (sent, acknowledged) = self.records;
        writeln!(out, "records sent {sent} acknowledged {acknowledged}")?;
        writeln!(out, "simulated {} ms", self.elapsed.as_millis())?;
        writeln!(out, "trace {:016x} {}", self.trace.0, self.trace.1)
    }
}

/// Panics since someone last asked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note_panic(info: &PanicHookInfo<'_>) {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string().replace('\n', " "));
}

/// Panics since this was last called.
pub fn take_panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a plan from its beginning to its audit.
pub fn run(plan: Plan, trace: Option<&str>) -> Report {
    std::panic::set_hook(Box::new(note_panic));
    let trace = Arc::new(Trace::new(trace));
    let mut sim = turmoil::Builder::new()
        .rng_seed(plan.seed)
        .epoch(UNIX_EPOCH)
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(plan.message_latency)
        // The capacity in connections, and in messages on one: delayed messages arrive at once.
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    let nodes: Vec<_> = (1..=plan.nodes).map(|id| SimNode::new(id, &plan, &trace)).collect();
    let world = Rc::new(World {
        nodes,
        trace,
        history: RefCell::new(History::default()),
        consumed: RefCell::default(),
        violations: RefCell::default(),
        harmed: Cell::new(None),
        is_over: Cell::new(false),
        clients_busy: Cell::new(0),
        calls: RefCell::default(),
        faults: RefCell::default(),
        plan,
    });
    for node in &world.nodes {
        let node = node.clone();
        sim.host(host_of(node.id), move || node.clone().live());
    }
    drive(&mut sim, &world);
    let history = world.history.borrow();
    Report {
        trace: world.trace.sum(),
        violations: world.violations.borrow().clone(),
        records: (history.attempts.len(), history.acknowledged()),
        elapsed: sim.elapsed(),
        faults: world.faults.borrow().clone(),
        calls: world.calls.borrow().clone(),
    }
}

fn drive(sim: &mut turmoil::Sim<'_>, world: &Rc<World>) {
    let is_begun = Rc::new(Cell::new(false));
    let (begun, of_clients) = (is_begun.clone(), world.clone());
    sim.client(CLIENTS, async move {
        workload::create_streams(&of_clients).await;
        begun.set(true);
        workload::start(&of_clients);
        while of_clients.clients_busy.get() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    });
    let mut nemesis = Nemesis::new(world);
    if !step_until(sim, world, &mut nemesis, false, BEGIN_MAX, || is_begun.get()) {
        world.violation(format!("the streams are not there after {BEGIN_MAX:?}"));
        return;
    }
    step_until(sim, world, &mut nemesis, true, world.plan.unsafe_time, || false);
    nemesis.heal(sim, world);
    world.is_over.set(true);
    let is_audited = Rc::new(Cell::new(false));
    let (audited, of_auditor) = (is_audited.clone(), world.clone());
    sim.client("auditor", async move {
        audit(of_auditor).await;
        audited.set(true);
        Ok(())
    });
    if !step_until(sim, world, &mut nemesis, false, AUDIT_MAX, || is_audited.get()) {
        world.violation(format!("the audit is not done after {AUDIT_MAX:?}"));
    }
}

/// Steps until something holds or so much time has passed; gives whether it holds.
fn step_until(
    sim: &mut turmoil::Sim<'_>,
    world: &Rc<World>,
    nemesis: &mut Nemesis,
    begins: bool,
    most: Duration,
    holds: impl Fn() -> bool,
) -> bool {
    let until = sim.elapsed() + most;
    while sim.elapsed() < until {
        if holds() {
            return true;
        }
        world.trace.tick(sim.elapsed());
        for node in &world.nodes {
            node.turn_clock(sim.elapsed());
        }
        if let Err(error) = sim.step() {
            world.violation(format!("the simulation fails: {error}"));
            return false;
        }
        judge_panics(world);
        nemesis.step(sim, world, begins);
    }
    holds()
}

/// A node that ends itself panics where it does so; any other panic is wrong.
fn judge_panics(world: &World) {
    for words in take_panics() {
        let is_own_end = words.contains("src/shell.rs");
        if !is_own_end || world.nodes.iter().all(|node| node.aborted().is_none()) {
            world.violation(format!("panic: {words}"));
        }
    }
}
