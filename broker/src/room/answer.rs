//! What an answer may take of the room.

use std::sync::Arc;

use super::account::Account;
use super::pool::{Charge, Full, Pool};

/// Bytes of an answer that what its connection is charged covers.
pub const PREPAID_ANSWER_BYTES: usize = 16 << 10;

/// The room for one connection's answers. Nobody waits for it: who would has read records, which take memory that no
/// class counts, and gives fewer of them instead.
#[derive(Clone, Debug, Default)]
pub struct AnswerRoom(Option<(Arc<Pool>, Arc<Account>)>);

impl AnswerRoom {
    /// Room out of that pool, for answers on the connection of `account`. By default an answer takes what it likes.
    #[must_use]
    pub fn new(pool: &Arc<Pool>, account: &Arc<Account>) -> Self {
        Self(Some((pool.clone(), account.clone())))
    }

    /// Charges that many bytes, if there is room now; the one that finishes may take of the reserve. `None` is a charge
    /// that the connection has paid for.
    ///
    /// # Errors
    /// [`Full`], which is counted.
    pub fn take(&self, bytes: usize) -> Result<Option<Charge>, Full> {
        let Some((pool, account)) = &self.0 else { return Ok(None) };
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

    /// As [`Self::take`], for as many of these things as there is room for, in order; all of them, or a half, or a half
    /// of that. Where even the first finds none, that is a refusal.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take_some(&self, sizes: &[usize], around: usize) -> Result<(usize, Option<Charge>), Full> {
        let mut count = sizes.len();
        loop {
            let bytes = around + sizes[..count].iter().sum::<usize>();
            let Some((pool, account)) = &self.0 else { return Ok((count, None)) };
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

    fn refused(&self) -> Full {
        if let Some((pool, _)) = &self.0 {
            pool.note_refusal();
        }
        Full
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, FILE_READ_BYTES, LARGEST_ANSWER_BYTES, Room, Shares};
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn short_of_room_there_are_fewer_and_the_first_is_the_last_to_be_refused() {
        let bytes = FILE_READ_BYTES + LARGEST_ANSWER_BYTES + 2 * MIB;
        let room = Room::new(Shares::default().with(Class::Answers, bytes));
        let account = Account::of_nobody();
        let answers = AnswerRoom::new(&room.answers, &account);
        // 16 MiB in all, of which 14 are the reserve and 2 for what is small: nothing else is left.
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
}
