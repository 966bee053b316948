//! Reads answers to PutRecords without building a document: one look at each byte, nothing allocated.
//!
//! The fast reader leaves everything that it does not expect, such as an escape in a message, to serde_json.

use std::borrow::Cow;

use serde::Deserialize;

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The record was written.
    Placed {
        /// Such as `shardId-000000000000`.
        shard: &'a [u8],
        /// Decimal.
        number: &'a [u8],
    },
    /// The record was not written.
    Failed {
        /// Such as `ProvisionedThroughputExceededException`.
        code: &'a [u8],
    },
}

/// Calls `each` for every record of the answer, in order.
///
/// # Errors
/// When it is no answer to PutRecords. Some records may have been reported by then.
pub fn read(answer: &[u8], mut each: impl FnMut(Entry<'_>)) -> Result<(), serde_json::Error> {
    let mut read = 0;
    let whole = fast(answer, |entry| {
        read += 1;
        each(entry);
    });
    if whole.is_some() {
        return Ok(());
    }
    let answer: Answer<'_> = serde_json::from_slice(answer)?;
    for record in answer.records.iter().skip(read) {
        each(match record {
            Record { shard: Some(shard), number: Some(number), .. } => {
                Entry::Placed { shard: shard.as_bytes(), number: number.as_bytes() }
            }
            Record { code, .. } => Entry::Failed { code: code.as_deref().unwrap_or_default().as_bytes() },
        });
    }
    Ok(())
}

/// Whether an exception of that name asks for less, and nothing else is wrong.
pub fn is_throttle(code: &[u8]) -> bool {
    let code = String::from_utf8_lossy(code);
    ["ThroughputExceeded", "LimitExceeded", "Throttl", "TooManyRequests"]
        .iter()
        .any(|part| code.contains(part))
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "ShardId", borrow, default)]
    shard: Option<Cow<'a, str>>,
    #[serde(rename = "SequenceNumber", borrow, default)]
    number: Option<Cow<'a, str>>,
    #[serde(rename = "ErrorCode", borrow, default)]
    code: Option<Cow<'a, str>>,
}

/// `None` at the first byte that it does not expect.
fn fast(answer: &[u8], mut each: impl FnMut(Entry<'_>)) -> Option<()> {
    let mut at = Reader { rest: answer };
    at.expect(b'{')?;
    loop {
        let name = at.text()?;
        at.expect(b':')?;
        if name == b"Records" {
            at.expect(b'[')?;
            loop {
                each(at.record()?);
                if !at.goes_on(b']')? {
                    break;
                }
            }
        } else {
            at.scalar()?;
        }
        if !at.goes_on(b'}')? {
            return at.rest.trim_ascii().is_empty().then_some(());
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        while self.rest.first().is_some_and(u8::is_ascii_whitespace) {
            self.rest = &self.rest[1..];
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// After a comma, true; at the end, false.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        self.skip_space();
        let (next, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *next == b',' { Some(true) } else { (*next == end).then_some(false) }
    }

    /// A string without escapes.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let end = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// A string, a number, or one of the three words. `None` within for all that is not a string.
    fn scalar(&mut self) -> Option<Option<&'a [u8]>> {
        self.skip_space();
        if self.rest.first() == Some(&b'"') {
            return self.text().map(Some);
        }
        let end =
            self.rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
        if end == 0 {
            return None;
        }
        self.rest = &self.rest[end..];
        Some(None)
    }

    fn record(&mut self) -> Option<Entry<'a>> {
        let (mut shard, mut number, mut code) = (None, None, None);
        self.expect(b'{')?;
        loop {
            let name = self.text()?;
            self.expect(b':')?;
            let value = self.scalar()?;
            match name {
                b"ShardId" => shard = value,
                b"SequenceNumber" => number = value,
                b"ErrorCode" => code = value,
                _ => {}
            }
            if !self.goes_on(b'}')? {
                break;
            }
        }
        Some(match (shard, number) {
            (Some(shard), Some(number)) => Entry::Placed { shard, number },
            _ => Entry::Failed { code: code.unwrap_or_default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards_of(answer: &str) -> Option<Vec<String>> {
        let mut entries = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        read(answer.as_bytes(), |entry| {
            entries.push(match entry {
                Entry::Placed { shard, number } => format!("{}/{}", text(shard), text(number)),
                Entry::Failed { code } => format!("!{}", text(code)),
            });
        })
        .ok()?;
        Some(entries)
    }

    #[test]
    fn answers_are_read_in_any_layout() {
        for (answer, entries) in [
            (r#"{"FailedRecordCount":0,"Records":[{"ShardId":"a","SequenceNumber":"1"}]}"#, vec!["a/1"]),
            (
                r#"{"Records":[{"SequenceNumber":"1","ShardId":"a"},{"ErrorCode":"E","ErrorMessage":"m"}],"EncryptionType":"NONE"}"#,
                vec!["a/1", "!E"],
            ),
            (
                "{ \"Records\" : [ { \"ShardId\" : \"a\" , \"SequenceNumber\" : \"1\" , \"ErrorCode\" : null } ] } \n",
                vec!["a/1"],
            ),
            // The escape is behind a record that the fast reader has reported already.
            (
                r#"{"Records":[{"ShardId":"a","SequenceNumber":"1"},{"ErrorCode":"E","ErrorMessage":"a \"b\""},{"ShardId":"c","SequenceNumber":"2"}]}"#,
                vec!["a/1", "!E", "c/2"],
            ),
            (r#"{"Records":[{"ShardId":null,"SequenceNumber":null,"ErrorCode":"E"}]}"#, vec!["!E"]),
            (r#"{"Records":[]}"#, vec![]),
            (r#"{"Records":[],"More":{"a":[1]}}"#, vec![]),
        ] {
            assert_eq!(shards_of(answer), Some(entries.into_iter().map(String::from).collect()), "{answer}");
        }
        for answer in ["", "{}", "[]", r#"{"Records":[{"ShardId":"a""#, r#"{"Records":[]}x"#, "<html>"] {
            assert_eq!(shards_of(answer), None, "{answer}");
        }
    }

    #[test]
    fn throttles_are_distinguished_from_errors() {
        for code in
            ["ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException"]
        {
            assert!(is_throttle(code.as_bytes()), "{code}");
        }
        assert!(!is_throttle(b"InternalFailure"));
        assert!(!is_throttle(b"ResourceNotFoundException"));
    }
}
