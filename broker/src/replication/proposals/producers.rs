//! The transfer of remembered producers from the parents of a reshard to its children: read from the state
//! that this node has applied, and proposed to the children's groups. Called by the saga of a reshard,
//! between the seals and the commit.

use std::collections::BTreeSet;

use prost::Message;
use tidelog_proto::stored::{self, data_command};
use tidelog_storage::shard::ShardKey;

use super::Proposals;
use crate::model::producers::Table;
use crate::replication::data::state::DataState;
use crate::replication::data::stored::store_producer;
use crate::replication::error::ProposeError;

/// Bytes of producers after which a command is closed; a larger producer goes in one of its own.
const COMMAND_BYTES_MAX: usize = 1 << 20;

impl Proposals {
    /// The producers that these shards of a group remember, all together, as this node has applied them. Of sealed
    /// shards it is all, once this node has proposed their sealing. Also gives the time by which the group forgets.
    ///
    /// # Errors
    /// [`ProposeError::NotProposed`] when the group has ended.
    pub async fn producers_of(
        &self,
        group: u8,
        shards: BTreeSet<ShardKey>,
    ) -> Result<(Table, u64), ProposeError> {
        let reading = self.rafts.of(group).with_state_machine(move |machine| {
            let mut table = Table::default();
            let state = machine.state().data();
            for known in shards.into_iter().filter_map(|key| state?.producers_of(key)) {
                table.unite(known.clone());
            }
            let clock_ms = state.map_or(0, DataState::producers_clock_ms);
            Box::pin(async move { (table, clock_ms) })
        });
        reading.await.map_err(|_| ProposeError::NotProposed)
    }

    /// Makes a shard that takes no records yet remember the batches of `table`, whose producers are forgotten by
    /// `clock_ms`. It may be done again.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn copy_producers(
        &self,
        group: u8,
        key: ShardKey,
        table: &Table,
        clock_ms: u64,
    ) -> Result<(), ProposeError> {
        for producers in in_commands(table) {
            let copy = stored::CopyProducers { uid: key.stream_uid, shard: key.shard, producers, clock_ms };
            self.propose_data(group, data_command::Command::CopyProducers(copy)).await?;
        }
        Ok(())
    }
}

/// The producers of a table, in parts that fit a command.
fn in_commands(table: &Table) -> Vec<Vec<stored::Producer>> {
    let mut parts: Vec<Vec<stored::Producer>> = Vec::new();
    let mut room = 0;
    for producer in table.producers().map(store_producer) {
        let bytes = producer.encoded_len();
        match parts.last_mut().filter(|_| bytes <= room) {
            Some(part) => part.push(producer),
            None => {
                parts.push(vec![producer]);
                room = COMMAND_BYTES_MAX;
            }
        }
        room = room.saturating_sub(bytes);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::producer::Positions;
    use crate::model::producers::{Producer, Run};
    use crate::replication::data::stored::read_producers;

    #[test]
    fn a_table_is_sent_in_parts_that_fit() {
        let run = Run {
            positions: (0..500).step_by(2).collect::<Positions>(),
            shard: 7,
            created_s: 1_700_000_000,
            first_ordinal: 1 << 40,
            time_ms: 1_700_000_000_000,
        };
        let producer = |id: u64| {
            let mut producer = Producer::new(1, 1_700_000_000_000);
            (1..=64).for_each(|batch| producer.remember(batch, run));
            (id, producer)
        };
        for (count, expected) in [(0, 0), (1, 1), (1_024, 6)] {
            let table: Table = (1..=count).map(producer).collect();
            let parts = in_commands(&table);
            assert_eq!(parts.len(), expected, "{count} producers");
            let bytes = |part: &Vec<stored::Producer>| part.iter().map(Message::encoded_len).sum::<usize>();
            assert!(parts.iter().all(|part| bytes(part) <= COMMAND_BYTES_MAX));
            let mut whole = Table::default();
            parts.iter().for_each(|part| whole.unite(read_producers(part).expect("they are stored so")));
            assert_eq!(whole, table);
        }
    }
}
