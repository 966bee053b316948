//! The plan of a run, made from its seed: how many nodes, clients and streams, how slow, and which faults.
//! Each run has some kinds of faults and not others, so that rare ones are not always hidden behind frequent
//! ones.

use std::time::Duration;

use crate::dice::Dice;
use crate::medium::Lie;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A process is killed; the page cache stays.
    Kill,
    /// A node loses power, and with it unsynced writes, whole or torn.
    PowerLoss,
    /// All nodes lose power at once.
    PowerLossOfAll,
    /// The power goes in the middle of the disk's next change.
    PowerCut,
    /// All lose power soon after somebody has voted.
    PowerLossAfterVote,
    /// A node is stopped and started again as an operator does.
    Restart,
    /// The disk has no space for a while.
    FullDisk,
    /// A sync fails.
    SyncFails,
    /// Commits take long for a while.
    SlowDisk,
    /// A bit of a segment flips on the medium, always of one and the same node.
    FlippedBit,
    /// A clock jumps, forward or back.
    ClockStep,
    /// Messages between two hosts are lost in both directions for a while.
    Partition,
    /// Messages from one host to another are lost for a while.
    PartitionOneWay,
    /// Messages between two hosts are delayed for a while, and then delivered.
    Delay,
    /// A node makes a checkpoint right now.
    Checkpoint,
}

/// Every kind, with how often it is in a run, in percent.
const KINDS: [(FaultKind, u64); 15] = [
    (FaultKind::Kill, 60),
    (FaultKind::PowerLoss, 60),
    (FaultKind::PowerLossOfAll, 30),
    (FaultKind::PowerCut, 50),
    (FaultKind::PowerLossAfterVote, 20),
    (FaultKind::Restart, 40),
    (FaultKind::FullDisk, 30),
    (FaultKind::SyncFails, 30),
    (FaultKind::SlowDisk, 40),
    (FaultKind::FlippedBit, 30),
    (FaultKind::ClockStep, 50),
    (FaultKind::Partition, 60),
    (FaultKind::PartitionOneWay, 40),
    (FaultKind::Delay, 50),
    (FaultKind::Checkpoint, 80),
];

/// The permanent loss of a node's disk while the node is down. The node must not take part from then on, and
/// the others must not need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The newest file of the log.
    NewestLogFile,
    /// All files of the log.
    WholeLog,
    /// The end of the newest file of the log: the file is shorter.
    LogCut,
    /// The end of the newest file of the log: the file keeps its length, and zeros stand there.
    LogZeroed,
    /// Everything since an earlier start: an older copy of the directory was put back.
    RolledBack,
}

impl Loss {
    const ALL: [Self; 5] =
        [Self::NewestLogFile, Self::WholeLog, Self::LogCut, Self::LogZeroed, Self::RolledBack];
}

/// A mistake that is planted to see it caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Commits are acknowledged that were never synced.
    AckBeforeSync,
    /// Votes are given that were never synced.
    VoteNotSynced,
    /// Sequence numbers are promised when records are proposed, not when they are applied.
    OrdinalAtProposal,
    /// Children are opened before their parents are sealed.
    ChildOpenedEarly,
    /// Records are trimmed that have expired by the leader's own wall clock.
    TrimByOwnClock,
}

impl Planted {
    /// All of them, by the name they have on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ack-before-sync", Self::AckBeforeSync),
        ("vote-not-synced", Self::VoteNotSynced),
        ("ordinal-at-proposal", Self::OrdinalAtProposal),
        ("child-opened-early", Self::ChildOpenedEarly),
        ("trim-by-own-clock", Self::TrimByOwnClock),
    ];
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All choices follow from it.
    pub seed: u64,
    /// Brokers.
    pub nodes: u64,
    /// Clients that put.
    pub producers: u64,
    /// Streams that last, each with so many shards at first.
    pub shards: Vec<u64>,
    /// Kinds of faults that come.
    pub faults: Vec<FaultKind>,
    /// Between two faults, at most.
    pub fault_every: Duration,
    /// How long faults go on.
    pub unsafe_time: Duration,
    /// The duration of a commit.
    pub sync_latency: Duration,
    /// Latency of a message, at most.
    pub message_latency: Duration,
    /// Whether now and then a record is large.
    pub has_large_records: bool,
    /// Whether shards are split and merged meanwhile.
    pub reshards: bool,
    /// How long a stream is said to be changing before the change is made.
    pub reshard_pause: Duration,
    /// The permanent loss of one node's disk, once in a run.
    pub loss: Option<Loss>,
    /// A mistake, if one is planted.
    pub planted: Option<Planted>,
}

impl Plan {
    /// The plan of a seed; one in which `sought` shows if it is there, and is there unless the run is `honest`.
    pub fn new(seed: u64, sought: Option<Planted>, honest: bool) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let streams = dice.between(1, 2);
        let mut plan = Self {
            seed,
            nodes: if dice.percent(20) { 1 } else { 3 },
            producers: dice.between(2, 5),
            shards: (0..streams).map(|_| dice.between(1, 4)).collect(),
            faults: KINDS.iter().filter(|(_, chance)| dice.percent(*chance)).map(|(kind, _)| *kind).collect(),
            fault_every: Duration::from_millis(dice.between(300, 3_000)),
            unsafe_time: Duration::from_millis(dice.between(3_000, 8_000)),
            sync_latency: Duration::from_micros(dice.between(50, 8_000)),
            message_latency: Duration::from_millis(dice.between(1, 20)),
            has_large_records: dice.percent(50),
            reshards: dice.percent(70),
            reshard_pause: Duration::from_millis(if dice.percent(30) { dice.below(500) } else { 0 }),
            loss: None,
            planted: sought.filter(|_| !honest),
        };
        let mut dice = Dice::new(seed, "loss");
        if plan.nodes == 3 && sought.is_none() && dice.percent(40) {
            plan.loss = Some(*dice.pick(&Loss::ALL));
        }
        match sought {
            // One node is enough to show it, and quickest.
            Some(Planted::AckBeforeSync) => {
                plan.nodes = 1;
                plan.faults.push(FaultKind::PowerLoss);
            }
            Some(Planted::OrdinalAtProposal) => plan.nodes = 1,
            // It shows where a node has not heard of the children yet and puts into a parent that it leads.
            Some(Planted::ChildOpenedEarly) => {
                plan.nodes = 3;
                plan.producers = 6;
                plan.faults = vec![FaultKind::Delay];
                plan.fault_every = Duration::from_millis(400);
                plan.reshards = true;
                plan.reshard_pause = Duration::from_millis(300);
            }
            Some(Planted::TrimByOwnClock) => {
                plan.faults = vec![FaultKind::ClockStep];
                plan.fault_every = Duration::from_millis(500);
            }
            // Votes matter only in elections between several nodes.
            Some(Planted::VoteNotSynced) => {
                plan.nodes = 3;
                plan.faults = vec![FaultKind::PowerLossAfterVote];
            }
            None => {}
        }
        plan
    }

    /// Returns the writes that the nodes' disks report as synced and have not synced.
    pub fn lie(&self) -> Option<Lie> {
        match self.planted {
            Some(Planted::AckBeforeSync) => Some(Lie::Log),
            Some(Planted::VoteNotSynced) => Some(Lie::Votes),
            _ => None,
        }
    }
}
