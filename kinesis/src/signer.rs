//! Signature version 4 of a request, by the signer of the AWS SDK.
//!
//! Every request is signed, also for endpoints that do not look: they find account and region in the signature.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use hyper::Request;

use super::Credentials;

/// The service's name in signatures.
const SERVICE: &str = "kinesis";

/// Signs requests for one region with one set of keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Signer {
    credentials: aws_credential_types::Credentials,
    region: String,
}

impl Signer {
    /// Signs with these keys for `region`.
    #[must_use]
    pub fn new(credentials: &Credentials, region: &str) -> Self {
        let Credentials { access_key_id, secret_access_key, session_token } = credentials.clone();
        let credentials = aws_credential_types::Credentials::new(
            access_key_id,
            secret_access_key,
            session_token,
            None,
            "tidelog",
        );
        Self { credentials, region: region.into() }
    }

    /// Adds the headers of the signature. Headers that are there already are signed; `Host` is that of the URI.
    ///
    /// # Errors
    /// The signer's words when headers or URI cannot be signed, such as a header that is not text.
    pub fn sign(&self, request: &mut Request<Bytes>, now: SystemTime) -> Result<(), String> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let uri = request.uri().to_string();
        let mut headers = Vec::with_capacity(request.headers().len());
        for (name, value) in request.headers() {
            let value = value.to_str().map_err(|_| format!("the header {name} is not text"))?;
            headers.push((name.as_str(), value));
        }
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), &uri, headers.into_iter(), body);
        let signed = signable.and_then(|signable| sign(signable, &parameters));
        let (instructions, _) = signed.map_err(|error| error.to_string())?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn signed(session_token: Option<&str>) -> Request<Bytes> {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(Into::into),
        };
        let mut request = Request::post("http://127.0.0.1:4567/")
            .header("x-amz-target", "Kinesis_20131202.ListStreams")
            .header("content-type", "application/x-amz-json-1.1")
            .body(Bytes::from_static(b"{}"))
            .expect("a request");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        Signer::new(&credentials, "eu-west-1").sign(&mut request, now).expect("signable");
        request
    }

    #[test]
    fn a_signature_covers_host_target_body_and_token() {
        let request = signed(None);
        let authorization = request.headers()["authorization"].to_str().expect("text");
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/kinesis/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="
            ),
            "{authorization}"
        );
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        let with_token = signed(Some("a-token"));
        assert_eq!(with_token.headers()["x-amz-security-token"], "a-token");
        let other = with_token.headers()["authorization"].to_str().expect("text");
        assert_ne!(authorization.rsplit('=').next(), other.rsplit('=').next());
    }
}
