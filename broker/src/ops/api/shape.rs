//! The shapes of requests: the tables of members that are generated from the service model are made of these.

use std::sync::OnceLock;

use regex::Regex;

use super::PATTERNS;

/// One member of a request or of a structure inside it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name in the service model, such as `StreamName`.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// The kind of the member's value.
    pub kind: Kind,
}

/// The kind of a member's value. Bounds are inclusive.
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
        /// The kind of each element.
        element: &'static Kind,
        /// Elements at least.
        min: usize,
        /// Elements at most.
        max: usize,
    },
    /// Texts by text.
    TextMap {
        /// The bounds of each key.
        key: Text,
        /// The bounds of each value.
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
    /// The pattern that the text must match completely.
    pub pattern: Option<Pattern>,
    /// The values of an enumeration; empty when it is none.
    pub choices: &'static [&'static str],
}

impl Text {
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

/// A pattern of the service model, which matches the whole of a text: its position in the model's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(pub usize);

impl Pattern {
    /// The pattern as AWS's texts show it: without the anchors and the group that the model puts around some of them
    /// (recorded for hash keys and sequence numbers).
    pub fn text(self) -> &'static str {
        let text = PATTERNS[self.0].0;
        text.strip_prefix("^(").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
    }

    /// Whether the whole of `text` matches.
    pub fn matches(self, text: &str) -> bool {
        static COMPILED: [OnceLock<Regex>; PATTERNS.len()] = [const { OnceLock::new() }; PATTERNS.len()];
        let compile =
            || Regex::new(PATTERNS[self.0].1).expect("the patterns of the model are regular expressions");
        COMPILED[self.0].get_or_init(compile).is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        let digits = |count: usize| "9".repeat(count);
        let stream_arn = r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
        for (pattern, text, expected) in [
            ("[a-zA-Z0-9_.-]+", "a.b-c_D9", true),
            ("[a-zA-Z0-9_.-]+", "a b", false),
            ("[a-zA-Z0-9_.-]+", "a\n", false),
            (stream_arn, "arn:aws:kinesis:us-east-1:123456789012:stream/a", true),
            (stream_arn, "arn:aws-cn:kinesis::123456789012:stream/a", true),
            (stream_arn, "arn:aws:x:kinesis:a:b:123456789012:stream/a:123456789012:stream/b c", false),
            (stream_arn, "arn:aws:kinesis:us-east-1:123456789012:stream/a/consumer/b:1", true),
            (stream_arn, "arn:aws:kinesis:us-east-1:12345678901:stream/a", false),
            (stream_arn, "arn:aws:kinesis:123456789012:stream/a", false),
            (stream_arn, "arn:aws:kinesis:us-east-1:123456789012:stream/", false),
            (stream_arn, "arn:aws:kinesis:us\neast-1:123456789012:stream/a", false),
            (stream_arn, "é", false),
            ("[a-z0-9]{20}-[a-z0-9]{3}", "abcdefghij0123456789-abc", true),
            ("[a-z0-9]{20}-[a-z0-9]{3}", "abcdefghij0123456789+abc", false),
            ("[a-z0-9]{20}-[a-z0-9]{3}", "Abcdefghij0123456789-abc", false),
            (r"^(0|([1-9]\d{0,38}))$", "0", true),
            (r"^(0|([1-9]\d{0,38}))$", "00", false),
            (r"^(0|([1-9]\d{0,38}))$", "", false),
            (r"^(0|([1-9]\d{0,38}))$", &digits(39), true),
            (r"^(0|([1-9]\d{0,38}))$", &digits(40), false),
            (r"^(0|([1-9]\d{0,38}))$", "1x", false),
            (r"^(0|([1-9]\d{0,128}))$", &digits(129), true),
            (r"^(0|([1-9]\d{0,128}))$", &digits(130), false),
        ] {
            let position =
                PATTERNS.iter().position(|(own, _)| *own == pattern).expect("a pattern of the model");
            assert_eq!(Pattern(position).matches(text), expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn every_pattern_of_the_model_is_understood() {
        for position in 0..PATTERNS.len() {
            assert!(!Pattern(position).matches("a b:*\n"), "{}", Pattern(position).text());
        }
    }

    #[test]
    fn lengths_are_utf_16_units() {
        assert_eq!(utf16_length("aé"), 2);
        assert_eq!(utf16_length("😀"), 2);
        let text = Text { length: Some((1, 2)), pattern: None, choices: &[] };
        assert!(text.allows("😀"));
        assert!(!text.allows("😀a"));
    }
}
