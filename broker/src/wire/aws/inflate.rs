//! Bodies that a client has compressed, within the bound of the content.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use hyper::header::{CONTENT_ENCODING, HeaderMap};

use super::refusal::Failure;
use crate::wire::body::ROOM_PATIENCE;
use crate::wire::client::Client;

/// Bytes of a request's content, inflated: as many as CloudWatch takes.
pub(super) const CONTENT_BYTES_MAX: usize = 1 << 20;

/// The encoding of a body, as its request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The content as it is.
    Identity,
    /// Compressed.
    Gzip,
    /// Any other.
    Unknown,
}

impl Encoding {
    /// The encoding that these headers name.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes().trim_ascii());
        match value {
            b"" => Self::Identity,
            value if value.eq_ignore_ascii_case(b"identity") => Self::Identity,
            value if value.eq_ignore_ascii_case(b"gzip") => Self::Gzip,
            _ => Self::Unknown,
        }
    }
}

/// The content of a body. While a compressed one is inflated, the class of request bodies has the charge for the
/// largest content.
///
/// # Errors
/// When the content is too large, or is not in the encoding that the request names.
pub(super) async fn body(client: &Client, encoding: Encoding, body: &Bytes) -> Result<Bytes, Failure> {
    if body.len() > CONTENT_BYTES_MAX {
        return Err(Failure::too_large(CONTENT_BYTES_MAX));
    }
    match encoding {
        Encoding::Identity => return Ok(body.clone()),
        Encoding::Gzip => {}
        Encoding::Unknown => {
            let message = "The Content-Encoding of a request is gzip, or there is none.".to_owned();
            return Err(Failure::invalid(message));
        }
    }
    let mut charge = client.room.bodies.charge(&client.account, false);
    let charged = charge.grow(CONTENT_BYTES_MAX, ROOM_PATIENCE).await;
    charged.map_err(|_| {
        Failure::unavailable("The memory set aside for request bodies is full; try again.".to_owned())
    })?;
    inflated(body)
}

fn inflated(body: &[u8]) -> Result<Bytes, Failure> {
    let mut content = Vec::new();
    let read = MultiGzDecoder::new(body).take(CONTENT_BYTES_MAX as u64 + 1).read_to_end(&mut content);
    if read.is_err() {
        return Err(Failure::invalid(
            "The request body is not gzip, as its Content-Encoding says.".to_owned(),
        ));
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(Failure::too_large(CONTENT_BYTES_MAX));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn compressed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_is_inflated_up_to_the_bound() {
        assert_eq!(inflated(&compressed(b"abc")).unwrap(), "abc");
        assert_eq!(inflated(&compressed(&vec![0; CONTENT_BYTES_MAX])).unwrap().len(), CONTENT_BYTES_MAX);
        let bomb = compressed(&vec![0; 64 << 20]);
        assert_eq!(inflated(&bomb).unwrap_err().status, 413);
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = compressed(b"abc");
        for spoilt in [&b""[..], b"abc", &whole[..whole.len() - 1]] {
            assert_eq!(inflated(spoilt).unwrap_err().code, "InvalidParameterValue");
        }
    }
}
