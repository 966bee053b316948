//! The tokens of transactions that were done, so that a transaction which is sent again is not done again.
//!
//! An owner's tokens are remembered until [`Write::ForgetTokens`](crate::Write::ForgetTokens). There are 1,000 of them
//! at most: then the oldest gives way.

use std::collections::BTreeMap;

use super::Tables;
use super::size::{AROUND_ENTRY, Growth, NOTHING, Size};
use crate::codec::{Damaged, Reader, number_len, put_bytes, put_number, put_signed, signed_len};
use crate::owner::Owner;

/// Tokens of one owner.
const TOKENS_MAX: usize = 1_000;

/// A transaction that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// Milliseconds since the epoch.
    at_ms: i64,
    /// Stands for its writes.
    digest: u128,
}

/// Tokens of one owner.
pub(super) type Tokens = BTreeMap<Box<str>, Done>;

/// Whether a transaction was done under a token.
pub(super) enum Known {
    No,
    /// This transaction was done.
    Same,
    /// Another transaction was done.
    Other,
}

fn text_len(text: &str) -> usize {
    number_len(text.len() as u64) + text.len()
}

/// The bytes of a token: in a snapshot without the number of tokens before all of them.
fn size(owner: &Owner, token: &str, done: Done) -> Size {
    let snapshot =
        text_len(&owner.account) + text_len(&owner.region) + text_len(token) + signed_len(done.at_ms) + 16;
    Size { snapshot: snapshot as u64, memory: 2 * AROUND_ENTRY + token.len() as u64 }
}

impl Tables {
    /// The number of tokens that are remembered.
    fn token_count(&self) -> u64 {
        self.tokens.values().map(|tokens| tokens.len() as u64).sum()
    }

    /// Bytes in a snapshot before all tokens: none without tokens.
    pub(super) fn token_count_bytes(&self) -> u64 {
        match self.token_count() {
            0 => 0,
            count => number_len(count) as u64,
        }
    }

    pub(super) fn token(&self, owner: &Owner, token: &str, digest: u128) -> Known {
        match self.tokens.get(owner).and_then(|tokens| tokens.get(token)) {
            None => Known::No,
            Some(done) if done.digest == digest => Known::Same,
            Some(_) => Known::Other,
        }
    }

    /// Bytes by which a new token has the state grow.
    pub(super) fn token_growth(token: &str) -> Growth {
        let memory = (2 * AROUND_ENTRY) as i64 + token.len() as i64;
        Growth { snapshot: memory, memory }
    }

    /// Remembers a token that is not known.
    pub(super) fn remember(&mut self, owner: &Owner, token: &str, at_ms: i64, digest: u128) {
        let done = Done { at_ms, digest };
        let tokens = self.tokens.entry(owner.clone()).or_default();
        tokens.insert(token.into(), done);
        let oldest = (tokens.len() > TOKENS_MAX)
            .then(|| tokens.iter().min_by_key(|(_, done)| done.at_ms).map(|(token, _)| token.clone()))
            .flatten();
        self.resize(&owner.account, NOTHING, size(owner, token, done));
        if let Some(oldest) = oldest {
            self.forget(owner, &oldest);
        }
    }

    fn forget(&mut self, owner: &Owner, token: &str) {
        let Some(tokens) = self.tokens.get_mut(owner) else { return };
        let Some(done) = tokens.remove(token) else { return };
        if tokens.is_empty() {
            self.tokens.remove(owner);
        }
        self.resize(&owner.account, size(owner, token, done), NOTHING);
    }

    /// Forgets an owner's tokens of before a time; returns how many.
    pub(super) fn forget_tokens(&mut self, owner: &Owner, before_ms: i64) -> u32 {
        let tokens = self.tokens.get(owner).into_iter().flatten();
        let old = tokens.filter(|(_, done)| done.at_ms < before_ms).map(|(token, _)| token.clone());
        let old: Vec<Box<str>> = old.collect();
        old.iter().for_each(|token| self.forget(owner, token));
        old.len() as u32
    }

    /// Owners with tokens of before a time, so that [`Write::ForgetTokens`](crate::Write::ForgetTokens) has work.
    pub fn owners_with_tokens(&self, before_ms: i64) -> impl Iterator<Item = &Owner> {
        let has_old = move |tokens: &Tokens| tokens.values().any(|done| done.at_ms < before_ms);
        self.tokens.iter().filter(move |(_, tokens)| has_old(tokens)).map(|(owner, _)| owner)
    }

    /// Appends the tokens as they stand in a snapshot.
    pub(super) fn encode_tokens(&self, out: &mut Vec<u8>) {
        put_number(out, self.token_count());
        for (owner, tokens) in &self.tokens {
            for (token, done) in tokens {
                put_bytes(out, owner.account.as_bytes());
                put_bytes(out, owner.region.as_bytes());
                put_bytes(out, token.as_bytes());
                put_signed(out, done.at_ms);
                out.extend_from_slice(&done.digest.to_be_bytes());
            }
        }
    }

    /// Reads the tokens of a snapshot.
    pub(super) fn decode_tokens(&mut self, reader: &mut Reader<'_>) -> Result<(), Damaged> {
        let count = reader.count()?;
        if count == 0 {
            return Err(Damaged);
        }
        let mut last = None;
        for _ in 0..count {
            let owner = Owner { account: reader.name()?, region: reader.name()? };
            let token = reader.name()?;
            let at_ms = reader.signed()?;
            let digest = u128::from_be_bytes(reader.take(16)?.try_into().expect("16 bytes"));
            let place = (owner.clone(), token.clone());
            if !self.owners.contains_key(&owner) || last.as_ref().is_some_and(|last| *last >= place) {
                return Err(Damaged);
            }
            last = Some(place);
            let done = Done { at_ms, digest };
            self.resize(&owner.account, NOTHING, size(&owner, &token, done));
            let tokens = self.tokens.entry(owner).or_default();
            if tokens.len() == TOKENS_MAX {
                return Err(Damaged);
            }
            tokens.insert(token, done);
        }
        Ok(())
    }
}
