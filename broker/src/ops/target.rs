//! The target of a request: a stream by StreamName and StreamARN, which may come together and must agree, a
//! consumer by its ARN, or the next page of a list.

use std::sync::Arc;

use super::Call;
use super::api::{Targets, Timestamp};
use super::fault::{Fault, InvalidTarget};
use crate::model::arn::{ConsumerArn, StreamArn};
use crate::model::stream::{Catalog, Consumer, Stream, StreamKey};
use crate::model::stream_name::StreamName;
use crate::observability::requests;
use crate::service::iterator::{PageToken, Sealer, TokenError};

/// The stream that a request names by StreamName in the caller's account and region, or by StreamARN in the ARN's.
///
/// # Errors
/// [`Fault::InvalidArgument`] when it names none or two, or when the ARN is not that of a stream.
pub fn named(call: &Call, name: Option<&str>, arn: Option<&str>) -> Result<StreamKey, Fault> {
    let key = parse(call, name, arn)?;
    requests::note_stream(|| Some(key.name.clone()));
    Ok(key)
}

fn parse(call: &Call, name: Option<&str>, arn: Option<&str>) -> Result<StreamKey, Fault> {
    match (name, arn) {
        (None, None) => Err(InvalidTarget::NoStream.into()),
        (Some(name), None) => match StreamName::parse(name) {
            Some(name) => Ok(in_account(call, name.into_shared())),
            None => Err(InvalidTarget::StreamName(name.to_owned()).into()),
        },
        (name, Some(arn)) => match StreamArn::parse(arn) {
            Some(StreamArn(key)) if name.is_none_or(|name| name == &*key.name) => Ok(key),
            Some(_) => Err(InvalidTarget::StreamNamesDiffer.into()),
            None => Err(InvalidTarget::StreamArn(arn.to_owned()).into()),
        },
    }
}

/// Finds the stream that the members of a request name, like [`named`].
pub fn key(call: &Call, targets: &dyn Targets) -> Result<StreamKey, Fault> {
    named(call, targets.stream_name(), targets.stream_arn())
}

/// Finds the stream that a text names, which is either a name or an ARN, like [`named`].
pub fn by_text(call: &Call, text: &str) -> Result<StreamKey, Fault> {
    if text.starts_with("arn:") { named(call, None, Some(text)) } else { named(call, Some(text), None) }
}

/// The stream itself.
///
/// # Errors
/// As [`key`], and [`Fault::ResourceNotFound`] when there is no such stream.
pub fn stream(catalog: &Catalog, call: &Call, targets: &dyn Targets) -> Result<Arc<Stream>, Fault> {
    let key = key(call, targets)?;
    find(catalog, &key)
}

/// The stream of that key.
///
/// # Errors
/// [`Fault::ResourceNotFound`] when there is none.
pub fn find(catalog: &Catalog, key: &StreamKey) -> Result<Arc<Stream>, Fault> {
    requests::note_stream(|| Some(key.name.clone()));
    catalog.streams().get(key).cloned().ok_or_else(|| Fault::stream_not_found(key))
}

/// Checks that a stream was created at the request's StreamCreationTimestamp, which tells streams of one name
/// apart. Clients may have lost its milliseconds.
///
/// # Errors
/// [`Fault::ResourceNotFound`] when it is another one.
pub fn check_creation(stream: &Stream, created: Option<Timestamp>) -> Result<(), Fault> {
    let Some(Timestamp(created_ms)) = created else { return Ok(()) };
    let is_this_one = u64::try_from(created_ms / 1_000) == Ok(stream.created_ms / 1_000);
    if is_this_one { Ok(()) } else { Err(Fault::stream_not_found(&stream.key)) }
}

/// The consumer of that ARN and its stream.
///
/// # Errors
/// [`Fault::InvalidArgument`] when the ARN is not that of a consumer, [`Fault::ResourceNotFound`] when there is none,
/// or only a later one of its name.
pub fn consumer(catalog: &Catalog, arn: &str) -> Result<(Arc<Stream>, Consumer), Fault> {
    let Some(arn) = ConsumerArn::parse(arn) else {
        return Err(InvalidTarget::ConsumerArn(arn.to_owned()).into());
    };
    let stream = find(catalog, &arn.stream)?;
    let named = stream.consumer(&arn.name).filter(|consumer| arn.names(consumer)).cloned();
    let consumer = named.ok_or_else(|| Fault::consumer_not_found(&stream.key))?;
    Ok((stream, consumer))
}

/// A key in the caller's account and region.
pub fn in_account(call: &Call, name: Arc<str>) -> StreamKey {
    StreamKey { account: call.account.clone(), region: call.region.clone(), name }
}

/// The streams of the caller's account and region, sorted by name.
pub fn streams_of<'a>(catalog: &'a Catalog, call: &'a Call) -> impl Iterator<Item = &'a Arc<Stream>> {
    let first = in_account(call, Arc::from(""));
    let is_same = |key: &StreamKey| key.account == call.account && key.region == call.region;
    catalog.streams().range(first..).take_while(move |(key, _)| is_same(key)).map(|(_, stream)| stream)
}

/// The page that a NextToken stands for.
///
/// # Errors
/// [`Fault::ExpiredNextToken`], or [`Fault::InvalidArgument`] when it was not given out by this cluster.
pub fn open_page(sealer: &Sealer, token: &str, now_ms: u64) -> Result<PageToken, Fault> {
    sealer.open_page(token, now_ms).map_err(|error| match error {
        TokenError::Damaged => invalid_next_token(),
        TokenError::Expired { issued_ms } => Fault::ExpiredNextToken { issued_ms, now_ms },
    })
}

/// A NextToken that is none, or that of another operation.
pub fn invalid_next_token() -> Fault {
    InvalidTarget::NextToken.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn name_and_arn_must_agree() {
        let call = cases::call("{}");
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
        let by_name = named(&call, Some("orders"), None).unwrap();
        assert_eq!((&*by_name.account, &*by_name.region), ("000000000000", "us-east-1"));
        let by_arn = named(&call, None, Some(arn)).unwrap();
        assert_eq!((&*by_arn.account, &*by_arn.region), ("123456789012", "eu-west-1"));
        assert_eq!(named(&call, Some("orders"), Some(arn)), Ok(by_arn));
        for (name, arn) in [(Some("other"), Some(arn)), (None, None), (None, Some("arn:aws:kinesis"))] {
            assert!(matches!(named(&call, name, arn), Err(Fault::InvalidArgument(_))), "{name:?} {arn:?}");
        }
    }

    #[test]
    fn a_consumer_is_found_by_its_own_arn_only() {
        let mut stream = cases::stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        let (catalog, arn) =
            (cases::catalog(vec![stream.clone()]), format!("{}/consumer/app:", stream.key.arn()));
        let created_s = stream.consumers[0].created_ms / 1_000;
        let (found, consumer) = consumer(&catalog, &format!("{arn}{created_s}")).unwrap();
        assert_eq!((found.uid, consumer), (stream.uid, stream.consumers[0].clone()));
        let gone = Err(Fault::consumer_not_found(&stream.key));
        assert_eq!(super::consumer(&catalog, &format!("{arn}{}", created_s + 1)), gone);
        assert_eq!(super::consumer(&catalog, &format!("{}/consumer/b:{created_s}", stream.key.arn())), gone);
        let foreign = super::consumer(&cases::catalog(vec![]), &format!("{arn}{created_s}"));
        assert_eq!(foreign, Err(Fault::stream_not_found(&stream.key)));
        assert!(matches!(super::consumer(&catalog, &stream.key.arn()), Err(Fault::InvalidArgument(_))));
    }

    #[test]
    fn only_the_callers_streams_are_listed() {
        let mut catalog = cases::catalog(vec![cases::stream("b", 1), cases::stream("a", 1)]);
        for (account, region) in [("000000000000", "us-east-2"), ("111111111111", "us-east-1")] {
            let mut other = cases::stream("c", 1);
            other.key.account = Arc::from(account);
            other.key.region = Arc::from(region);
            catalog.put(other);
        }
        let call = cases::call("{}");
        let names = streams_of(&catalog, &call).map(|stream| stream.key.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names, ["a", "b"]);
    }
}
