//! The positions that each peer is known to hold in the groups that are led here, by the answers of the
//! process that runs there now.
//!
//! openraft relies on a peer's acknowledgements for as long as a leadership lasts, also after the peer has
//! restarted with less. Here a position counts only once the peer's present process has confirmed it, by an answer
//! to entries or to a heartbeat, which names the last position that it acknowledged. These positions decide which
//! peer may get a group, which one counts as caught up, and which follower stands still. The network writes them;
//! leaders and administration read them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// The position of one process of a peer in one group and one term, by its own answers.
#[derive(Debug)]
pub struct FollowerPosition {
    term: u64,
    /// The peer's process.
    process: u64,
    /// The last index that earlier processes of the peer have acknowledged in the term.
    acknowledged_before: u64,
    confirmed: AtomicU64,
    has_lost: AtomicBool,
}

impl FollowerPosition {
    /// The peer holds the group's log up to `index`.
    pub fn confirm(&self, index: u64) {
        self.confirmed.fetch_max(index, Ordering::Relaxed);
    }

    /// The last index that the peer has acknowledged to this node in the term; 0 for none.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged_before.max(self.confirmed.load(Ordering::Relaxed))
    }

    /// Notes that the peer lacks entries that it has acknowledged; true when that was not known.
    pub fn note_loss(&self) -> bool {
        !self.has_lost.swap(true, Ordering::Relaxed)
    }
}

/// How far one follower of something is behind a goal that moves.
#[derive(Clone, Copy, Debug)]
struct Pursuit {
    reached: u64,
    goal: u64,
    /// Since when the goal stands, and since when nothing has been reached beyond `reached`.
    goal_since: Instant,
    still_since: Instant,
    has_arrived: bool,
}

impl Pursuit {
    fn begin(goal: u64, now: Instant) -> Self {
        Self { reached: 0, goal, goal_since: now, still_since: now, has_arrived: false }
    }

    /// Takes note of the position that is reached now; once it is the goal, `goal` is the next one.
    fn note(&mut self, reached: u64, goal: u64, now: Instant) {
        if reached != self.reached {
            (self.reached, self.still_since) = (reached, now);
        }
        if reached >= self.goal {
            (self.goal, self.goal_since, self.still_since) = (goal, now, now);
            self.has_arrived = true;
        }
    }

    /// Whether it has been at a goal, and has not taken longer than `most` for the present one so far.
    fn keeps_up(&self, most: Duration, now: Instant) -> bool {
        self.has_arrived && now - self.goal_since <= most
    }
}

/// The positions of all peers in all groups, as their present processes have confirmed them.
#[derive(Default)]
pub struct ReplicationProgress {
    by_peer: Mutex<BTreeMap<(u8, u64), Arc<FollowerPosition>>>,
    followers: Mutex<BTreeMap<(u8, u64), Pursuit>>,
    /// Up to where each peer has applied the metadata, and how it keeps up.
    metadata: Mutex<BTreeMap<u64, (u64, Option<Pursuit>)>>,
    own_metadata: Mutex<Option<Pursuit>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds this lock")
}

impl ReplicationProgress {
    /// Where a peer's process stands in a group that this node leads in `term`.
    pub fn of(&self, group: u8, peer: u64, term: u64, process: u64) -> Arc<FollowerPosition> {
        let mut by_peer = locked(&self.by_peer);
        let known = by_peer.get(&(group, peer)).filter(|known| known.term == term);
        if let Some(known) = known.filter(|known| known.process == process) {
            return known.clone();
        }
        let position = Arc::new(FollowerPosition {
            term,
            process,
            acknowledged_before: known.map_or(0, |known| known.acknowledged()),
            confirmed: AtomicU64::new(0),
            has_lost: AtomicBool::new(false),
        });
        // A late call of an earlier term must not erase the confirmations of the present one.
        if by_peer.get(&(group, peer)).is_none_or(|known| known.term <= term) {
            by_peer.insert((group, peer), position.clone());
        }
        position
    }

    /// Up to where that process of a peer has confirmed a group's log in `term`; `None` while it has not, or when
    /// it lacks entries that it had acknowledged.
    pub fn confirmed(&self, group: u8, peer: u64, term: u64, process: Option<u64>) -> Option<u64> {
        let by_peer = locked(&self.by_peer);
        let known = by_peer.get(&(group, peer))?;
        let is_present = known.term == term && Some(known.process) == process;
        let index = known.confirmed.load(Ordering::Relaxed);
        (is_present && index > 0 && !known.has_lost.load(Ordering::Relaxed)).then_some(index)
    }

    /// Takes note of up to where a peer has applied the metadata.
    pub fn set_metadata(&self, peer: u64, applied: u64) {
        locked(&self.metadata).entry(peer).or_default().0 = applied;
    }

    /// Compares how far this node and its peers have applied the metadata; to be called a few times a second.
    pub fn compare_metadata(&self, own: u64, now: Instant) {
        let mut newest = 0;
        for (applied, pursuit) in locked(&self.metadata).values_mut() {
            pursuit.get_or_insert_with(|| Pursuit::begin(own, now)).note(*applied, own, now);
            newest = newest.max(*applied);
        }
        locked(&self.own_metadata).get_or_insert_with(|| Pursuit::begin(newest, now)).note(own, newest, now);
    }

    /// Whether a peer applies the metadata with at most that delay.
    pub fn keeps_up_with_metadata(&self, peer: u64, delay: Duration, now: Instant) -> bool {
        let metadata = locked(&self.metadata);
        let pursuit = metadata.get(&peer).and_then(|(_, pursuit)| pursuit.as_ref());
        pursuit.is_some_and(|pursuit| pursuit.keeps_up(delay, now))
    }

    /// Whether some peer has applied metadata that this node has lacked for longer than that delay.
    pub fn lacks_metadata(&self, delay: Duration, now: Instant) -> bool {
        locked(&self.own_metadata).is_some_and(|own| now - own.goal_since > delay && own.reached < own.goal)
    }

    /// Takes note of the positions of the followers of one group that is led here, and of the committed one; to be
    /// called a few times a second. Followers that are not named are forgotten.
    pub fn note_followers(&self, group: u8, reached: &BTreeMap<u64, u64>, committed: u64, now: Instant) {
        let mut followers = locked(&self.followers);
        followers.retain(|(of, peer), _| *of != group || reached.contains_key(peer));
        for (peer, reached) in reached {
            let pursuit = followers.entry((group, *peer)).or_insert_with(|| Pursuit::begin(committed, now));
            pursuit.note(*reached, committed, now);
        }
    }

    /// How long a follower has stood still in a group that is led here although more is committed.
    pub fn still_for(&self, group: u8, peer: u64, now: Instant) -> Duration {
        let followers = locked(&self.followers);
        let behind = followers.get(&(group, peer)).filter(|pursuit| pursuit.reached < pursuit.goal);
        behind.map_or(Duration::ZERO, |pursuit| now - pursuit.still_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_confirmations_of_the_present_process_count() {
        let positions = ReplicationProgress::default();
        assert_eq!(positions.confirmed(1, 2, 5, Some(70)), None, "nothing was said");
        let before = positions.of(1, 2, 5, 70);
        before.confirm(100);
        before.confirm(90);
        assert_eq!(positions.confirmed(1, 2, 5, Some(70)), Some(100));
        assert_eq!(positions.confirmed(1, 2, 6, Some(70)), None, "another leadership");
        assert_eq!(positions.confirmed(1, 2, 5, None), None, "nobody knows what runs there now");

        let after = positions.of(1, 2, 5, 71);
        assert_eq!(positions.confirmed(1, 2, 5, Some(71)), None, "a process that has said nothing");
        // A late answer of the process before.
        before.confirm(120);
        assert_eq!(positions.confirmed(1, 2, 5, Some(71)), None);
        assert_eq!(after.acknowledged(), 100, "the peer has acknowledged it all the same");
        after.confirm(40);
        assert_eq!(positions.confirmed(1, 2, 5, Some(71)), Some(40));
        assert!(after.note_loss() && !after.note_loss());
        assert_eq!(positions.confirmed(1, 2, 5, Some(71)), None, "it lacks what it had acknowledged");
        assert_eq!(positions.of(1, 2, 6, 71).acknowledged(), 0, "a new leadership knows of nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_stands_still_below_committed_entries_is_seen() {
        let positions = ReplicationProgress::default();
        let still = |reached: u64, committed: u64| {
            let now = Instant::now();
            positions.note_followers(3, &BTreeMap::from([(2, reached)]), committed, now);
            positions.still_for(3, 2, now).as_secs()
        };
        let second = || tokio::time::advance(Duration::from_secs(1));
        let mut seen = Vec::new();
        // Keeps up, lags and moves, is idle at the end, and then takes nothing any more.
        for (reached, committed) in [
            (10, 10),
            (20, 30),
            (30, 40),
            (35, 90),
            (90, 90),
            (90, 90),
            (90, 90),
            (90, 91),
            (90, 92),
            (90, 92),
            (92, 92),
        ] {
            seen.push(still(reached, committed));
            second().await;
        }
        assert_eq!(seen, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
        positions.note_followers(3, &BTreeMap::new(), 99, Instant::now());
        assert_eq!(positions.still_for(3, 2, Instant::now()), Duration::ZERO, "no follower any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_lacks_metadata_is_seen_on_both_sides() {
        let (positions, delay) = (ReplicationProgress::default(), Duration::from_secs(2));
        let look = |own: u64, theirs: u64| {
            let now = Instant::now();
            positions.set_metadata(2, theirs);
            positions.compare_metadata(own, now);
            (positions.keeps_up_with_metadata(2, delay, now), positions.lacks_metadata(delay, now))
        };
        assert!(!positions.keeps_up_with_metadata(2, delay, Instant::now()), "it has said nothing");
        // A hollow peer does not keep up from the first moment on, and this node lacks nothing.
        for _ in 0..5 {
            assert_eq!(look(100, 0), (false, false));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // It keeps up with a moving goal, at some distance.
        for step in 0..5 {
            assert_eq!(look(200 + 50 * step, 150 + 50 * step), (true, false), "step {step}");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // This node falls behind: it takes longer than the delay to reach the position that the peer had applied.
        let seen: Vec<bool> = {
            let mut seen = Vec::new();
            for step in 0..5 {
                seen.push(look(400, 1_000 + step).1);
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            seen
        };
        assert_eq!(seen, [false, false, false, true, true]);
        assert_eq!(look(1_004, 1_004), (true, false));
    }
}
