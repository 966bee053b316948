//! Shard iterators and page tokens: positions sealed so that a client can carry but neither read nor make them.
//!
//! A token is base64 of: form (1 byte), nonce (24), and XAES-256-GCM (c2sp.org/XAES-256-GCM) over the position with the
//! form as associated data. The key is the cluster's, so every node opens every node's tokens. The kind of a token is
//! its first sealed byte: an iterator is no page token.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64_simd::STANDARD;

use super::token_cipher::{NONCE_BYTES, TokenCipher};
use crate::limits::{ITERATOR_LENGTH_MAX, ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS, STREAM_NAME_LENGTH_MAX};
use crate::model::shard_id::ShardId;

/// The form of all tokens that are given out.
const FORM: u8 = 2;
/// The form before it, AES-256-GCM with nonces of 12 bytes. Tokens live for minutes: those of before an upgrade are
/// opened.
const PLAIN_GCM: u8 = 1;
/// Bytes of a nonce of AES-256-GCM.
const GCM_NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + NONCE_BYTES;
const TAG_BYTES: usize = 16;

const ITERATOR: u8 = 1;
const SHARDS_PAGE: u8 = 2;
const STREAMS_PAGE: u8 = 3;
const CONSUMERS_PAGE: u8 = 4;
/// Kind, stream, shard, position, issued.
const ITERATOR_BYTES: usize = 1 + 8 + 4 + 8 + 8;

const _: () = assert!((HEAD_BYTES + ITERATOR_BYTES + TAG_BYTES).div_ceil(3) * 4 <= ITERATOR_LENGTH_MAX);

/// Where reading goes on: the ordinal of the first record wanted. It may lie before the first record kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub u64);

/// The contents of a shard iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream, also when its name was given to another one since.
    pub stream_uid: u64,
    /// The shard.
    pub shard: ShardId,
    /// Where reading goes on.
    pub position: Position,
    /// When it was given out, milliseconds since the epoch.
    pub issued_ms: u64,
}

/// The contents of a NextToken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageToken {
    /// A page of ListShards.
    Shards {
        /// The stream whose shards are listed.
        stream_uid: u64,
        /// The last shard of the page before.
        after_shard: ShardId,
        /// Shards that the first call asked for, as that operation encodes it.
        filter: TokenFilter,
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
    },
    /// A page of ListStreams.
    Streams {
        /// The last name of the page before.
        after_name: String,
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
    },
    /// A page of ListStreamConsumers.
    Consumers {
        /// The stream whose consumers are listed.
        stream_uid: u64,
        /// The last name of the page before.
        after_name: String,
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
    },
}

impl PageToken {
    fn issued_ms(&self) -> u64 {
        match self {
            Self::Shards { issued_ms, .. }
            | Self::Streams { issued_ms, .. }
            | Self::Consumers { issued_ms, .. } => *issued_ms,
        }
    }
}

/// The filter that pages of ListShards after the first repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFilter {
    /// Every listed shard.
    All,
    /// Open shards.
    Open,
    /// Shards that were open at that millisecond.
    OpenAt(u64),
    /// Shards that were open at that millisecond or later.
    OpenSince(u64),
}

/// Why a token is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not given out by this cluster, changed, or a token of another kind.
    Damaged,
    /// Too old.
    Expired {
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
    },
}

/// Seals and opens tokens with the cluster's key.
pub struct Sealer {
    cipher: TokenCipher,
    /// Opens tokens of [`PLAIN_GCM`].
    plain_gcm: Aes256Gcm,
}

impl Sealer {
    /// With the key that group 0 keeps.
    pub fn new(key: [u8; 32]) -> Self {
        Self { cipher: TokenCipher::new(key), plain_gcm: Aes256Gcm::new(&key.into()) }
    }

    /// An iterator to give out, at most [`ITERATOR_LENGTH_MAX`] characters.
    pub fn seal_iterator(&self, iterator: &ShardIterator) -> String {
        let mut plain = Vec::with_capacity(ITERATOR_BYTES);
        plain.push(ITERATOR);
        plain.extend_from_slice(&iterator.stream_uid.to_be_bytes());
        plain.extend_from_slice(&iterator.shard.0.to_be_bytes());
        plain.extend_from_slice(&iterator.position.0.to_be_bytes());
        plain.extend_from_slice(&iterator.issued_ms.to_be_bytes());
        self.seal(&plain)
    }

    /// The iterator behind a text, which may stand in quotes.
    ///
    /// # Errors
    /// [`TokenError`]; an iterator is good for [`ITERATOR_LIFE_MS`].
    pub fn open_iterator(&self, text: &str, now_ms: u64) -> Result<ShardIterator, TokenError> {
        let plain = self.open(unquoted(text)).ok_or(TokenError::Damaged)?;
        let iterator = read_iterator(&plain).ok_or(TokenError::Damaged)?;
        check_age(iterator.issued_ms, ITERATOR_LIFE_MS, now_ms)?;
        Ok(iterator)
    }

    /// A NextToken to give out.
    pub fn seal_page(&self, page: &PageToken) -> String {
        let mut plain = Vec::with_capacity(64);
        match page {
            PageToken::Shards { stream_uid, after_shard, filter, issued_ms } => {
                plain.push(SHARDS_PAGE);
                plain.extend_from_slice(&issued_ms.to_be_bytes());
                plain.extend_from_slice(&stream_uid.to_be_bytes());
                plain.extend_from_slice(&after_shard.0.to_be_bytes());
                let (kind, time_ms) = filter_code(*filter);
                plain.push(kind);
                plain.extend_from_slice(&time_ms.to_be_bytes());
            }
            PageToken::Streams { after_name, issued_ms } => {
                assert!(after_name.len() <= STREAM_NAME_LENGTH_MAX, "only names of streams are listed");
                plain.push(STREAMS_PAGE);
                plain.extend_from_slice(&issued_ms.to_be_bytes());
                plain.extend_from_slice(after_name.as_bytes());
            }
            PageToken::Consumers { stream_uid, after_name, issued_ms } => {
                assert!(after_name.len() <= STREAM_NAME_LENGTH_MAX, "consumers are named as streams are");
                plain.push(CONSUMERS_PAGE);
                plain.extend_from_slice(&issued_ms.to_be_bytes());
                plain.extend_from_slice(&stream_uid.to_be_bytes());
                plain.extend_from_slice(after_name.as_bytes());
            }
        }
        self.seal(&plain)
    }

    /// The page behind a NextToken.
    ///
    /// # Errors
    /// [`TokenError`]; a NextToken is good for [`PAGE_TOKEN_LIFE_MS`].
    pub fn open_page(&self, text: &str, now_ms: u64) -> Result<PageToken, TokenError> {
        let plain = self.open(text).ok_or(TokenError::Damaged)?;
        let page = read_page(&plain).ok_or(TokenError::Damaged)?;
        check_age(page.issued_ms(), PAGE_TOKEN_LIFE_MS, now_ms)?;
        Ok(page)
    }

    fn seal(&self, plain: &[u8]) -> String {
        let nonce = rand::random::<[u8; NONCE_BYTES]>();
        let mut token = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
        token.push(FORM);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&self.cipher.encrypt(&nonce, Payload { msg: plain, aad: &[FORM] }));
        STANDARD.encode_to_string(token)
    }

    fn open(&self, text: &str) -> Option<Vec<u8>> {
        let token = STANDARD.decode_to_vec(text).ok()?;
        let (form, rest) = token.split_first()?;
        let aad = &[*form];
        match *form {
            FORM => {
                let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
                self.cipher.decrypt(nonce, Payload { msg: sealed, aad })
            }
            PLAIN_GCM => {
                let (nonce, sealed) = rest.split_first_chunk::<GCM_NONCE_BYTES>()?;
                self.plain_gcm.decrypt(&(*nonce).into(), Payload { msg: sealed, aad }).ok()
            }
            _ => None,
        }
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn check_age(issued_ms: u64, life_ms: u64, now_ms: u64) -> Result<(), TokenError> {
    if now_ms.saturating_sub(issued_ms) > life_ms { Err(TokenError::Expired { issued_ms }) } else { Ok(()) }
}

fn read_iterator(mut plain: &[u8]) -> Option<ShardIterator> {
    if plain.len() != ITERATOR_BYTES || take::<1>(&mut plain)? != [ITERATOR] {
        return None;
    }
    Some(ShardIterator {
        stream_uid: u64::from_be_bytes(take(&mut plain)?),
        shard: ShardId(u32::from_be_bytes(take(&mut plain)?)),
        position: Position(u64::from_be_bytes(take(&mut plain)?)),
        issued_ms: u64::from_be_bytes(take(&mut plain)?),
    })
}

fn read_page(mut plain: &[u8]) -> Option<PageToken> {
    let [kind] = take(&mut plain)?;
    let issued_ms = u64::from_be_bytes(take(&mut plain)?);
    match kind {
        SHARDS_PAGE => Some(PageToken::Shards {
            stream_uid: u64::from_be_bytes(take(&mut plain)?),
            after_shard: ShardId(u32::from_be_bytes(take(&mut plain)?)),
            filter: read_filter(take::<1>(&mut plain)?, take(&mut plain)?)?,
            issued_ms,
        }),
        STREAMS_PAGE => {
            Some(PageToken::Streams { after_name: str::from_utf8(plain).ok()?.to_owned(), issued_ms })
        }
        CONSUMERS_PAGE => Some(PageToken::Consumers {
            stream_uid: u64::from_be_bytes(take(&mut plain)?),
            after_name: str::from_utf8(plain).ok()?.to_owned(),
            issued_ms,
        }),
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn filter_code(filter: TokenFilter) -> (u8, u64) {
    match filter {
        TokenFilter::All => (0, 0),
        TokenFilter::Open => (1, 0),
        TokenFilter::OpenAt(time_ms) => (2, time_ms),
        TokenFilter::OpenSince(time_ms) => (3, time_ms),
    }
}

fn read_filter(kind: [u8; 1], time_ms: [u8; 8]) -> Option<TokenFilter> {
    let time_ms = u64::from_be_bytes(time_ms);
    match kind {
        [0] => Some(TokenFilter::All),
        [1] => Some(TokenFilter::Open),
        [2] => Some(TokenFilter::OpenAt(time_ms)),
        [3] => Some(TokenFilter::OpenSince(time_ms)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
