//! ARNs of streams, `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, and of their consumers,
//! `STREAM/consumer/NAME:CREATION_SECOND`.

use std::fmt;
use std::sync::Arc;

use super::stream::{Consumer, StreamKey};
use super::stream_name::StreamName;

/// A stream as an ARN names it. Any partition that begins with `aws` is read; `aws` is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamArn(pub StreamKey);

impl StreamArn {
    /// The stream named by `text`. `None` when it is not a stream's ARN, that of a consumer included.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, name) = split(text)?;
        Some(Self(place.stream(name)?))
    }
}

/// A consumer as an ARN names it. The second tells it from earlier ones of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerArn {
    /// The stream it is registered with.
    pub stream: StreamKey,
    /// The consumer's name.
    pub name: Arc<str>,
    /// The consumer's registration, seconds since the epoch.
    pub created_s: u64,
}

impl ConsumerArn {
    /// The consumer named by `text`. `None` when it is not a consumer's ARN.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, rest) = split(text)?;
        let (stream, rest) = rest.split_once("/consumer/")?;
        let (name, second) = rest.rsplit_once(':')?;
        if !second.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Consumers are named as streams are (AWS model, ConsumerName).
        let name = StreamName::parse(name)?.into_shared();
        Some(Self { stream: place.stream(stream)?, name, created_s: second.parse().ok()? })
    }

    /// The ARN of a consumer of that stream.
    pub fn of(stream: &StreamKey, consumer: &Consumer) -> Self {
        let created_s = consumer.created_ms / 1_000;
        Self { stream: stream.clone(), name: consumer.name.clone(), created_s }
    }

    /// Whether it names that consumer of its stream.
    pub fn names(&self, consumer: &Consumer) -> bool {
        self.name == consumer.name && self.created_s == consumer.created_ms / 1_000
    }
}

impl fmt::Display for ConsumerArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_arn(&self.stream, formatter)?;
        write!(formatter, "/consumer/{}:{}", self.name, self.created_s)
    }
}

/// Where an ARN's resource is.
struct ArnScope<'a> {
    account: &'a str,
    region: &'a str,
}

impl ArnScope<'_> {
    fn stream(&self, name: &str) -> Option<StreamKey> {
        let name = StreamName::parse(name)?.into_shared();
        Some(StreamKey { account: Arc::from(self.account), region: Arc::from(self.region), name })
    }
}

/// Account, region and the text behind `stream/`.
fn split(text: &str) -> Option<(ArnScope<'_>, &str)> {
    let mut parts = text.splitn(6, ':');
    let mut part = || parts.next();
    let prefix = (part()?, part()?.starts_with("aws"), part()?);
    if prefix != ("arn", true, "kinesis") {
        return None;
    }
    let (region, account, resource) = (part()?, part()?, part()?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then_some((ArnScope { account, region }, resource.strip_prefix("stream/")?))
}

impl fmt::Display for StreamArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_arn(&self.0, formatter)
    }
}

fn write_arn(key: &StreamKey, out: &mut impl fmt::Write) -> fmt::Result {
    let StreamKey { account, region, name } = key;
    write!(out, "arn:aws:kinesis:{region}:{account}:stream/{name}")
}

impl StreamKey {
    /// The stream's ARN.
    pub fn arn(&self) -> String {
        let mut text = String::new();
        write_arn(self, &mut text).expect("writing to memory cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_comes_back_as_it_was_written() {
        let text = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders.v1";
        let arn = StreamArn::parse(text).unwrap();
        assert_eq!(&*arn.0.name, "orders.v1");
        assert_eq!(&*arn.0.region, "eu-west-1");
        assert_eq!(&*arn.0.account, "123456789012");
        assert_eq!(arn.to_string(), text);
        assert_eq!(arn.0.arn(), text);
        assert!(StreamArn::parse("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders").is_some());
    }

    #[test]
    fn texts_that_name_no_stream_are_refused() {
        for text in [
            "",
            "orders",
            "arn:aws:kinesis:us-east-1:123456789012:stream/",
            "arn:aws:kinesis:us-east-1:123456789012:orders",
            "arn:aws:kinesis:us-east-1:12345678901:stream/orders",
            "arn:aws:dynamodb:us-east-1:123456789012:stream/orders",
            "arn:azure:kinesis:us-east-1:123456789012:stream/orders",
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/c:1700000000",
        ] {
            assert_eq!(StreamArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_consumer_is_distinguished_from_an_earlier_one_of_its_name() {
        let text = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/app.1:1700000000";
        let arn = ConsumerArn::parse(text).unwrap();
        assert_eq!((&*arn.stream.name, &*arn.name, arn.created_s), ("orders", "app.1", 1_700_000_000));
        assert_eq!(arn.to_string(), text);
        let mut consumer = Consumer {
            uid: 1,
            name: "app.1".into(),
            status: crate::model::stream::ConsumerStatus::Active,
            created_ms: 1_700_000_000_999,
            tags: crate::model::stream::Tags::new(),
            policy: None,
        };
        assert!(arn.names(&consumer));
        assert_eq!(ConsumerArn::of(&arn.stream, &consumer), arn);
        consumer.created_ms = 1_700_000_001_000;
        assert!(!arn.names(&consumer));
    }

    #[test]
    fn texts_that_name_no_consumer_are_refused() {
        let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        for rest in
            ["", "/consumer/app", "/consumer/app:", "/consumer/:1", "/consumer/app:+1", "/consumer/a/b:1"]
        {
            assert_eq!(ConsumerArn::parse(&format!("{stream}{rest}")), None, "{rest}");
        }
        let past = format!("{stream}/consumer/app:18446744073709551616");
        assert_eq!(ConsumerArn::parse(&past), None);
    }
}
