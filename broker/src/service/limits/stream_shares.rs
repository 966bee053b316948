//! A bound of the node that streams share: no stream has more than is left for all others.
//!
//! One stream alone can so have half of the bound, two a third each, and a newcomer always finds something, however
//! much the clients of one stream ask for. Nothing is set aside for streams that ask for little.

use std::collections::HashMap;

/// How many of something each stream has, of a bound in all.
#[derive(Debug)]
pub struct StreamShares {
    bound: usize,
    total: usize,
    by_stream: HashMap<u64, usize>,
}

impl StreamShares {
    /// Nobody has any yet.
    pub fn new(bound: usize) -> Self {
        Self { bound, total: 0, by_stream: HashMap::new() }
    }

    /// Whether a stream may have that many more.
    pub fn admits(&self, stream_uid: u64, more: usize) -> bool {
        let own = self.by_stream.get(&stream_uid).copied().unwrap_or_default().saturating_add(more);
        let free = self.bound.saturating_sub(self.total).checked_sub(more);
        free.is_some_and(|free| own <= free.max(1))
    }

    /// Adds `more` to the share of a stream.
    pub fn add(&mut self, stream_uid: u64, more: usize) {
        if more > 0 {
            *self.by_stream.entry(stream_uid).or_default() += more;
            self.total += more;
        }
    }

    /// Takes back that many of those of a stream.
    pub fn remove(&mut self, stream_uid: u64, fewer: usize) {
        if let Some(own) = self.by_stream.get_mut(&stream_uid) {
            assert!(*own >= fewer, "a stream gives back what it has");
            *own -= fewer;
            self.total -= fewer;
            if *own == 0 {
                self.by_stream.remove(&stream_uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many a stream gets that asks for more again and again.
    fn greedy(shares: &mut StreamShares, stream_uid: u64, at_once: usize) -> usize {
        let mut had = 0;
        while shares.admits(stream_uid, at_once) {
            shares.add(stream_uid, at_once);
            had += at_once;
        }
        had
    }

    #[test]
    fn a_greedy_stream_leaves_as_much_as_it_has() {
        let mut shares = StreamShares::new(100_000);
        assert_eq!(greedy(&mut shares, 1, 20_000), 40_000);
        assert_eq!(greedy(&mut shares, 1, 1), 10_000);
        assert_eq!(greedy(&mut shares, 2, 1), 25_000);
        assert_eq!(greedy(&mut shares, 3, 1), 12_500);
        // Streams that ask for one still find one.
        for stream_uid in 10..1_000 {
            assert!(shares.admits(stream_uid, 1), "{stream_uid}");
            shares.add(stream_uid, 1);
        }
        shares.remove(1, 50_000);
        assert!(shares.admits(1, 25_000) && !shares.admits(1, 50_000));
    }

    #[test]
    fn the_bound_holds_also_for_shares_taken_at_once() {
        let mut shares = StreamShares::new(10);
        assert!(!shares.admits(1, 11) && !shares.admits(1, 6) && shares.admits(1, 5));
        let given: usize = (1..100).map(|stream_uid| greedy(&mut shares, stream_uid, 1)).sum();
        assert_eq!((given, shares.total), (10, 10));
        shares.remove(99, 1);
        assert_eq!(shares.total, 10, "it has none");
    }
}
