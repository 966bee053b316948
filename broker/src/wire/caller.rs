//! The caller of a request: the account and the region in its signature's credential.
//!
//! Signatures are not verified and unsigned requests are taken: the broker belongs on a trusted network.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap};

/// Longest region name that is taken from a credential, bytes.
const REGION_BYTES_MAX: usize = 32;

/// The account and region that a request is served in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: Arc<str>,
    pub(super) region: Arc<str>,
}

/// The caller of a request with these headers; where they name none, it has the configured `account` and `region`.
pub(super) fn of(headers: &HeaderMap, account: &Arc<str>, region: &Arc<str>) -> Caller {
    let credential = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credential);
    let (own_account, own_region) = credential.unwrap_or_default();
    Caller {
        account: chosen(own_account, is_account(own_account), account),
        region: chosen(own_region, is_region(own_region), region),
    }
}

/// Access key id and region of `AWS4-HMAC-SHA256 Credential=AKID/DATE/REGION/kinesis/aws4_request, …`.
fn credential(authorization: &str) -> Option<(&str, &str)> {
    let (_, credential) = authorization.split_once("Credential=")?;
    let credential = credential.split([',', ' ']).next()?;
    let mut parts = credential.split('/');
    let (access_key_id, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
    Some((access_key_id, region))
}

/// The service in the scope of a request's credential, such as `kinesis`.
pub(super) fn service(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split([',', ' ']).next()?.split('/').nth(3).filter(|service| !service.is_empty())
}

fn chosen(text: &str, legal: bool, configured: &Arc<str>) -> Arc<str> {
    if legal && text != &**configured { text.into() } else { Arc::clone(configured) }
}

/// Whether it can be an account.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it can be a region.
pub(super) fn is_region(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REGION_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_credential_gives_key_and_region() {
        let cases: &[(&str, Option<(&str, &str)>)] = &[
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
                Some(("AKIDEXAMPLE", "eu-west-1")),
            ),
            (
                "AWS4-HMAC-SHA256 Credential=123456789012/20150830/us-east-1/kinesis/aws4_request,SignedHeaders=host",
                Some(("123456789012", "us-east-1")),
            ),
            ("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830", None),
            ("AWS4-HMAC-SHA256 Credential=", None),
            ("Bearer something", None),
            ("", None),
        ];
        for (authorization, expected) in cases {
            assert_eq!(credential(authorization), *expected, "{authorization}");
        }
    }

    #[test]
    fn the_scope_of_a_credential_names_the_service() {
        let cases = [
            (
                "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/sts/aws4_request, SignedHeaders=host",
                Some("sts"),
            ),
            ("AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1", None),
            ("Bearer something", None),
        ];
        for (authorization, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
            assert_eq!(service(&headers), expected, "{authorization}");
        }
    }

    #[test]
    fn callers_that_a_credential_does_not_name_are_the_configured_ones() {
        let cases = [
            ("Credential=123456789012/20150830/eu-west-1/kinesis/aws4_request", "123456789012", "eu-west-1"),
            ("Credential=AKIDEXAMPLE/20150830/eu-west-1/kinesis/aws4_request", "000000000000", "eu-west-1"),
            ("Credential=123456789012/20150830/EU:1/kinesis/aws4_request", "123456789012", "us-east-1"),
            ("nothing", "000000000000", "us-east-1"),
        ];
        for (authorization, account, region) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
            let caller = of(&headers, &"000000000000".into(), &"us-east-1".into());
            assert_eq!((&*caller.account, &*caller.region), (account, region), "{authorization}");
        }
    }

    #[test]
    fn only_whole_accounts_and_legal_regions_are_taken() {
        assert!(is_account("123456789012"));
        assert!(!is_account("1234567890123") && !is_account("12345678901x") && !is_account(""));
        assert!(is_region("ap-southeast-2"));
        assert!(
            !is_region("") && !is_region("EU-WEST-1") && !is_region("a:b") && !is_region(&"a".repeat(33))
        );
    }
}
