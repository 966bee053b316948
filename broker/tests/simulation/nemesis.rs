//! Faults, at times and places that the seed chooses, and their end.

use std::rc::Rc;
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::disk::Open;

use crate::audit::segments;
use crate::dice::Dice;
use crate::loss::Losses;
use crate::node::{SimNode, State};
use crate::plan::FaultKind;
use crate::world::World;

/// A clock that is further ahead than this hides records.
const FAR_MS: i64 = 3_600_000;

/// The host of all clients.
pub const CLIENTS: &str = "clients";

/// How a node's life ended, or is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fall {
    /// The page cache stays.
    Process,
    /// Unsynced writes are lost.
    Power,
}

/// Something that ends by itself.
#[derive(Clone, Debug)]
enum Until {
    Boot { node: usize },
    Space { node: usize },
    Speed { node: usize },
    Power { node: usize },
    Link { from: String, to: String, kind: FaultKind },
}

/// The source of faults in a run.
pub struct Nemesis {
    dice: Dice,
    next: Duration,
    in_flight: Vec<(Duration, Until)>,
    votes_watched: bool,
    losses: Losses,
}

impl Nemesis {
    /// Makes the faults of that world; the first fault comes once the streams are there.
    pub fn new(world: &World) -> Self {
        let votes_watched = world.plan.faults.contains(&FaultKind::PowerLossAfterVote);
        Self {
            dice: Dice::new(world.plan.seed, "faults"),
            next: Duration::ZERO,
            in_flight: Vec::new(),
            votes_watched,
            losses: Losses::new(&world.plan),
        }
    }

    /// Ends faults that are due between two steps, and begins one when it is time.
    pub fn step(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>, begins: bool) {
        self.bury(sim, world);
        let now = sim.elapsed();
        let due: Vec<Until> =
            self.in_flight.extract_if(.., |(at, _)| *at <= now).map(|(_, until)| until).collect();
        for until in due {
            self.end(sim, world, until);
        }
        self.watch_votes(sim, world, begins);
        if begins && let Some(victim) = self.losses.due(world, now) {
            // Everything that was synced is on the disk; then it is lost.
            let pause = self.pause();
            self.fall(sim, world, victim, Fall::Power, pause);
            self.losses.harm(world, victim);
        }
        if begins && now >= self.next {
            let every = world.plan.fault_every.as_millis() as u64;
            self.next = now + Duration::from_millis(self.dice.between(every / 4, every));
            if !world.plan.faults.is_empty() {
                let kind = *self.dice.pick(&world.plan.faults);
                self.begin(sim, world, kind);
            }
        }
    }

    /// Ends everything at once: links, disks and clocks work again and every node runs.
    pub fn heal(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>) {
        world.trace.note("heal");
        self.bury(sim, world);
        for (index, node) in world.nodes.iter().enumerate() {
            node.set_skew_ms(0);
            node.want_accept();
            // One that starts would stop as soon as it serves.
            if node.is_asked_to_stop() && node.state() != State::Stopped {
                self.fall(sim, world, index, Fall::Process, Duration::ZERO);
            }
        }
        // The end of a power cut is a fall, whose end is a start.
        while let Some((_, until)) = self.in_flight.pop() {
            self.end(sim, world, until);
        }
    }

    /// Takes down nodes that have ended themselves, and starts again nodes that have stopped. Bytes that a failed
    /// sync left in the page cache alone are gone by then.
    fn bury(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>) {
        for (index, node) in world.nodes.iter().enumerate() {
            if let Some(words) = node.aborted() {
                world.trace.note(&format!("{} ended itself: {words}", node.name));
                let pause = self.pause();
                self.fall(sim, world, index, Fall::Power, pause);
            } else if node.state() == State::Stopped || matches!(node.state(), State::Refused(_)) {
                if let State::Refused(words) = node.state() {
                    let is_excused = self.may_refuse(index, &words);
                    if world.harmed.get() == Some(index) && !is_excused {
                        // It stays down, and its error must name the loss.
                        world.trace.note(&format!("{} is out: {words}", node.name));
                        if !words.contains("is damaged") && !words.contains("cluster replace") {
                            world.violation(format!("{} does not say what is wrong: {words}", node.name));
                        }
                        sim.crash(node.name.as_str());
                        node.fell();
                        continue;
                    }
                    if !is_excused {
                        world.violation(format!("{} refuses to start: {words}", node.name));
                    }
                }
                let pause = self.pause();
                let fall = if node.state() == State::Stopped { Fall::Process } else { Fall::Power };
                self.fall(sim, world, index, fall, pause);
            }
        }
    }

    /// A node may refuse to start for lack of space or of power, or because a sync failed, and for nothing else. One
    /// that has lost something has to say so once it can look.
    fn may_refuse(&self, index: usize, words: &str) -> bool {
        let is_short = self.in_flight.iter().any(|(_, until)| match until {
            Until::Space { node } | Until::Power { node } => *node == index,
            _ => false,
        });
        is_short || words.contains("the simulated sync fails")
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.dice.between(50, 3_000))
    }

    /// Takes a node down, to come back after a pause.
    fn fall(&mut self, sim: &mut turmoil::Sim<'_>, world: &World, index: usize, fall: Fall, pause: Duration) {
        let node = &world.nodes[index];
        if node.state() == State::Down {
            return;
        }
        world.trace.note(&format!("{} falls: {fall:?}", node.name));
        sim.crash(node.name.as_str());
        node.fell();
        let is_cut = |until: &Until| matches!(until, Until::Power { node } if *node == index);
        let had_cut = self.in_flight.iter().any(|(_, until)| is_cut(until));
        self.in_flight.retain(|(_, until)| !is_cut(until));
        if fall == Fall::Power || had_cut {
            node.medium.disk().crash();
        }
        self.in_flight.push((sim.elapsed() + pause, Until::Boot { node: index }));
    }

    fn watch_votes(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>, begins: bool) {
        let fresh: u64 = world.nodes.iter().map(|node| std::mem::take(&mut node.medium.votes().fresh)).sum();
        if fresh > 0 && self.votes_watched && begins && self.dice.percent(25) {
            count(world, FaultKind::PowerLossAfterVote, "all");
            self.all_fall(sim, world);
        }
    }

    fn all_fall(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>) {
        for index in 0..world.nodes.len() {
            let pause = self.pause();
            self.fall(sim, world, index, Fall::Power, pause);
        }
    }

    fn begin(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>, kind: FaultKind) {
        let index = self.dice.below(world.nodes.len() as u64) as usize;
        let node = world.nodes[index].clone();
        let lasts = sim.elapsed() + Duration::from_millis(self.dice.between(100, 4_000));
        let pause = self.pause();
        if node.state() == State::Down && kind != FaultKind::ClockStep {
            return;
        }
        count(world, kind, &node.name);
        match kind {
            FaultKind::Kill => self.fall(sim, world, index, Fall::Process, pause),
            FaultKind::PowerLoss => self.fall(sim, world, index, Fall::Power, pause),
            FaultKind::PowerLossOfAll => self.all_fall(sim, world),
            FaultKind::PowerLossAfterVote => {}
            FaultKind::PowerCut => {
                node.medium.disk().cut_power_after(self.dice.below(12));
                self.in_flight.push((lasts, Until::Power { node: index }));
            }
            FaultKind::Restart => node.stop(),
            FaultKind::FullDisk => {
                node.medium.disk().set_capacity(self.dice.below(3 << 20));
                self.in_flight.push((lasts, Until::Space { node: index }));
            }
            FaultKind::SyncFails => node.medium.disk().fail_next_sync(),
            FaultKind::SlowDisk => {
                node.set_sync_latency(Duration::from_millis(self.dice.between(20, 1_500)));
                self.in_flight.push((lasts, Until::Speed { node: index }));
            }
            FaultKind::FlippedBit => self.flip_bit(world),
            FaultKind::ClockStep => self.step_clocks(world, index),
            FaultKind::Checkpoint => node.want_checkpoint(),
            FaultKind::Partition | FaultKind::PartitionOneWay | FaultKind::Delay => {
                self.begin_on_link(sim, world, &node, kind, lasts);
            }
        }
    }

    /// Flips a bit of the node that the seed has chosen for all of them: the others have the bytes with which
    /// it repairs itself. A single node has nobody.
    fn flip_bit(&mut self, world: &World) {
        if world.nodes.len() == 1 {
            return;
        }
        let medium = &world.nodes[(world.plan.seed % world.plan.nodes) as usize].medium;
        let segments = segments(medium);
        if segments.is_empty() {
            return;
        }
        let path = self.dice.pick(&segments);
        let bytes = medium.disk().open(path, Open::Read).and_then(|file| file.len()).unwrap_or(0);
        if bytes > 0 {
            let bit = self.dice.below(bytes * 8);
            world.trace.note(&format!("disk {} flips bit {bit} of {}", medium.node(), path.display()));
            medium.disk().flip_bit(path, bit);
            medium.note_flip();
        }
    }

    /// One clock leaps, or two: by minutes, hours, days or years, ahead or back, or to 1970.
    fn step_clocks(&mut self, world: &World, index: usize) {
        const HOUR_MS: i64 = 3_600_000;
        let least_ms = *self.dice.pick(&[1_000, HOUR_MS, 24 * HOUR_MS, 365 * 24 * HOUR_MS]);
        let ahead_ms = least_ms + self.dice.below(least_ms.unsigned_abs() * 9) as i64;
        let skew_ms = match self.dice.below(5) {
            0 => i64::MIN,
            1 | 2 => -ahead_ms,
            _ => ahead_ms,
        };
        let two = if self.dice.percent(30) { 2 } else { 1 };
        for node in (0..two).map(|next| &world.nodes[(index + next) % world.nodes.len()]) {
            // A node that has started with a clock before its newest record takes the next one for right, as at a
            // start.
            let skew_ms = if node.skew_ms() < -FAR_MS && skew_ms > FAR_MS { 0 } else { skew_ms };
            world.trace.note(&format!("{} is off by {skew_ms} ms", node.name));
            node.set_skew_ms(skew_ms);
        }
    }

    /// Corrects the clock of a node that starts while most clocks are far ahead, because records that such
    /// clocks hide would look lost. A node whose clock is behind, or in 1970, starts with it.
    fn judge_clock(world: &World, index: usize) {
        let ahead = world.nodes.iter().filter(|node| node.skew_ms() > FAR_MS).count();
        if ahead * 2 > world.nodes.len() {
            world.nodes[index].set_skew_ms(0);
        }
    }

    fn begin_on_link(
        &mut self,
        sim: &turmoil::Sim<'_>,
        world: &World,
        node: &SimNode,
        kind: FaultKind,
        lasts: Duration,
    ) {
        let mut others: Vec<&str> =
            world.nodes.iter().map(|node| node.name.as_str()).filter(|name| *name != node.name).collect();
        others.push(CLIENTS);
        let (from, to) = (node.name.clone(), (*self.dice.pick(&others)).to_owned());
        // Two faults of one link at a time are not told apart by the simulated network.
        let is_taken = |until: &Until| match until {
            Until::Link { from: a, to: b, .. } => (a, b) == (&from, &to) || (a, b) == (&to, &from),
            _ => false,
        };
        if self.in_flight.iter().any(|(_, until)| is_taken(until)) {
            return;
        }
        let (a, b) = (from.as_str(), to.as_str());
        match kind {
            FaultKind::Partition => sim.partition(a, b),
            FaultKind::PartitionOneWay => sim.partition_oneway(a, b),
            _ => sim.hold(a, b),
        }
        self.in_flight.push((lasts, Until::Link { from, to, kind }));
    }

    fn end(&mut self, sim: &mut turmoil::Sim<'_>, world: &Rc<World>, until: Until) {
        world.trace.note(&format!("end of {until:?}"));
        match until {
            Until::Boot { node } => {
                Self::judge_clock(world, node);
                sim.bounce(world.nodes[node].name.as_str());
            }
            Until::Space { node } => world.nodes[node].medium.disk().set_capacity(u64::MAX),
            Until::Speed { node } => world.nodes[node].set_sync_latency(world.plan.sync_latency),
            Until::Power { node } => {
                let pause = self.pause();
                // The power is off, even if nobody has tried to write since.
                self.fall(sim, world, node, Fall::Power, pause);
            }
            Until::Link { from, to, kind } => match kind {
                FaultKind::Partition => sim.repair(from.as_str(), to.as_str()),
                FaultKind::PartitionOneWay => sim.repair_oneway(from.as_str(), to.as_str()),
                _ => sim.release(from.as_str(), to.as_str()),
            },
        }
    }
}

fn count(world: &World, kind: FaultKind, at: &str) {
    world.trace.note(&format!("fault {kind:?} at {at}"));
    *world.faults.borrow_mut().entry(name(kind)).or_default() += 1;
}

fn name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Kill => "kill",
        FaultKind::PowerLoss => "power loss",
        FaultKind::PowerLossOfAll => "power loss of all",
        FaultKind::PowerCut => "power cut in a write",
        FaultKind::PowerLossAfterVote => "power loss after a vote",
        FaultKind::Restart => "restart",
        FaultKind::FullDisk => "full disk",
        FaultKind::SyncFails => "failed sync",
        FaultKind::SlowDisk => "slow disk",
        FaultKind::FlippedBit => "flipped bit",
        FaultKind::ClockStep => "clock step",
        FaultKind::Partition => "partition",
        FaultKind::PartitionOneWay => "one-way partition",
        FaultKind::Delay => "delay",
        FaultKind::Checkpoint => "checkpoint",
    }
}
