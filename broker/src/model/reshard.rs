//! Plans of a reshard: which shards are closed and which come in their place. Pure; operations and the growth of
//! on-demand streams ask for a plan, the service carries it out.
//!
//! A plan is one step for the outside, however many splits and merges it is made of: shards that a later step of the
//! same plan splits or merges again are opened and closed in one instant and never hold a record. Numbers go on from
//! the highest ever used, in the order of the steps.

use std::collections::BTreeSet;

use super::hash_key::even_ranges;
use super::stream::{HashRange, Reshard, Shard, Stream};

/// A shard to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The keys it takes.
    pub range: HashRange,
    /// The shard it is split off, or the lower one it is merged from.
    pub parent: u32,
    /// The upper one it is merged from.
    pub adjacent_parent: Option<u32>,
}

/// The shards that a reshard closes, and the shards that it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The number of the first child. A plan is good for the stream it was made from: another change takes this number.
    pub first: u32,
    /// Open shards that are closed, ascending.
    pub sealed: Vec<u32>,
    /// Shards that come in their place, by number.
    pub children: Vec<Child>,
}

/// One open shard while a plan is made.
#[derive(Clone, Copy, Debug)]
struct Open {
    index: u32,
    range: HashRange,
}

/// The steps of a plan so far.
struct Planner {
    plan: Plan,
}

impl Planner {
    fn new(stream: &Stream) -> Self {
        let first = stream.shards.last().map_or(0, |shard| shard.index + 1);
        Self { plan: Plan { first, ..Plan::default() } }
    }

    fn close(&mut self, shard: Open) {
        if shard.index < self.plan.first {
            self.plan.sealed.push(shard.index);
        }
    }

    fn open(&mut self, range: HashRange, parent: u32, adjacent_parent: Option<u32>) -> Open {
        let index = self.plan.first + self.plan.children.len() as u32;
        self.plan.children.push(Child { range, parent, adjacent_parent });
        Open { index, range }
    }

    /// The lower part gets the lower number.
    fn split(&mut self, shard: Open, at: u128) -> (Open, Open) {
        let HashRange { start, end } = shard.range;
        assert!(start < at && at <= end, "a shard is split inside its range");
        self.close(shard);
        let lower = self.open(HashRange { start, end: at - 1 }, shard.index, None);
        let upper = self.open(HashRange { start: at, end }, shard.index, None);
        (lower, upper)
    }

    fn merge(&mut self, lower: Open, upper: Open) -> Open {
        assert_eq!(lower.range.end + 1, upper.range.start, "only neighbours are merged");
        self.close(lower);
        self.close(upper);
        let range = HashRange { start: lower.range.start, end: upper.range.end };
        self.open(range, lower.index, Some(upper.index))
    }

    fn finish(mut self) -> Plan {
        self.plan.sealed.sort_unstable();
        self.plan
    }
}

impl Reshard {
    /// The sealed shards whose records a new one goes on from, directly or through shards between them.
    pub fn sealed_ancestors(&self, shard: &Shard) -> BTreeSet<u32> {
        let mut ancestors = BTreeSet::new();
        let mut next: Vec<u32> = shard.parent.into_iter().chain(shard.adjacent_parent).collect();
        while let Some(index) = next.pop() {
            match self.opened.iter().find(|opened| opened.index == index) {
                Some(between) => next.extend(between.parent.iter().chain(&between.adjacent_parent)),
                None => drop(ancestors.insert(index)),
            }
        }
        ancestors
    }
}

impl Plan {
    /// Splits one open shard at a hash key, which becomes the first one of the upper part.
    ///
    /// # Panics
    /// When the key is not inside the shard's range, its start excluded.
    pub fn split(stream: &Stream, shard: &Shard, at: u128) -> Self {
        Self::split_all(stream, [(shard, at)])
    }

    /// Splits several open shards, each at its key.
    ///
    /// # Panics
    /// As [`Plan::split`].
    pub fn split_all<'a>(stream: &Stream, shards: impl IntoIterator<Item = (&'a Shard, u128)>) -> Self {
        let mut planner = Planner::new(stream);
        for (shard, at) in shards {
            planner.split(Open { index: shard.index, range: shard.range }, at);
        }
        planner.finish()
    }

    /// Merges two open shards, of which `lower` lies directly below `upper`.
    ///
    /// # Panics
    /// When they are no such neighbours.
    pub fn merge(stream: &Stream, lower: &Shard, upper: &Shard) -> Self {
        let mut planner = Planner::new(stream);
        let open = |shard: &Shard| Open { index: shard.index, range: shard.range };
        planner.merge(open(lower), open(upper));
        planner.finish()
    }

    /// Brings a stream to `count` shards of equal ranges, from the lowest keys up, as AWS does: from 4 to 3 shards 1
    /// and 2 are split, the pieces go to 0, to each other and to 3, and shards 6, 9 and 10 stay open. Ranges that are
    /// right already are left alone.
    ///
    /// # Panics
    /// When `count` is zero or the stream has no open shard.
    pub fn even(stream: &Stream, count: u32) -> Self {
        let mut planner = Planner::new(stream);
        let mut rest = stream.open_shards().map(|shard| Open { index: shard.index, range: shard.range });
        let mut remainder = None;
        for target in even_ranges(count) {
            let mut shard =
                remainder.take().or_else(|| rest.next()).expect("open shards cover every hash key");
            while shard.range.end < target.end {
                let mut next = rest.next().expect("open shards cover every hash key");
                if next.range.end > target.end {
                    let (lower, upper) = planner.split(next, target.end + 1);
                    (next, remainder) = (lower, Some(upper));
                }
                shard = planner.merge(shard, next);
            }
            if shard.range.end > target.end {
                remainder = Some(planner.split(shard, target.end + 1).1);
            }
        }
        planner.finish()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}

/// The middle of a range: the first key of its upper half. `None` when it cannot be halved.
pub fn middle(range: HashRange) -> Option<u128> {
    let width = range.end - range.start;
    // AWS wants more than one key below the new border.
    (width >= 3).then(|| range.start + width / 2 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fixture;

    /// The stream once the plan is carried out: open shards by number and range, and the check that they cover all.
    fn opened(stream: &Stream, plan: &Plan) -> Vec<(u32, HashRange)> {
        let first = stream.shards.last().unwrap().index + 1;
        let mut open: Vec<_> = stream.open_shards().map(|shard| (shard.index, shard.range)).collect();
        open.retain(|(index, _)| !plan.sealed.contains(index));
        let is_parent = |index| {
            plan.children.iter().any(|child| child.parent == index || child.adjacent_parent == Some(index))
        };
        let children = (first..).zip(&plan.children).filter(|(index, _)| !is_parent(*index));
        open.extend(children.map(|(index, child)| (index, child.range)));
        open.sort_unstable_by_key(|(_, range)| range.start);
        let mut next = Some(0);
        for (_, range) in &open {
            assert_eq!(next, Some(range.start));
            next = range.end.checked_add(1);
        }
        assert_eq!(next, None, "the last range ends at 2^128 - 1");
        assert_no_lone_child(plan);
        open
    }

    /// A split makes two children and a merge has two parents. KCL drops for ever the lease of a shard that is the only
    /// child of its only parent.
    fn assert_no_lone_child(plan: &Plan) {
        for child in plan.children.iter().filter(|child| child.adjacent_parent.is_none()) {
            let siblings = plan.children.iter().filter(|other| other.parent == child.parent).count();
            assert!(siblings > 1, "{child:?} is the only child of its only parent");
        }
    }

    #[test]
    #[should_panic(expected = "the only child of its only parent")]
    fn a_lone_child_is_found() {
        let range = HashRange { start: 0, end: u128::MAX };
        let child = Child { range, parent: 0, adjacent_parent: None };
        assert_no_lone_child(&Plan { first: 1, sealed: vec![0], children: vec![child] });
    }

    #[test]
    fn splits_and_merges_make_no_lone_child() {
        let stream = fixture::stream("a", 3);
        let [lower, upper, ..] = &stream.shards[..] else { panic!("three shards") };
        opened(&stream, &Plan::merge(&stream, lower, upper));
        opened(&stream, &Plan::split(&stream, lower, 2));
        let halves = [lower, upper].map(|shard| (shard, middle(shard.range).expect("wide")));
        opened(&stream, &Plan::split_all(&stream, halves));
    }

    fn numbers(open: &[(u32, HashRange)]) -> Vec<u32> {
        open.iter().map(|(index, _)| *index).collect()
    }

    #[test]
    fn four_become_three_as_at_aws() {
        let stream = fixture::stream("a", 4);
        let plan = Plan::even(&stream, 3);
        assert_eq!(plan.sealed, [0, 1, 2, 3]);
        let parents: Vec<_> =
            plan.children.iter().map(|child| (child.parent, child.adjacent_parent)).collect();
        let expected = [(1, None), (1, None), (0, Some(4)), (2, None), (2, None), (5, Some(7)), (8, Some(3))];
        assert_eq!(parents, expected);
        assert_eq!(numbers(&opened(&stream, &plan)), [6, 9, 10]);
    }

    #[test]
    fn ancestors_are_found_past_the_steps_between() {
        let stream = fixture::stream("a", 4);
        let plan = Plan::even(&stream, 3);
        let child = |(index, child): (u32, &Child)| Shard {
            index,
            parent: Some(child.parent),
            adjacent_parent: child.adjacent_parent,
            ..stream.shards[0].clone()
        };
        let opened: Vec<_> = (plan.first..).zip(&plan.children).map(child).collect();
        let reshard = Reshard { sealed: plan.sealed, opened };
        for (index, expected) in [(6, vec![0, 1]), (9, vec![1, 2]), (10, vec![2, 3]), (4, vec![1])] {
            let shard = reshard.opened.iter().find(|shard| shard.index == index).expect("a new shard");
            assert!(reshard.sealed_ancestors(shard).into_iter().eq(expected), "of shard {index}");
        }
    }

    #[test]
    fn doubling_splits_each_and_halving_merges_pairs() {
        let stream = fixture::stream("a", 2);
        assert_eq!(numbers(&opened(&stream, &Plan::even(&stream, 4))), [2, 3, 4, 5]);
        let stream = fixture::stream("a", 4);
        assert_eq!(numbers(&opened(&stream, &Plan::even(&stream, 2))), [4, 5]);
        assert!(Plan::even(&stream, 4).is_empty());
    }

    #[test]
    fn the_middle_is_inside() {
        assert_eq!(middle(HashRange { start: 0, end: u128::MAX }), Some(1 << 127));
        assert_eq!(middle(HashRange { start: 10, end: 13 }), Some(12));
        assert_eq!(middle(HashRange { start: 10, end: 12 }), None);
    }

    proptest! {
        #[test]
        fn any_count_ends_in_equal_ranges(before in 1u32..40, split in 0usize..40, after in 1u32..80) {
            let mut stream = fixture::stream("a", before);
            // An uneven border somewhere.
            if let Some(upper) = stream.shards.get(split + 1) {
                let start = upper.range.start + 12_345;
                stream.shards[split].range.end = start - 1;
                stream.shards[split + 1].range.start = start;
                stream.routes[split + 1].0 = start;
            }
            let plan = Plan::even(&stream, after);
            let ranges: Vec<_> = opened(&stream, &plan).into_iter().map(|(_, range)| range).collect();
            prop_assert_eq!(ranges, even_ranges(after).collect::<Vec<_>>());
        }
    }
}
