//! The shards of a stream, as ListShards tells them: their hash ranges and their parents. The producer groups
//! records by them, readers follow reshards by them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use tidelog_proto::v1;

use crate::connection::Connection;
use crate::error::{Error, Reason};

/// One shard of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Name of the shard, such as `shardId-000000000000`.
    pub shard_id: String,
    /// Hash keys whose records it takes.
    pub range: RangeInclusive<u128>,
    /// Names of the shards that it came from; none for a shard that was created with its stream.
    pub parents: Vec<String>,
    /// Whether it takes records.
    pub is_open: bool,
}

/// The shards of a stream, parents before their children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards(Vec<Shard>);

impl Shards {
    /// Asks the broker, page by page.
    ///
    /// # Errors
    /// The broker's refusal, such as [`Reason::NotFound`].
    pub async fn list(connection: &Connection, stream: &str) -> Result<Self, Error> {
        let mut shards = Vec::new();
        let mut page_token = String::new();
        loop {
            let node = connection.node();
            let message = v1::ListShardsRequest { stream: stream.to_owned(), page_size: 0, page_token };
            let page = node.answer(node.streams().list_shards(node.request(message))).await?;
            for shard in page.shards {
                shards.push(Shard::try_from(shard)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(shards.into_iter().collect());
            }
        }
    }

    /// Every one of them.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter()
    }

    /// Returns the shards that take records, from the lowest hash key on. A shard whose children a further
    /// page lists was closed between the pages.
    pub fn open(&self) -> Vec<&Shard> {
        let parents: BTreeSet<&String> = self.iter().flat_map(|shard| &shard.parents).collect();
        let is_open = |shard: &&Shard| shard.is_open && !parents.contains(&shard.shard_id);
        let mut open: Vec<_> = self.iter().filter(is_open).collect();
        open.sort_by_key(|shard| *shard.range.start());
        open
    }

    /// The hash range of a shard that is listed.
    pub fn range(&self, shard_id: &str) -> Option<RangeInclusive<u128>> {
        self.iter().find(|shard| shard.shard_id == shard_id).map(|shard| shard.range.clone())
    }
}

impl FromIterator<Shard> for Shards {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        let mut shards: Vec<_> = shards.into_iter().collect();
        shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
        Self(shards)
    }
}

impl TryFrom<v1::Shard> for Shard {
    type Error = Error;

    fn try_from(shard: v1::Shard) -> Result<Self, Error> {
        let hash_key = |decimal: &str| {
            let unreadable = |_| Error::new(Reason::Refused, format!("shard with hash key {decimal:?}"));
            decimal.parse::<u128>().map_err(unreadable)
        };
        Ok(Self {
            range: hash_key(&shard.hash_key_start)?..=hash_key(&shard.hash_key_end)?,
            parents: shard.parent.into_iter().chain(shard.adjacent_parent).collect(),
            is_open: shard.sequence_number_end.is_none(),
            shard_id: shard.shard_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_split_between_two_pages_is_closed() {
        let shard = |id: &str, range, parents: &[&str]| Shard {
            shard_id: id.to_owned(),
            range,
            parents: parents.iter().map(|id| (*id).to_owned()).collect(),
            is_open: true,
        };
        let shards: Shards = [shard("0", 0..=9, &[]), shard("2", 5..=9, &["0"]), shard("1", 0..=4, &["0"])]
            .into_iter()
            .collect();
        assert!(shards.open().iter().map(|shard| shard.shard_id.as_str()).eq(["1", "2"]));
    }
}
