//! The stream that an application reads, found by its leases. KCL does not write it down.
//!
//! Sequence numbers decide the most: they name the shard and the second of its creation. A pure function.

use std::collections::BTreeSet;

use tidelog_tables::lease::Lease;

use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream};

/// The stream of an application, or the reason why it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundStream {
    /// The caller has named it.
    Named(String),
    /// The leases name the streams.
    InLeases(BTreeSet<String>),
    /// A consumer of the stream has the name of the application.
    Consumer(String),
    /// The shards and positions of the leases are those of this stream alone.
    Shards(String),
    /// Several streams fit.
    Ambiguous(Vec<String>),
    /// Positions are of several streams: several applications may share the table.
    Conflicting(Vec<String>),
    /// No stream fits.
    Unknown,
}

impl FoundStream {
    /// The one stream, if there is one.
    pub fn one(&self) -> Option<&str> {
        match self {
            Self::Named(name) | Self::Consumer(name) | Self::Shards(name) => Some(name),
            Self::InLeases(names) => names.first().filter(|_| names.len() == 1).map(String::as_str),
            Self::Ambiguous(_) | Self::Conflicting(_) | Self::Unknown => None,
        }
    }
}

/// How well a lease goes with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// The lease is not of this stream.
    Not,
    /// Nothing speaks for or against it: its shard may be forgotten.
    Open,
    /// The shard is there and has the same hash keys.
    Shard,
    /// The position is of the shard.
    Position,
}

/// The index in the id of a shard, in the form that the broker gives out.
pub(super) fn index_of(shard: &str) -> Option<u32> {
    ShardId::parse(shard).filter(|id| id.to_string() == shard).map(|id| id.0)
}

/// The sequence number that a lease stands at.
pub(super) fn position_of(lease: &Lease) -> Option<SequenceNumber> {
    SequenceNumber::parse(&lease.checkpoint)
}

fn fit_shard(shard: &Shard, lease: &Lease) -> Fit {
    if lease.range.is_some_and(|own| own != (shard.range.start, shard.range.end)) {
        return Fit::Not;
    }
    if let Some(number) = position_of(lease) {
        let is_same = (number.shard, number.created_s) == (shard.index, shard.created_s);
        return if is_same { Fit::Position } else { Fit::Not };
    }
    let is_word = !lease.checkpoint.bytes().all(|byte| byte.is_ascii_digit());
    if is_word { Fit::Shard } else { Fit::Not }
}

pub(super) fn fit(stream: &Stream, lease: &Lease) -> Fit {
    let Some(index) = index_of(&lease.shard) else { return Fit::Not };
    let newest = stream.shards.last().map_or(0, |shard| shard.index);
    match stream.shard(index) {
        Some(shard) => fit_shard(shard, lease),
        None if index > newest => Fit::Not,
        None => Fit::Open,
    }
}

/// Finds the stream of the leases of an application among the streams of its account and region.
pub(super) fn find<'s>(
    application: &str,
    leases: &[Lease],
    streams: impl Iterator<Item = &'s Stream>,
) -> FoundStream {
    let named: BTreeSet<String> = leases.iter().filter_map(Lease::stream_name).map(str::to_owned).collect();
    if !named.is_empty() {
        return FoundStream::InLeases(named);
    }
    let streams: Vec<&Stream> = streams.filter(|stream| stream.is_usable()).collect();
    let fits = |stream: &&&Stream| leases.iter().map(|lease| fit(stream, lease)).min() != Some(Fit::Not);
    let best = |stream: &Stream| leases.iter().map(|lease| fit(stream, lease)).max();
    let candidates: Vec<&Stream> = streams.iter().filter(fits).copied().collect();
    let name = |stream: &&Stream| stream.key.name.to_string();
    let consumed: Vec<_> =
        candidates.iter().filter(|stream| stream.consumer(application).is_some()).collect();
    if let [stream] = consumed[..] {
        return FoundStream::Consumer(name(stream));
    }
    for least in [Fit::Position, Fit::Shard] {
        let good: Vec<_> = candidates.iter().filter(|stream| best(stream) >= Some(least)).collect();
        match good[..] {
            [] => {}
            [stream] => return FoundStream::Shards(name(stream)),
            _ => return FoundStream::Ambiguous(good.into_iter().map(name).collect()),
        }
    }
    let torn: Vec<_> = streams.iter().filter(|stream| best(stream) == Some(Fit::Position)).collect();
    if torn.len() > 1 {
        return FoundStream::Conflicting(torn.into_iter().map(name).collect());
    }
    FoundStream::Unknown
}

#[cfg(test)]
mod tests {
    use tidelog_tables::Item;

    use super::*;
    use crate::model::fixture;

    fn lease(shard: u32, checkpoint: &str, range: Option<(u128, u128)>) -> Lease {
        let range = range.map_or_else(String::new, |(start, end)| {
            format!(r#", "startingHashKey": {{"S": "{start}"}}, "endingHashKey": {{"S": "{end}"}}"#)
        });
        let id = ShardId(shard);
        let item =
            format!(r#"{{"leaseKey": {{"S": "{id}"}}, "checkpoint": {{"S": "{checkpoint}"}}{range}}}"#);
        Lease::of(&Item::from_json(item.as_bytes()).expect("an item")).expect("a lease")
    }

    fn at(stream: &Stream, shard: u32) -> Lease {
        let number = SequenceNumber::starting(stream.shards[shard as usize].created_s, shard);
        let range = stream.shards[shard as usize].range;
        lease(shard, &number.to_string(), Some((range.start, range.end)))
    }

    fn fresh(stream: &Stream, shard: u32) -> Lease {
        let range = stream.shards[shard as usize].range;
        lease(shard, "TRIM_HORIZON", Some((range.start, range.end)))
    }

    /// Streams of two, two and three shards; the second one was created later.
    fn streams() -> [Stream; 3] {
        let [one, mut later, three] =
            [fixture::stream("one", 2), fixture::stream("later", 2), fixture::stream("three", 3)];
        later.shards.iter_mut().for_each(|shard| shard.created_s += 1);
        // Created in one second with the first: their hash keys tell them apart.
        [one, later, three]
    }

    #[test]
    fn a_stream_is_found_by_the_facts_in_its_leases() {
        let streams = streams();
        let [one, later, three] = &streams;
        let shards = |name: &str| FoundStream::Shards(name.to_owned());
        let both = || vec!["one".to_owned(), "later".to_owned()];
        let cases = [
            (vec![at(one, 0), at(one, 1)], shards("one")),
            (vec![at(later, 0), fresh(later, 1)], shards("later")),
            (vec![fresh(three, 0), fresh(three, 2)], shards("three")),
            (vec![fresh(one, 0), fresh(one, 1)], FoundStream::Ambiguous(both())),
            (vec![at(one, 0), at(later, 1)], FoundStream::Conflicting(both())),
            (vec![lease(7, "TRIM_HORIZON", None)], FoundStream::Unknown),
            (vec![lease(0, "4959", None)], FoundStream::Unknown),
            (vec![], FoundStream::Unknown),
        ];
        for (leases, expected) in cases {
            assert_eq!(find("app", &leases, streams.iter()), expected, "{leases:?}");
        }
    }

    #[test]
    fn a_consumer_of_the_name_decides_among_streams_that_fit() {
        let mut streams = streams();
        let consumer = fixture::consumer("app", 7);
        streams[0].consumers.push(consumer.clone());
        let fresh = [fresh(&streams[1], 0)];
        assert_eq!(find("app", &fresh, streams.iter()), FoundStream::Consumer("one".into()));
        let elsewhere = [at(&streams[1], 0)];
        assert_eq!(find("app", &elsewhere, streams.iter()), FoundStream::Shards("later".into()));
        assert_eq!(find("app", &[], streams.iter()), FoundStream::Consumer("one".into()));
        streams[1].consumers.push(consumer);
        let both = vec!["one".to_owned(), "later".to_owned()];
        assert_eq!(find("app", &fresh, streams.iter()), FoundStream::Ambiguous(both));
    }

    #[test]
    fn leases_of_many_streams_name_them() {
        let item = r#"{"leaseKey": {"S": "0:one:1:x"}, "streamName": {"S": "0:one:1"}, "checkpoint": {"S": "LATEST"}}"#;
        let lease = Lease::of(&Item::from_json(item.as_bytes()).expect("an item")).expect("a lease");
        let found = find("app", &[lease], streams().iter());
        assert_eq!((found.one(), &found), (Some("one"), &FoundStream::InLeases(["one".to_owned()].into())));
    }
}
