//! The protocol that a request's content type names: how its body is written, and the answer will be.

use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::pages;
use crate::ops::Codec;

/// A content type of Kinesis, as the answer will carry it, and its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) codec: Codec,
    pub(super) content_type: &'static str,
}

impl Form {
    /// Kinesis's JSON protocol, which also answers requests that name none.
    pub(super) const JSON: Self = Self { codec: Codec::Json, content_type: "application/x-amz-json-1.1" };
    /// JSON as browsers and scripts name it.
    const PLAIN_JSON: Self = Self { codec: Codec::Json, content_type: pages::JSON };
    /// Kinesis's CBOR protocol.
    const CBOR: Self = Self { codec: Codec::Cbor, content_type: "application/x-amz-cbor-1.1" };

    /// The protocol of lease tables.
    pub(super) const TABLES: Self = Self { codec: Codec::Json, content_type: "application/x-amz-json-1.0" };

    /// The protocol of a request with these headers; `None` when it is none of Kinesis. Parameters do not matter.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        let is_named = |form: &Self| essence.eq_ignore_ascii_case(form.content_type);
        [Self::JSON, Self::PLAIN_JSON, Self::CBOR].into_iter().find(is_named)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn content_types_are_recognized_with_any_parameters_and_case() {
        let cases = [
            ("application/x-amz-json-1.1", Some(Form::JSON)),
            ("application/x-amz-json-1.1; charset=utf-8", Some(Form::JSON)),
            ("Application/JSON", Some(Form::PLAIN_JSON)),
            ("application/x-amz-cbor-1.1", Some(Form::CBOR)),
            ("text/plain", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(Form::of(&headers), expected, "{value}");
        }
    }
}
