//! Counts by shard, found quickly: they are looked up for every record.

use std::collections::HashMap;

/// Shards that are found without a look at the map, by the end of their identifier.
const RECENT: usize = 64;

/// One shard of the run.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// Records acknowledged in each second.
    pub seconds: Vec<u64>,
    /// Records acknowledged at all, those of the warm-up too.
    pub acknowledged: u64,
    /// The lowest of their sequence numbers.
    pub first: String,
}

/// All shards of the run.
#[derive(Clone, Debug)]
pub struct Shards {
    known: Vec<(String, Shard)>,
    places: HashMap<String, usize>,
    recent: [usize; RECENT],
}

impl Default for Shards {
    fn default() -> Self {
        Self { known: Vec::new(), places: HashMap::new(), recent: [0; RECENT] }
    }
}

impl Shards {
    /// The shard of that identifier; a new one if there was none.
    pub fn of(&mut self, id: &str) -> &mut Shard {
        let slot = slot(id);
        let place = self.recent[slot];
        if self.known.get(place).is_some_and(|(known, _)| known == id) {
            return &mut self.known[place].1;
        }
        let place = self.places.get(id).copied().unwrap_or_else(|| {
            self.known.push((id.to_owned(), Shard::default()));
            self.places.insert(id.to_owned(), self.known.len() - 1);
            self.known.len() - 1
        });
        self.recent[slot] = place;
        &mut self.known[place].1
    }

    /// Identifiers and shards, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Shard)> {
        self.known.iter().map(|(id, shard)| (id.as_str(), shard))
    }
}

/// The last two digits, mostly.
fn slot(id: &str) -> usize {
    match id.as_bytes() {
        [.., tens, ones] => (usize::from(*tens) * 10 + usize::from(*ones)) % RECENT,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_distinguished_however_they_are_named() {
        let mut shards = Shards::default();
        let ids: Vec<String> =
            (0..300).map(|number| format!("shardId-{number:012}")).chain(["".into(), "x".into()]).collect();
        for round in 1..=3 {
            for id in &ids {
                shards.of(id).acknowledged += 1;
                assert_eq!(shards.of(id).acknowledged, round, "{id}");
            }
        }
        assert_eq!(shards.iter().count(), ids.len());
        assert!(shards.iter().all(|(_, shard)| shard.acknowledged == 3));
    }
}
