//! The shapes of requests: each operation's table of members is made of these, and repeats the service model.

use crate::model::stream_name::is_name_byte;

/// One member of a request or of a structure inside it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// As in the service model, such as `StreamName`.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
}

impl Member {
    /// A member that must be there.
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, required: true, kind }
    }

    /// A member that may be absent.
    pub const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, required: false, kind }
    }
}

/// What a member holds. Bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text.
    Text(Text),
    /// A whole number.
    Integer {
        /// Lowest value.
        min: Option<i64>,
        /// Highest value.
        max: Option<i64>,
    },
    /// True or false.
    Boolean,
    /// An instant.
    Timestamp,
    /// Bytes.
    Blob {
        /// Bytes at most.
        max: u64,
    },
    /// Members of its own.
    Structure(&'static [Member]),
    /// Values in order.
    List {
        /// What each of them is.
        element: &'static Kind,
        /// Elements at least.
        min: usize,
        /// Elements at most.
        max: usize,
    },
    /// Texts by text.
    TextMap {
        /// What each key is.
        key: Text,
        /// What each value is.
        value: Text,
        /// Entries at least.
        min: usize,
        /// Entries at most.
        max: usize,
    },
}

/// Bounds of a text.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// UTF-16 units, at least and at most.
    pub length: Option<(usize, usize)>,
    /// What the whole of it must match.
    pub pattern: Option<Pattern>,
    /// The values of an enumeration; empty when it is none.
    pub choices: &'static [&'static str],
}

impl Text {
    /// Bounded in length alone.
    pub const fn sized(min: usize, max: usize) -> Self {
        Self { length: Some((min, max)), pattern: None, choices: &[] }
    }

    /// Bounded in length and by a pattern.
    pub const fn matching(min: usize, max: usize, pattern: Pattern) -> Self {
        Self { length: Some((min, max)), pattern: Some(pattern), choices: &[] }
    }

    /// One of these.
    pub const fn one_of(choices: &'static [&'static str]) -> Self {
        Self { length: None, pattern: None, choices }
    }

    /// Whether a text keeps every bound.
    pub fn allows(&self, text: &str) -> bool {
        self.length.is_none_or(|(min, max)| (min..=max).contains(&utf16_length(text)))
            && self.pattern.is_none_or(|pattern| pattern.matches(text))
            && (self.choices.is_empty() || self.choices.contains(&text))
    }
}

/// Length as Java counts it.
pub fn utf16_length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// The patterns of the service model. Each matches the whole of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Names of streams and identifiers of shards.
    Name,
    /// ARNs of streams, and all that looks like one.
    StreamArn,
    /// The reserved identifiers of streams.
    StreamId,
    /// Explicit hash keys.
    HashKey,
    /// Sequence numbers.
    SequenceNumber,
}

impl Pattern {
    /// As the service model writes it, and AWS's texts show it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Name => "[a-zA-Z0-9_.-]+",
            Self::StreamArn => r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
            Self::StreamId => "[a-z0-9]{20}-[a-z0-9]{3}",
            Self::HashKey => r"^(0|([1-9]\d{0,38}))$",
            Self::SequenceNumber => r"^(0|([1-9]\d{0,128}))$",
        }
    }

    /// Whether the whole of `text` matches.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::Name => !text.is_empty() && text.bytes().all(is_name_byte),
            Self::StreamArn => matches_stream_arn(text),
            Self::StreamId => matches_stream_id(text.as_bytes()),
            Self::HashKey => matches_number(text.as_bytes(), 39),
            Self::SequenceNumber => matches_number(text.as_bytes(), 129),
        }
    }
}

/// The first `:kinesis:` leaves most room for the rest; any later `:ACCOUNT:stream/` may be the one meant.
fn matches_stream_arn(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:aws") else { return false };
    let Some((partition, rest)) = rest.split_once(":kinesis:") else { return false };
    let is_end_of_arn = |(at, marker): (usize, &str)| {
        let name = &rest[at + marker.len()..];
        let account = rest[..at].rsplit(':').next().unwrap_or_default();
        let before = &rest[..at - account.len()];
        before.ends_with(':')
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && before.chars().all(is_not_line_end)
            && !name.is_empty()
            && !name.contains([' ', '\t', '\n', '\u{b}', '\u{c}', '\r'])
    };
    partition.chars().all(is_not_line_end) && rest.match_indices(":stream/").any(is_end_of_arn)
}

/// What a dot matches in Java.
fn is_not_line_end(character: char) -> bool {
    !matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn matches_stream_id(text: &[u8]) -> bool {
    let is_id_byte = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() == 24 && text[20] == b'-' && text[..20].iter().chain(&text[21..]).all(is_id_byte)
}

fn matches_number(text: &[u8], digits_max: usize) -> bool {
    match text {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < digits_max && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// `StreamName`
pub const STREAM_NAME: Member = Member::optional("StreamName", Kind::Text(NAME));
/// `StreamARN`
pub const STREAM_ARN: Member =
    Member::optional("StreamARN", Kind::Text(Text::matching(1, 2_048, Pattern::StreamArn)));
/// `StreamId`: reserved by AWS; checked, otherwise ignored, and never returned.
pub const STREAM_ID: Member =
    Member::optional("StreamId", Kind::Text(Text::matching(1, 24, Pattern::StreamId)));
/// `DryRun`
pub const DRY_RUN: Member = Member::optional("DryRun", Kind::Boolean);
/// `NextToken`
pub const NEXT_TOKEN: Member = Member::optional("NextToken", Kind::Text(Text::sized(1, 1_048_576)));
/// A name of a stream or an identifier of a shard.
pub const NAME: Text = Text::matching(1, 128, Pattern::Name);
/// The size of a page: 1 to 10,000 of the model's several limits.
pub const PAGE_SIZE: Kind = Kind::Integer { min: Some(1), max: Some(10_000) };
/// A sequence number.
pub const SEQUENCE_NUMBER: Text = Text { length: None, pattern: Some(Pattern::SequenceNumber), choices: &[] };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        let digits = |count: usize| "9".repeat(count);
        for (pattern, text, expected) in [
            (Pattern::Name, "a.b-c_D9", true),
            (Pattern::Name, "a b", false),
            (Pattern::Name, "a\n", false),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:123456789012:stream/a", true),
            (Pattern::StreamArn, "arn:aws-cn:kinesis::123456789012:stream/a", true),
            (
                Pattern::StreamArn,
                "arn:aws:x:kinesis:a:b:123456789012:stream/a:123456789012:stream/b c",
                false,
            ),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:123456789012:stream/a/consumer/b:1", true),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:12345678901:stream/a", false),
            (Pattern::StreamArn, "arn:aws:kinesis:123456789012:stream/a", false),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:123456789012:stream/", false),
            (Pattern::StreamArn, "arn:aws:kinesis:us\neast-1:123456789012:stream/a", false),
            (Pattern::StreamArn, "é", false),
            (Pattern::StreamId, "abcdefghij0123456789-abc", true),
            (Pattern::StreamId, "abcdefghij0123456789+abc", false),
            (Pattern::StreamId, "Abcdefghij0123456789-abc", false),
            (Pattern::HashKey, "0", true),
            (Pattern::HashKey, "00", false),
            (Pattern::HashKey, "", false),
            (Pattern::HashKey, &digits(39), true),
            (Pattern::HashKey, &digits(40), false),
            (Pattern::HashKey, "1x", false),
            (Pattern::SequenceNumber, &digits(129), true),
            (Pattern::SequenceNumber, &digits(130), false),
        ] {
            assert_eq!(pattern.matches(text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn lengths_are_utf_16_units() {
        assert_eq!(utf16_length("aé"), 2);
        assert_eq!(utf16_length("😀"), 2);
        assert!(Text::sized(1, 2).allows("😀"));
        assert!(!Text::sized(1, 2).allows("😀a"));
    }
}
