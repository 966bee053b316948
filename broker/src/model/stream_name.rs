//! The name of a stream: 1 to 128 of `[a-zA-Z0-9_.-]` (AWS model, StreamName).

use std::fmt;
use std::sync::Arc;

use crate::limits::STREAM_NAME_LENGTH_MAX;

/// A valid stream name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The name, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (1..=STREAM_NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_name_byte);
        valid.then(|| Self(Arc::from(text)))
    }

    /// The name as it is shared by the keys of the catalog.
    pub fn into_shared(self) -> Arc<str> {
        self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a byte may stand in a name of a stream or of a shard.
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "orders-2026.v1_x", &"n".repeat(128)] {
            assert_eq!(StreamName::parse(good).map(|name| name.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a/b", "naïve", "a\n", &"n".repeat(129)] {
            assert_eq!(StreamName::parse(bad), None, "{bad}");
        }
    }
}
