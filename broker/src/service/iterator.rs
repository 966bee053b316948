//! Shard iterators and page tokens: positions sealed so that a client can carry but neither read nor make them.
//!
//! A token is base64 of: key id (1 byte), nonce (12), and AES-256-GCM over the position with the key id as
//! associated data. The key is the cluster's, so every node opens every node's tokens. The kind of a token is its
//! first sealed byte: an iterator is no page token.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64_simd::STANDARD;

use crate::limits::{ITERATOR_LENGTH_MAX, ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS, STREAM_NAME_LENGTH_MAX};
use crate::model::shard_id::ShardId;

/// The key all tokens are sealed with; further ones come when the key is changed in operation.
const KEY_ID: u8 = 1;
const NONCE_BYTES: usize = 12;
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

/// What a shard iterator carries.
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

/// What a NextToken carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageToken {
    /// Of ListShards.
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
    /// Of ListStreams.
    Streams {
        /// The last name of the page before.
        after_name: String,
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
    },
    /// Of ListStreamConsumers.
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
    cipher: Aes256Gcm,
}

impl Sealer {
    /// With the key that group 0 keeps.
    pub fn new(key: [u8; 32]) -> Self {
        Self { cipher: Aes256Gcm::new(&key.into()) }
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
        let sealed = self
            .cipher
            .encrypt(&nonce.into(), Payload { msg: plain, aad: &[KEY_ID] })
            .expect("a few bytes can always be sealed");
        let mut token = Vec::with_capacity(HEAD_BYTES + sealed.len());
        token.push(KEY_ID);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        STANDARD.encode_to_string(token)
    }

    fn open(&self, text: &str) -> Option<Vec<u8>> {
        let token = STANDARD.decode_to_vec(text).ok()?;
        let (head, sealed) = token.split_first_chunk::<HEAD_BYTES>()?;
        let (key_id, nonce) = head.split_first()?;
        if *key_id != KEY_ID {
            return None;
        }
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).ok()?;
        self.cipher.decrypt(&nonce.into(), Payload { msg: sealed, aad: &[KEY_ID] }).ok()
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn sealer() -> Sealer {
        Sealer::new([7; 32])
    }

    fn iterator() -> ShardIterator {
        ShardIterator { stream_uid: 42, shard: ShardId(3), position: Position(1 << 40), issued_ms: NOW_MS }
    }

    fn pages() -> Vec<PageToken> {
        let filters = [
            TokenFilter::All,
            TokenFilter::Open,
            TokenFilter::OpenAt(NOW_MS - 5),
            TokenFilter::OpenSince(NOW_MS - 6),
        ];
        let mut pages = filters
            .map(|filter| PageToken::Shards {
                stream_uid: 42,
                after_shard: ShardId(999),
                filter,
                issued_ms: NOW_MS,
            })
            .to_vec();
        pages.push(PageToken::Streams { after_name: "n".repeat(128), issued_ms: NOW_MS });
        let after_name = "n".repeat(128);
        pages.push(PageToken::Consumers { stream_uid: 42, after_name, issued_ms: NOW_MS });
        pages
    }

    #[test]
    fn tokens_open_as_they_were_sealed() {
        let text = sealer().seal_iterator(&iterator());
        assert!(text.len() <= ITERATOR_LENGTH_MAX);
        assert_eq!(sealer().open_iterator(&text, NOW_MS), Ok(iterator()));
        assert_eq!(sealer().open_iterator(&format!("\"{text}\""), NOW_MS), Ok(iterator()));
        for page in pages() {
            assert_eq!(sealer().open_page(&sealer().seal_page(&page), NOW_MS), Ok(page));
        }
    }

    #[test]
    fn two_seals_differ() {
        assert_ne!(sealer().seal_iterator(&iterator()), sealer().seal_iterator(&iterator()));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = sealer().seal_iterator(&iterator());
        let token = STANDARD.decode_to_vec(&text).unwrap();
        for position in 0..token.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = token.clone();
                changed[position] ^= flip;
                let opened = sealer().open_iterator(&STANDARD.encode_to_string(&changed), NOW_MS);
                assert_eq!(opened, Err(TokenError::Damaged), "byte {position}");
            }
        }
        for position in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                sealer().open_iterator(&changed, NOW_MS),
                Err(TokenError::Damaged),
                "character {position}"
            );
            assert_eq!(sealer().open_iterator(&text[..position], NOW_MS), Err(TokenError::Damaged));
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let text = Sealer::new([8; 32]).seal_iterator(&iterator());
        assert_eq!(sealer().open_iterator(&text, NOW_MS), Err(TokenError::Damaged));
    }

    #[test]
    fn a_token_of_one_kind_is_none_of_another() {
        let text = sealer().seal_iterator(&iterator());
        assert_eq!(sealer().open_page(&text, NOW_MS), Err(TokenError::Damaged));
        for page in pages() {
            let text = sealer().seal_page(&page);
            assert_eq!(sealer().open_iterator(&text, NOW_MS), Err(TokenError::Damaged));
        }
    }

    #[test]
    fn tokens_die_after_their_life() {
        let text = sealer().seal_iterator(&iterator());
        let page = sealer().seal_page(&pages()[0]);
        let expired = TokenError::Expired { issued_ms: NOW_MS };
        assert!(sealer().open_iterator(&text, NOW_MS + ITERATOR_LIFE_MS).is_ok());
        assert_eq!(sealer().open_iterator(&text, NOW_MS + ITERATOR_LIFE_MS + 1), Err(expired));
        assert!(sealer().open_page(&page, NOW_MS + PAGE_TOKEN_LIFE_MS).is_ok());
        assert_eq!(sealer().open_page(&page, NOW_MS + PAGE_TOKEN_LIFE_MS + 1), Err(expired));
        // A node whose clock is behind the issuer's still takes it.
        assert!(sealer().open_iterator(&text, NOW_MS - 60_000).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_sealer_panic(text in ".{0,200}") {
            prop_assert_eq!(sealer().open_iterator(&text, NOW_MS), Err(TokenError::Damaged));
            prop_assert_eq!(sealer().open_page(&text, NOW_MS), Err(TokenError::Damaged));
        }
    }
}
