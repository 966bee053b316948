//! The name of a consumer group.

use std::fmt;
use std::sync::Arc;

use crate::limits::GROUP_NAME_LENGTH_MAX;
use crate::model::stream_name::is_name_byte;

/// A valid name: 1 to 128 of `[a-zA-Z0-9_.-]`, as of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The name, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = (1..=GROUP_NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_name_byte);
        is_valid.then(|| Self(Arc::from(text)))
    }

    /// Returns the characters of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
