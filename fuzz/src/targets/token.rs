//! Shard iterators and NextTokens: only a sealed token opens, and unchanged.

use std::sync::LazyLock;

use tidelog::limits::STREAM_NAME_LENGTH_MAX;
use tidelog::model::shard_id::ShardId;
use tidelog::service::iterator::{PageToken, Position, Sealer, ShardIterator, TokenError, TokenFilter};

use super::Numbers;

static SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new([7; 32]));
static OTHER_SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new([8; 32]));

/// Tokens: no text opens that was not given out; a sealed one opens as itself; a changed one never as anything else;
/// neither kind opens as the other, nor any under another key.
///
/// # Panics
/// When one of that does not hold.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_eq!(SEALER.open_iterator(&text, 0), Err(TokenError::Damaged));
    assert_eq!(SEALER.open_page(&text, 0), Err(TokenError::Damaged));
    let mut numbers = Numbers(data);
    let (at, bits) = (numbers.next(), numbers.next());
    let iterator = any_iterator(&mut numbers);
    let sealed = SEALER.seal_iterator(&iterator);
    let now_ms = iterator.issued_ms;
    assert_eq!(SEALER.open_iterator(&sealed, now_ms), Ok(iterator));
    assert_eq!(SEALER.open_page(&sealed, now_ms), Err(TokenError::Damaged));
    assert_eq!(OTHER_SEALER.open_iterator(&sealed, now_ms), Err(TokenError::Damaged));
    let opened = SEALER.open_iterator(&changed(&sealed, at, bits), now_ms);
    assert!([Ok(iterator), Err(TokenError::Damaged)].contains(&opened), "{iterator:?} opens as {opened:?}");

    let page = any_page(&mut numbers);
    let sealed = SEALER.seal_page(&page);
    assert_eq!(SEALER.open_page(&sealed, issued_ms(&page)), Ok(page.clone()));
    assert_eq!(SEALER.open_iterator(&sealed, issued_ms(&page)), Err(TokenError::Damaged));
    let opened = SEALER.open_page(&changed(&sealed, at, bits), issued_ms(&page));
    assert!([Ok(page), Err(TokenError::Damaged)].contains(&opened), "another page opens: {opened:?}");
}

/// The text with one character changed, or cut off there.
fn changed(sealed: &str, at: u64, bits: u64) -> String {
    let mut bytes = sealed.as_bytes().to_vec();
    let at = (at % bytes.len() as u64) as usize;
    if bits.is_multiple_of(16) {
        bytes.truncate(at);
    } else {
        bytes[at] ^= (bits % 128) as u8;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn any_iterator(numbers: &mut Numbers<'_>) -> ShardIterator {
    ShardIterator {
        stream_uid: numbers.next(),
        shard: ShardId(numbers.next() as u32),
        position: Position(numbers.next()),
        issued_ms: numbers.next(),
    }
}

fn any_page(numbers: &mut Numbers<'_>) -> PageToken {
    let (kind, stream_uid, issued_ms, time_ms) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next());
    let mut after_name = String::from_utf8_lossy(numbers.0).into_owned();
    while after_name.len() > STREAM_NAME_LENGTH_MAX {
        after_name.pop();
    }
    let filter = match kind / 3 % 4 {
        0 => TokenFilter::All,
        1 => TokenFilter::Open,
        2 => TokenFilter::OpenAt(time_ms),
        _ => TokenFilter::OpenSince(time_ms),
    };
    match kind % 3 {
        0 => PageToken::Shards { stream_uid, after_shard: ShardId(time_ms as u32), filter, issued_ms },
        1 => PageToken::Streams { after_name, issued_ms },
        _ => PageToken::Consumers { stream_uid, after_name, issued_ms },
    }
}

fn issued_ms(page: &PageToken) -> u64 {
    match page {
        PageToken::Shards { issued_ms, .. }
        | PageToken::Streams { issued_ms, .. }
        | PageToken::Consumers { issued_ms, .. } => *issued_ms,
    }
}
