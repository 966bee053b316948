//! The memory that an answer may take.

use std::sync::Arc;

use super::account::Account;
use super::pool::{Charge, Full, Pool};

/// Bytes of an answer that the charge of its connection covers.
pub const PREPAID_ANSWER_BYTES: usize = 16 << 10;

/// The room for one connection's answers. No caller waits for it: a caller has records in memory that no class
/// counts, and answers with fewer of them instead.
#[derive(Clone, Debug)]
pub struct AnswerRoom {
    charged: Option<(Arc<Pool>, Arc<Account>)>,
    /// Bytes of one answer at most, where another node waits for it with that much room.
    bytes_max: usize,
}

impl Default for AnswerRoom {
    fn default() -> Self {
        Self { charged: None, bytes_max: usize::MAX }
    }
}

impl AnswerRoom {
    /// Room out of that pool, for answers on the connection of `account`. By default answers are not bounded.
    #[must_use]
    pub fn new(pool: &Arc<Pool>, account: &Arc<Account>) -> Self {
        Self { charged: Some((pool.clone(), account.clone())), ..Self::default() }
    }

    /// This room for an answer of at most that many bytes.
    #[must_use]
    pub fn bounded(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// Charges room for an answer that another node is asked for, before it is known how large it will be: as much
    /// as there is now while a quarter stays free, at most `bytes`. Returns how large the answer may be. No caller
    /// is refused: the bytes that the connection's own charge covers are left in any case.
    #[must_use]
    pub fn take_up_to(&self, bytes: usize) -> (usize, Option<Charge>) {
        let Some((pool, account)) = &self.charged else { return (bytes, None) };
        let mut wanted = bytes;
        while wanted > PREPAID_ANSWER_BYTES {
            let is_small = wanted <= super::SMALL_BYTES;
            let mut charge = pool.charge(account, is_small);
            if charge.try_grow_modestly(wanted) || (is_small && charge.try_grow(wanted)) {
                return (wanted, Some(charge));
            }
            wanted = if is_small { 0 } else { (wanted / 2).max(super::SMALL_BYTES) };
        }
        (PREPAID_ANSWER_BYTES, None)
    }

    /// Charges that many bytes, if there is room now; the one that finishes may take of the reserve. `None` stands
    /// for bytes that the connection's own charge covers.
    ///
    /// # Errors
    /// [`Full`], which is counted.
    pub fn take(&self, bytes: usize) -> Result<Option<Charge>, Full> {
        let Some((pool, account)) = &self.charged else { return Ok(None) };
        if bytes <= PREPAID_ANSWER_BYTES {
            return Ok(None);
        }
        let mut charge = pool.charge(account, bytes <= super::SMALL_BYTES);
        if charge.try_grow(bytes) || charge.try_finish(bytes) {
            Ok(Some(charge))
        } else {
            Err(self.refused())
        }
    }

    /// A charge that grows with an answer which is made piece by piece.
    #[must_use]
    pub fn growing(&self) -> Growing {
        Growing { room: self.clone(), charge: None }
    }

    /// Charges as many things of these sizes as there is room for, in order: all of them, or a half, or a
    /// half of that. Refuses when even the first finds no room.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take_some(&self, sizes: &[usize], around: usize) -> Result<(usize, Option<Charge>), Full> {
        let mut count = self.count_within_bound(sizes, around).ok_or(Full)?;
        loop {
            let bytes = around + sizes[..count].iter().sum::<usize>();
            let Some((pool, account)) = &self.charged else { return Ok((count, None)) };
            if bytes <= PREPAID_ANSWER_BYTES {
                return Ok((count, None));
            }
            let mut charge = pool.charge(account, bytes <= super::SMALL_BYTES);
            if charge.try_grow(bytes) {
                return Ok((count, Some(charge)));
            }
            if count <= 1 {
                return if charge.try_finish(bytes) {
                    Ok((count, Some(charge)))
                } else {
                    Err(self.refused())
                };
            }
            count /= 2;
        }
    }

    /// How many of these an answer of the greatest size has; `None` when there is no place for the first of them.
    fn count_within_bound(&self, sizes: &[usize], around: usize) -> Option<usize> {
        let mut left = self.bytes_max.saturating_sub(around);
        let fits = |size: &&usize| match left.checked_sub(**size) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let count = sizes.iter().take_while(fits).count();
        (count > 0 || sizes.is_empty()).then_some(count)
    }

    fn refused(&self) -> Full {
        if let Some((pool, _)) = &self.charged {
            pool.note_refusal();
        }
        Full
    }
}

/// The charge of an answer that is made piece by piece.
#[derive(Debug)]
pub struct Growing {
    room: AnswerRoom,
    charge: Option<Charge>,
}

impl Growing {
    /// Grows to that many bytes, if there is room now. A charge may take of the reserve when it is the first one to
    /// need it.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some((pool, account)) = &self.room.charged else { return true };
        if bytes <= PREPAID_ANSWER_BYTES {
            return true;
        }
        let charge = self.charge.get_or_insert_with(|| pool.charge(account, false));
        let grown = charge.try_grow(bytes) || charge.try_finish(bytes);
        if !grown {
            pool.note_refusal();
        }
        grown
    }

    /// The charge; `None` for bytes that the connection's own charge covers.
    #[must_use]
    pub fn into_charge(self) -> Option<Charge> {
        self.charge
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use super::super::{Class, FILE_READ_BYTES, LARGEST_ANSWER_BYTES, Room, Shares};
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn short_of_room_there_are_fewer_and_the_first_is_the_last_to_be_refused() {
        let bytes = FILE_READ_BYTES + LARGEST_ANSWER_BYTES + 2 * MIB;
        let room = Room::new(Shares::default().with(Class::Answers, bytes));
        let account = Account::detached();
        let answers = AnswerRoom::new(&room.answers, &account);
        // 16 MiB in all, of which 14 are the reserve and 2 for small charges: nothing else is left.
        assert!(answers.take(PREPAID_ANSWER_BYTES).unwrap().is_none());
        let sizes = [MIB; 8];
        let (count, first) = answers.take_some(&sizes, 100).unwrap();
        assert_eq!((count, first.as_ref().map(Charge::is_finishing)), (1, Some(true)));
        assert_eq!(answers.take_some(&sizes, 100).unwrap_err(), Full);
        assert_eq!(room.answers.refusals(), 1);
        assert_eq!(answers.take(MIB).unwrap_err(), Full);
        assert_eq!(room.answers.refusals(), 2);
        let small = answers.take(60 << 10).unwrap();
        assert!(small.is_some());
        drop(first);
        let (count, largest) = answers.take_some(&[LARGEST_ANSWER_BYTES], 0).unwrap();
        assert_eq!((count, largest.is_some()), (1, true));
        assert_eq!(AnswerRoom::default().take_some(&sizes, 100).unwrap().0, 8);
        let large = Room::new(Shares::of(2_048 * MIB));
        let answers = AnswerRoom::new(&large.answers, &account);
        assert_eq!(answers.take_some(&sizes, 100).unwrap().0, 8);
    }

    #[tokio::test]
    async fn an_answer_that_another_node_waits_for_is_as_large_as_its_room_there() {
        let sizes = [MIB; 8];
        let bounded =
            |bytes| AnswerRoom::default().bounded(bytes).take_some(&sizes, 100).map(|(count, _)| count);
        assert_eq!(bounded(8 * MIB + 100), Ok(8));
        assert_eq!(bounded(8 * MIB), Ok(7));
        assert_eq!(bounded(MIB), Err(Full));
        assert_eq!(AnswerRoom::default().bounded(0).take_some(&[], 100).unwrap().0, 0);
    }

    #[tokio::test]
    async fn room_taken_beforehand_is_limited_to_the_free_room_and_never_refused() {
        // 20 MiB: 14 are the reserve, 2.5 for small answers, and 3.5 for the others.
        let room = Room::new(Shares::default().with(Class::Answers, FILE_READ_BYTES + 20 * MIB));
        let answers = AnswerRoom::new(&room.answers, &Account::detached());
        let taken: Vec<_> = repeat_with(|| answers.take_up_to(LARGEST_ANSWER_BYTES)).take(100).collect();
        let sizes: Vec<usize> = taken.iter().map(|(bytes, _)| *bytes).collect();
        assert_eq!(sizes[0], LARGEST_ANSWER_BYTES / 8);
        assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
        assert_eq!(sizes[99], PREPAID_ANSWER_BYTES);
        let charged = |(bytes, charge): &(usize, Option<Charge>)| {
            *bytes == charge.as_ref().map_or(PREPAID_ANSWER_BYTES, Charge::bytes)
        };
        assert!(taken.iter().all(charged));
        assert_eq!(room.answers.refusals(), 0);
        assert_eq!(AnswerRoom::default().take_up_to(MIB).0, MIB);
    }
}
