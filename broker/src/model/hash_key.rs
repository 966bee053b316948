//! Hash keys: where a record belongs in the ring of 2^128 keys.

use md5::{Digest, Md5};

use super::stream::HashRange;

/// The hash key of a partition key: the MD5 of its UTF-8 bytes, read as a big-endian number.
pub fn of_partition_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// Reads an explicit hash key. `None` when it is not decimal digits or is 2^128 or more.
pub fn parse_explicit(text: &str) -> Option<u128> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The ranges of a new stream's shards, ascending: each floor(2^128 / `shard_count`) keys wide, the last one up
/// to 2^128 − 1.
///
/// # Panics
/// When `shard_count` is zero.
pub fn even_ranges(shard_count: u32) -> impl Iterator<Item = HashRange> {
    assert!(shard_count > 0, "a stream has at least one shard");
    let count = u128::from(shard_count);
    // 2^128 itself does not fit: (2^128 − 1) / n is one less than it only when n divides 2^128.
    let width =
        if count.is_power_of_two() { u128::MAX / count + u128::from(count > 1) } else { u128::MAX / count };
    (0..count).map(move |index| {
        let start = width.wrapping_mul(index);
        let end = if index + 1 == count { u128::MAX } else { start + (width - 1) };
        HashRange { start, end }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_keys_are_hashed_with_md5() {
        assert_eq!(of_partition_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
        assert_eq!(of_partition_key(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
        assert_eq!(of_partition_key("é"), of_partition_key("\u{e9}"));
    }

    #[test]
    fn explicit_keys_end_below_2_to_the_128() {
        assert_eq!(parse_explicit("0"), Some(0));
        assert_eq!(parse_explicit("340282366920938463463374607431768211455"), Some(u128::MAX));
        for bad in ["340282366920938463463374607431768211456", "", "-1", "+1", "1.0", "x"] {
            assert_eq!(parse_explicit(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_aws_own() {
        let third = even_ranges(3).map(|range| (range.start, range.end)).collect::<Vec<_>>();
        assert_eq!(third[0], (0, 113_427_455_640_312_821_154_458_202_477_256_070_484));
        assert_eq!(third[1].0, 113_427_455_640_312_821_154_458_202_477_256_070_485);
        assert_eq!(third[2].1, u128::MAX);
        let half = even_ranges(2).collect::<Vec<_>>();
        assert_eq!(half[1], HashRange { start: 1 << 127, end: u128::MAX });
        assert_eq!(even_ranges(1).collect::<Vec<_>>(), [HashRange { start: 0, end: u128::MAX }]);
    }

    #[test]
    fn ranges_cover_every_key_once() {
        for count in [1, 2, 3, 4, 5, 7, 64, 1_000, 4_096, 9_999] {
            let mut next = Some(0u128);
            for range in even_ranges(count) {
                assert_eq!(Some(range.start), next, "{count} shards");
                assert!(range.end >= range.start);
                next = range.end.checked_add(1);
            }
            assert_eq!(next, None, "{count} shards");
            assert_eq!(even_ranges(count).count(), count as usize);
        }
    }
}
