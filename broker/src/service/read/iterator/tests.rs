//! Tokens open as they were sealed, for as long as they live, and nothing else opens.

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
fn tokens_of_the_form_before_are_opened() {
    let plain = [&[ITERATOR][..], &[0; 28]].concat();
    let sealed = sealer().plain_gcm.encrypt(&[7; 12].into(), Payload { msg: &plain, aad: &[PLAIN_GCM] });
    let token = [&[PLAIN_GCM][..], &[7; 12], &sealed.unwrap()].concat();
    let opened = sealer().open_iterator(&STANDARD.encode_to_string(token), 0);
    assert_eq!(opened.map(|iterator| iterator.stream_uid), Ok(0));
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
