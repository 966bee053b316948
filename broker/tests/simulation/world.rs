//! The state that all parts of a run share: its nodes, its history, its trace, and the violations so far.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::client::{self, Answer};
use crate::dice::Dice;
use crate::history::{History, Record};
use crate::node::{SimNode, State};
use crate::plan::Plan;
use crate::trace::Trace;

/// The state of a run. All parts run on one thread.
pub struct World {
    /// The plan of the run.
    pub plan: Plan,
    /// The brokers.
    pub nodes: Vec<Rc<SimNode>>,
    /// The events so far.
    pub trace: Arc<Trace>,
    /// The attempts and their acknowledgements.
    pub history: RefCell<History>,
    /// Records that a consumer has read while faults went on, by stream and shard.
    pub consumed: RefCell<BTreeMap<String, BTreeMap<String, Vec<Record>>>>,
    /// The violations so far.
    pub violations: RefCell<Vec<String>>,
    /// The node whose disk has lost something for good: it must not take part.
    pub harmed: Cell<Option<usize>>,
    /// Set when clients are to come to an end.
    pub is_over: Cell<bool>,
    /// Clients that have not.
    pub clients_busy: Cell<usize>,
    /// Calls by their outcome, for the report.
    pub calls: RefCell<BTreeMap<String, u64>>,
    /// Faults by kind, for the report.
    pub faults: RefCell<BTreeMap<&'static str, u64>>,
}

impl World {
    /// Notes something wrong.
    pub fn violation(&self, what: String) {
        self.trace.note(&format!("violation {what}"));
        self.violations.borrow_mut().push(what);
    }

    /// Calls a node, and notes the call and its outcome.
    pub async fn call(&self, node: usize, operation: &str, body: Value, patience: Duration) -> Answer {
        let host = &self.nodes[node].name;
        self.trace.note(&format!("call {host} {operation} {body}"));
        let answer = client::call(host, operation, &body, patience).await;
        self.trace.note(&format!("answer {host} {operation} {answer:?}"));
        let kind = match &answer {
            Answer::Done(_) => format!("{operation} done"),
            Answer::Fault(status, name) => format!("{operation} {status} {name}"),
            Answer::Nothing => format!("{operation} without an answer"),
        };
        *self.calls.borrow_mut().entry(kind).or_default() += 1;
        answer
    }

    /// The indexes of the nodes that promises are asked of: all but one whose disk has lost something and that does not
    /// serve.
    pub fn intact_nodes(&self) -> Vec<usize> {
        let serves = |index: usize| self.nodes[index].state() == State::Serving;
        (0..self.nodes.len()).filter(|index| self.harmed.get() != Some(*index) || serves(*index)).collect()
    }

    /// Any node.
    pub fn any_node(&self, dice: &mut Dice) -> usize {
        dice.below(self.nodes.len() as u64) as usize
    }
}

/// The name of a node's host.
pub fn host_of(id: u64) -> String {
    format!("node-{id}")
}
