//! Permanent losses of one node's disk: the end of its log, all of it, or everything since an older copy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::disk::{Open, SimDisk};

use crate::dice::Dice;
use crate::plan::{Loss, Plan};
use crate::world::World;

/// Where commits begin in a file of the log (`storage/FORMAT.md`).
const COMMITS_BEGIN: u64 = 12_288;

/// The loss of a run: chosen at its beginning, and done once.
pub struct Losses {
    dice: Dice,
    loss: Option<Loss>,
    victim: usize,
    at: Option<Duration>,
    /// An older copy of the disk, and the victim's newest life that the cluster knew then.
    copy: Option<(SimDisk, u64)>,
}

impl Losses {
    /// Plans the losses of that run. The victim is the node whose segments may be flipped as well: the others
    /// are undamaged.
    pub fn new(plan: &Plan) -> Self {
        Self {
            dice: Dice::new(plan.seed, "losses"),
            loss: plan.loss,
            victim: (plan.seed % plan.nodes) as usize,
            at: None,
            copy: None,
        }
    }

    /// The node that is to lose something now, if it is time.
    pub fn due(&mut self, world: &World, now: Duration) -> Option<usize> {
        let loss = self.loss?;
        let most = world.plan.unsafe_time.as_millis() as u64;
        let at =
            *self.at.get_or_insert(now + Duration::from_millis(self.dice.between(most / 4, most * 3 / 4)));
        if loss == Loss::RolledBack && self.copy.is_none() {
            let known = known_life(world, self.victim).into_iter().max().unwrap_or(0);
            self.copy = (known > 0).then(|| (world.nodes[self.victim].medium.disk().fork(), known));
        }
        let is_due = match &self.copy {
            // A copy is older once the node has started again, and the others know.
            Some((_, known)) => {
                known_life(world, self.victim).iter().filter(|life| *life > known).count() >= 2
            }
            None => loss != Loss::RolledBack && now >= at,
        };
        is_due.then_some(self.victim)
    }

    /// Does it to the disk of a node that is down.
    pub fn harm(&mut self, world: &World, victim: usize) {
        let Some(loss) = self.loss.take() else { return };
        let disk = world.nodes[victim].medium.disk();
        let files = log_files(disk);
        let Some(newest) = files.last() else { return };
        let used = used_bytes(disk, newest);
        // Far enough from the end that the loss cannot be taken for a torn commit.
        let most = used.saturating_sub(COMMITS_BEGIN) * 6 / 10;
        let at = COMMITS_BEGIN + self.dice.below(most.max(1));
        match loss {
            Loss::NewestLogFile => disk.lose_file(newest),
            Loss::WholeLog => files.iter().for_each(|file| disk.lose_file(file)),
            Loss::LogCut | Loss::LogZeroed if used < 2 * COMMITS_BEGIN => return,
            Loss::LogCut => disk.truncate(newest, at),
            Loss::LogZeroed => disk.zero_from(newest, at),
            Loss::RolledBack => {
                let Some((copy, _)) = self.copy.take() else { return };
                disk.roll_back(&copy);
                disk.crash();
            }
        }
        world.harmed.set(Some(victim));
        world.trace.note(&format!("{} loses {loss:?}", world.nodes[victim].name));
        let name = match loss {
            Loss::NewestLogFile => "newest log file lost",
            Loss::WholeLog => "log lost",
            Loss::LogCut => "log cut",
            Loss::LogZeroed => "log zeroed",
            Loss::RolledBack => "directory rolled back",
        };
        *world.faults.borrow_mut().entry(name).or_default() += 1;
    }
}

/// The numbers of the newest life of a node that the others know.
fn known_life(world: &World, of: usize) -> Vec<u64> {
    let others = world.nodes.iter().enumerate().filter(|(index, _)| *index != of);
    let services = others.filter_map(|(_, node)| node.service());
    services
        .map(|service| service.catalog().lives.get(&(of as u64 + 1)).map_or(0, |life| life.number))
        .collect()
}

fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    let directory = Path::new("/data/wal");
    let names = disk.list(directory).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".wal")).map(|name| directory.join(name)).collect()
}

/// Up to where a file holds something else than zeros.
fn used_bytes(disk: &SimDisk, path: &Path) -> u64 {
    let read = || -> std::io::Result<Vec<u8>> {
        let file = disk.open(path, Open::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).expect("a simulated file fits memory")];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}
