//! The producer of a batch, so that a batch that is sent again counts once; and sets of positions in a batch.

use std::num::NonZeroU64;

use super::hash_key;
use crate::limits::PUT_RECORDS_MAX;

/// A producer and its batch (`tidelog/v1/records.proto`, Producer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    producer: NonZeroU64,
    batch: NonZeroU64,
    settled_below: u64,
}

/// Why there is no such stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// A producer has another id.
    #[error("a producer's id is not 0")]
    Producer,
    /// There is no batch 0.
    #[error("a producer's batches are numbered from 1 on")]
    Batch,
    /// The batch itself cannot be settled before it is sent.
    #[error("settled_below is at most the number of the batch")]
    SettledBelow,
}

impl Stamp {
    /// The stamp of a producer's batch; every batch below `settled_below` is not sent again.
    ///
    /// # Errors
    /// [`StampError`] for an id or a number of 0, and for a batch that is settled itself.
    pub fn new(producer: u64, batch: u64, settled_below: u64) -> Result<Self, StampError> {
        let producer = NonZeroU64::new(producer).ok_or(StampError::Producer)?;
        let batch = NonZeroU64::new(batch).ok_or(StampError::Batch)?;
        if settled_below > batch.get() {
            return Err(StampError::SettledBelow);
        }
        Ok(Self { producer, batch, settled_below })
    }

    /// The producer's id.
    pub fn producer(&self) -> u64 {
        self.producer.get()
    }

    /// The batch's number, from 1 on.
    pub fn batch(&self) -> u64 {
        self.batch.get()
    }

    /// Batches below this are settled.
    pub fn settled_below(&self) -> u64 {
        self.settled_below
    }

    /// The hash key of a record without a key: the same each time it is sent, so that it comes to where it is known.
    pub fn hash_key(&self, position: u32) -> u128 {
        hash_key::of_partition_key(&format!("{} {} {position}", self.producer, self.batch))
    }
}

/// Words of [`Positions`].
const WORDS: usize = 8;
/// Records of a batch are at positions below this.
const POSITIONS_END: u32 = WORDS as u32 * u64::BITS;
const _: () = assert!(PUT_RECORDS_MAX <= POSITIONS_END as usize);

/// Some of a batch's records, by their position in it. One bit for each, so that every set takes the same room however
/// the records are spread over shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions([u64; WORDS]);

impl Positions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// How many.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether this one is among them.
    pub fn contains(&self, position: u32) -> bool {
        position < POSITIONS_END && self.0[(position / u64::BITS) as usize] >> (position % u64::BITS) & 1 == 1
    }

    /// These and others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | others.0[at]))
    }

    /// These but for others.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !others.0[at]))
    }

    /// How many of them lie below a position.
    pub fn below(&self, position: u32) -> u32 {
        let whole = (position / u64::BITS) as usize;
        let rest = self.0.get(whole).map_or(0, |word| word & !(u64::MAX << (position % u64::BITS)));
        self.0.iter().take(whole).map(|word| word.count_ones()).sum::<u32>() + rest.count_ones()
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..POSITIONS_END).filter(|position| self.contains(*position))
    }

    /// One bit for each position, the lowest first, up to the last word that is not 0.
    pub fn words(&self) -> &[u64] {
        let end = self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        &self.0[..end]
    }

    /// The positions of such words; `None` for too many of them.
    pub fn from_words(words: &[u64]) -> Option<Self> {
        let mut positions = Self::default();
        positions.0.get_mut(..words.len())?.copy_from_slice(words);
        Some(positions)
    }
}

impl FromIterator<u32> for Positions {
    /// # Panics
    /// When one is beyond those of a batch.
    fn from_iter<I: IntoIterator<Item = u32>>(positions: I) -> Self {
        let mut set = Self::default();
        for position in positions {
            assert!(position < POSITIONS_END, "position {position} of a batch");
            set.0[(position / u64::BITS) as usize] |= 1 << (position % u64::BITS);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stamps_without_sense_are_refused() {
        for (producer, batch, settled_below, expected) in [
            (7, 1, 0, Ok(())),
            (7, 1, 1, Ok(())),
            (u64::MAX, u64::MAX, u64::MAX, Ok(())),
            (0, 1, 0, Err(StampError::Producer)),
            (7, 0, 0, Err(StampError::Batch)),
            (7, 3, 4, Err(StampError::SettledBelow)),
        ] {
            assert_eq!(Stamp::new(producer, batch, settled_below).map(drop), expected);
        }
    }

    fn set() -> impl Strategy<Value = BTreeSet<u32>> {
        btree_set(0..POSITIONS_END, 0..40)
    }

    proptest! {
        #[test]
        fn positions_are_a_set(one in set(), other in set(), at in 0..POSITIONS_END + 70) {
            let of = |set: &BTreeSet<u32>| set.iter().copied().collect::<Positions>();
            let (left, right) = (of(&one), of(&other));
            prop_assert_eq!(left.with(&right), of(&(&one | &other)));
            prop_assert_eq!(left.without(&right), of(&(&one - &other)));
            prop_assert_eq!(left.contains(at), one.contains(&at));
            prop_assert_eq!(left.below(at) as usize, one.range(..at).count());
            prop_assert_eq!((left.len() as usize, left.is_empty()), (one.len(), one.is_empty()));
            prop_assert!(left.iter().eq(one.iter().copied()));
            prop_assert_eq!(Positions::from_words(left.words()), Some(left));
        }
    }

    #[test]
    fn more_positions_than_a_batch_has_are_none() {
        assert_eq!(Positions::from_words(&[0; WORDS + 1]), None);
        assert_eq!(Positions::default().words(), [0_u64; 0]);
    }
}
