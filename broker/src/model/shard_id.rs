//! Identifiers of shards: `shardId-000000000007` is shard 7.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The index of a shard, shown in its long form of twelve digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u32);

/// Digits of the long form.
const DIGITS: usize = 12;

impl ShardId {
    /// Bytes of the long form.
    pub const LENGTH: usize = "shardId-000000000000".len();

    /// Reads the long form and the short ones that AWS accepts too: `shardId-7`, `anything-7`, `7`. `None` when
    /// the number is missing, has other characters or is not below 2^31.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.split('-').nth(1).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let index = digits.parse::<u32>().ok()?;
        (index < 1 << 31).then_some(Self(index))
    }

    /// Appends the long form.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.long_form());
    }

    fn long_form(self) -> [u8; Self::LENGTH] {
        let mut text = *b"shardId-000000000000";
        let mut rest = self.0;
        for digit in text[Self::LENGTH - DIGITS..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        text
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(str::from_utf8(&self.long_form()).expect("ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_forms_are_read() {
        for (text, expected) in [
            ("shardId-000000000007", Some(7)),
            ("shardId-7", Some(7)),
            ("anything-0", Some(0)),
            ("7", Some(7)),
            ("shardId-002147483647", Some(2_147_483_647)),
            ("shardId-002147483648", None),
            ("shardId-99999999999999999999", None),
            ("shardId-", None),
            ("shardId-x", None),
            ("shardId", None),
            ("", None),
            ("shardId-+7", None),
        ] {
            assert_eq!(ShardId::parse(text).map(|id| id.0), expected, "{text}");
        }
    }

    #[test]
    fn the_long_form_is_shown() {
        let mut out = Vec::new();
        ShardId(17).write(&mut out);
        assert_eq!(out, b"shardId-000000000017");
        assert_eq!(out.len(), ShardId::LENGTH);
        assert_eq!(ShardId(2_147_483_647).to_string(), "shardId-002147483647");
    }
}
