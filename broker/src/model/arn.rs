//! ARNs of streams: `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`.

use std::fmt;
use std::sync::Arc;

use super::stream::StreamKey;
use super::stream_name::StreamName;

/// A stream as an ARN names it. Any partition that begins with `aws` is read; `aws` is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamArn(pub StreamKey);

impl StreamArn {
    /// The stream named by `text`. `None` when it is not a stream's ARN, that of a consumer included.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next();
        let prefix = (part()?, part()?.starts_with("aws"), part()?);
        if prefix != ("arn", true, "kinesis") {
            return None;
        }
        let (region, account, resource) = (part()?, part()?, part()?);
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let name = StreamName::parse(resource.strip_prefix("stream/")?)?.into_shared();
        Some(Self(StreamKey { account: Arc::from(account), region: Arc::from(region), name }))
    }
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
    fn what_names_no_stream_is_refused() {
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
}
